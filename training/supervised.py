"""Updates on a stream of losses: how the study makes its teachers and students before any method is compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel

from training.errors import TrainingFailed
from training.progress import Progress


def fit(
    model: PreTrainedModel, losses: Iterator[Tensor], optimiser: Optimizer, schedule: LRScheduler, steps: int, name: str
) -> list[float]:
    """Train in place for `steps` updates, each on the next of `losses`; returns the loss of each.

    A loss is computed when it is asked for, so it sees the weights of its own step. Gradients are clipped to norm 1.
    Raises `TrainingFailed` on a loss that is not finite.
    """
    progress, seen = Progress(name, steps), list[float]()
    for step, loss in enumerate(islice(losses, steps), 1):
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        seen.append(loss.item())
        if not math.isfinite(seen[-1]):
            raise TrainingFailed(f"the loss is {seen[-1]} at step {step} of {name}; give the model a smaller lr")
        progress.show(step, loss=seen[-1])
    return seen
