"""The cards that a size may be meant for, as their makers state them."""

from __future__ import annotations

from dataclasses import dataclass

from training.errors import UserError, nearest


@dataclass(frozen=True)
class Device:
    """A card as its maker states it: bytes, bfloat16 operations and bytes moved per second.

    Of a CPU, with `cores`, both speeds are those of one core, since a job has one thread.
    """

    title: str
    memory: float
    peak: float
    bandwidth: float
    cores: int = 0


DEVICES = {
    "a100_80gb": Device("A100, 80 GB", 85.0e9, 312e12, 2.0e12),
    "h100_80gb": Device("H100, 80 GB", 85.0e9, 989e12, 3.35e12),
    "h200": Device("H200, 141 GB", 150.0e9, 989e12, 4.8e12),
    "rtx4090": Device("RTX 4090, 24 GB", 25.2e9, 165e12, 1.0e12),
    "l4": Device("L4, 24 GB", 24.0e9, 121e12, 0.3e12),
}


def check_device(name: str, where: str) -> None:
    """`UserError` with the nearest name where there is no such card."""
    if name not in DEVICES:
        raise UserError(f"{where}: there is no device '{name}' in study/devices.py; {nearest(name, DEVICES)}")
