"""What the arithmetic of a job ran on: processor, device, and the switches that change it."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import Any

# Instruction sets for which the CPU libraries have kernels of their own: other ones, other last bits.
KERNELS = frozenset({
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl",
    "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "sve",
    "sve2",
})  # fmt: skip
SWITCHES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR",
    "ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
LIMITS = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA")


def processor() -> tuple[str, list[str]]:
    """Model name of the processor and its instruction sets among `KERNELS`; none known off Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), []
    known = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    known = {key.strip(): value.strip() for key, value in known.items()}
    flags = known.get("flags", known.get("Features", "")).split()
    return known.get("model name", platform.machine()), sorted(KERNELS.intersection(flags))


def instruction_set() -> list[str]:
    """The instruction sets that jobs here may use, switches of the environment that narrow them included."""
    return processor()[1] + [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]


def machine() -> dict[str, Any]:
    """The machine as JSON. The GPU, threads and torch's own choice of kernels are known where torch was used."""
    name, sets = processor()
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": name,
        "instruction_sets": sets,
        "cores": os.cpu_count(),
        "switches": {name: os.environ[name] for name in SWITCHES if name in os.environ},
        "device": "cpu",
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found |= {"kernels": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
        if torch.cuda.is_available():
            found |= _gpu(torch)
    return found


def card_out_of_reach() -> str | None:
    """One sentence where a GPU is here and the torch installed is a build without CUDA; None otherwise."""
    if which("nvidia-smi") is None:
        return None
    try:
        build = version("torch")
    except PackageNotFoundError:  # each job has an environment of its own
        return None
    if not build.endswith("+cpu"):
        return None
    return (
        f"there is a GPU here, but torch {build} is a build for CPUs, on which all jobs would run; install a CUDA "
        "build of the same version"
    )


def _gpu(torch: Any) -> dict[str, Any]:
    driver = Path("/proc/driver/nvidia/version")
    return {
        "device": torch.cuda.get_device_name(0),
        "driver": driver.read_text(encoding="utf-8").splitlines()[0] if driver.is_file() else "not known",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
