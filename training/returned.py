"""What a method gives the loop, checked where it is read: a slip is told in the method's words, not in torch's."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from training.errors import TrainingFailed, short
from training.folders import LOGGED
from training.method import Method


def share_of(method: Method, name: str, step: int) -> float:
    """The method's share of this name in an update (`step`, from 1); `TrainingFailed` where it is none."""
    value: Any = getattr(method, name)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TrainingFailed(f"the method's {name} is {value!r} at step {step}, but must be a number from 0 to 1")
    return value


def loss_and_statistics(returned: Any, step: int) -> tuple[Tensor, dict[str, float]]:
    """What `loss` returned in an update (`step`, from 1); `TrainingFailed` says what it is and what it must be."""
    if fault := _fault(returned):
        raise TrainingFailed(
            f"loss(batch) returned {fault} at step {step}, but must return a pair: a scalar tensor with gradient, and "
            "a dict of names to numbers"
        )
    if taken := sorted(LOGGED & returned[1].keys()):
        raise TrainingFailed(
            f"loss(batch) returned a statistic '{taken[0]}' at step {step}, which would replace the log's own value "
            "of this name; rename it"
        )
    return returned


def _fault(returned: Any) -> str:
    if not isinstance(returned, tuple) or len(returned) != 2:
        return _shown(returned)
    loss, statistics = returned
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        return f"{_shown(loss)} as the loss"
    if not isinstance(statistics, dict):
        return f"{_shown(statistics)} as the statistics"
    for name, value in statistics.items():
        if not isinstance(name, str) or not isinstance(value, int | float):
            return f"{_shown(value)} as the statistic {name!r}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} with{'' if value.requires_grad else 'out'} gradient"
    return short(value)
