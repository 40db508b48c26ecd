"""Master weights: small updates add up in bfloat16, and float32 is plain AdamW."""

from __future__ import annotations

import torch
from torch.nn import Parameter

from training.optimizer import AdamW


def descend(optimizer: torch.optim.Optimizer, weight: Parameter, steps: int) -> None:
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        optimizer.step()


def test_small_updates_are_not_lost() -> None:
    plain, kept = (Parameter(torch.ones(1, dtype=torch.bfloat16)) for _ in range(2))
    descend(torch.optim.AdamW([plain], lr=1e-4, weight_decay=0.0), plain, 200)
    descend(AdamW([kept], lr=1e-4, weight_decay=0.0), kept, 200)
    assert plain.item() == 1.0
    assert abs(kept.item() - 0.98) < 2**-8  # 200 steps of 1e-4, to the spacing of bfloat16


def test_float32_is_plain_adamw() -> None:
    ours, theirs = (Parameter(torch.linspace(-1, 1, 5)) for _ in range(2))
    descend(AdamW([ours], lr=0.01, weight_decay=0.1), ours, 5)
    descend(torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1), theirs, 5)
    assert torch.equal(ours, theirs)


def test_a_scheduler_moves_the_learning_rate() -> None:
    weight = Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = AdamW([weight], lr=1.0, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    descend(optimizer, weight, 3)
    schedule.step()
    assert weight.item() == 1.0
    optimizer.zero_grad()
    assert weight.grad is None
