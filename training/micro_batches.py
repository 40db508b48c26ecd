"""An update in pieces that fit in memory: whole groups, so that every piece can be judged by itself."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from training.rollout import Rollouts
from training.settings import TrainSettings


def micro_batches(rollouts: Rollouts, settings: TrainSettings) -> Iterator[tuple[Tensor | slice, Rollouts]]:
    """Rows of each micro-batch, a slice or indices `(n,)`, and their rollouts.

    All rows once, a question's rows together and in order.
    """
    rows = rollouts.size
    if settings.micro_tokens is not None:
        for index in packed(rollouts, settings.samples, settings.micro_tokens):
            yield index, rollouts.rows(index).trimmed()
        return
    per = settings.micro_questions * settings.samples if settings.micro_questions else rows
    for start in range(0, rows, per):
        piece = slice(start, min(start + per, rows))
        yield piece, rollouts.rows(piece)


def packed(rollouts: Rollouts, samples: int, budget: int) -> Iterator[Tensor]:
    """Row indices `(n,)` of micro-batches of at most `budget` padded tokens: n x (longest prompt + longest response).

    Groups of `samples` rows are taken from the longest to the shortest, so that those of like length are together and
    little of a micro-batch is padding. A group beyond the budget goes alone.
    """
    prompts, responses = (m.sum(1).view(-1, samples).amax(1).tolist() for m in (rollouts.prompt_mask, rollouts.mask))
    taken: list[int] = []
    for group in sorted(range(len(prompts)), key=lambda g: (-prompts[g] - responses[g], g)):
        wider = [*taken, group]
        width = max(prompts[g] for g in wider) + max(responses[g] for g in wider)
        if taken and len(wider) * samples * width > budget:
            yield _rows(taken, samples, rollouts.mask.device)
            taken = []
        taken.append(group)
    yield _rows(taken, samples, rollouts.mask.device)


def _rows(groups: list[int], samples: int, device: torch.device) -> Tensor:
    first = torch.tensor(groups, device=device)[:, None] * samples
    return (first + torch.arange(samples, device=device)).flatten()
