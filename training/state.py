"""All that changes while a run is trained, taken from a trainer and put back: the content of a checkpoint.

The data position is the number of updates: which problems an update meets follows from it and the seed. The loop
seeds torch at every update; the random states are kept all the same, for a method that draws elsewhere.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.checkpoint import Saved
from training.loop import Trainer


def snapshot(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and facts that JSON can hold. What is derived from settings is left out."""
    tensors = {f"weight.{name}": weight.detach() for name, weight in trainer.student.named_parameters()}
    tensors |= {f"optimizer.{name}": value for name, value in trainer.optimizer.tensors().items()}
    tensors |= {f"random.{i}": state for i, state in enumerate(_torch_random())}
    method = trainer.method.state_dict()
    tensors |= {f"method.{name}": value for name, value in method.items() if isinstance(value, Tensor)}
    facts = {
        "rates": [group["lr"] for group in trainer.optimizer.param_groups],
        "scheduler": trainer.scheduler.state_dict(),
        "method": {name: value for name, value in method.items() if not isinstance(value, Tensor)},
        "cost": trainer.cost.to_json(),
        "python": random.getstate(),
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
    }
    return {name: value.contiguous() for name, value in tensors.items()}, facts


@torch.no_grad()
def restore(trainer: Trainer, saved: Saved) -> int:
    """Put a freshly made trainer where `snapshot` found the other one; the number of updates done.

    Everything is copied and `saved` is left without tensors, so that the file they lie in can go from the disk.
    """
    facts, device = saved.facts, trainer.student.device
    for name, weight in trainer.student.named_parameters():
        weight.copy_(saved.tensors[f"weight.{name}"])
    trainer.optimizer.load_tensors(_below("optimizer", saved.tensors))
    for group, rate in zip(trainer.optimizer.param_groups, facts["rates"], strict=True):
        group["lr"] = rate
    trainer.scheduler.load_state_dict(facts["scheduler"])
    tensors = {name: value.to(device, copy=True) for name, value in _below("method", saved.tensors).items()}
    trainer.method.load_state_dict({**facts["method"], **tensors})
    for name, value in facts["cost"].items():
        setattr(trainer.cost, name, value)
    version, internal, gauss = facts["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(facts["numpy"]))
    states = _below("random", saved.tensors)
    torch.set_rng_state(states["0"])
    if "1" in states and torch.cuda.is_available():  # a checkpoint of a CPU has none
        torch.cuda.set_rng_state(states["1"])
    saved.tensors.clear()
    return saved.step


def _torch_random() -> list[Tensor]:
    """States of torch's generators: the CPU's and, where there is one, that of the GPU in use."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors named `<prefix>.<name>`, by name."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
