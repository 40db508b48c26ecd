"""A policy that reads what is left of its budget at every token: Sauté RL (Sootla et al., arXiv 2202.06558).

    z_t = max(1 - cost(KL_0, ..., KL_{t-1}) / d, -1),   KL_i = KL(pi(.|s_i, z_i) || mu(.|s_i)),   z_0 = 1

with the cost of the constraint's reading. z_t times a learnt vector is added to the embedding of the token before
position t; the vector starts at 0, so that training starts from the student itself. Nothing but the teacher can tell
KL_i, so it runs along wherever the policy does: in sampling (`metered`), whose z_t stay with the rollouts, or token by
token over given responses; one parallel pass then computes the policy (`budgeted`). No gradient flows through z.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LogitsProcessor, PreTrainedModel

from training.constraint import response_costs
from training.divergence import log_policy, reverse_kl, with_floor
from training.following import Following
from training.model_folder import BUDGET

if TYPE_CHECKING:
    from training.rollout import Rollouts

FACTS = "facts"


class Budget(nn.Module):
    """What makes `model` read its budget; attached as `model.budget`, so that the vector is one of its parameters.

    `left` `(B, 1)` or `(B, L)` is z at the positions of the next forward pass; None outside `metered` and `budgeted`,
    where a pass raises ValueError rather than guess.
    """

    def __init__(self, model: PreTrainedModel, teacher: PreTrainedModel, d: float, reading: str) -> None:
        super().__init__()
        embedding = model.get_input_embeddings()
        self.vector = nn.Parameter(torch.zeros_like(embedding.weight[0]))
        self.d, self.reading = d, reading
        self.held = (teacher,)  # in a tuple, so that its weights do not become the policy's
        self.left: Tensor | None = None
        embedding.register_forward_hook(self._add)
        model.budget = self

    def _add(self, module: nn.Module, given: Any, embedded: Tensor) -> Tensor:
        if self.left is None:
            raise ValueError("this policy reads what is left of its budget: run it through generate or a Batch")
        return embedded + self.left[..., None].to(embedded.dtype) * self.vector

    def save(self, folder: Path) -> None:
        """Write the vector to `folder`, with d, the reading and the teacher as metadata."""
        facts = {"d": self.d, "reading": self.reading, "teacher": str(self.held[0].name_or_path)}
        held = {FACTS: json.dumps(facts)}  # one entry: safetensors writes several in an order that differs by run
        save_file({"vector": self.vector.detach().contiguous()}, folder / BUDGET, held)


class Meter(LogitsProcessor):
    """Told the policy's logits at each position, sets what is left at the next; changes no logits."""

    def __init__(self, budget: Budget, prompt_mask: Tensor) -> None:
        self.budget, self.teacher = budget, Following(budget.held[0], prompt_mask)
        self.kl: list[Tensor] = []
        budget.left = torch.ones(len(prompt_mask), 1, device=prompt_mask.device)
        self.seen = [budget.left]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` `(B, V)` after `input_ids` `(B, L)`, as they came."""
        mu = self.teacher(input_ids)
        width = min(scores.shape[1], mu.shape[1])
        log_mu = with_floor(log_policy(mu, width))
        self.kl.append(reverse_kl(log_policy(scores, width), log_mu).sum(1))
        self.budget.left = remaining(torch.stack(self.kl, 1), self.budget.d, self.budget.reading)[:, None]
        self.seen.append(self.budget.left)
        return scores

    def before(self, count: int) -> Tensor:
        """What was left before each of the first `count` tokens, `(B, count)`."""
        return torch.cat(self.seen[:count], 1)


def remaining(kl: Tensor, d: float, reading: str) -> Tensor:
    """z after tokens of divergence `kl` `(B, t)`: `(B,)`, 1 where nothing is spent, below 0 beyond d, at least -1."""
    cost = response_costs(kl, torch.ones_like(kl, dtype=torch.bool))[reading]
    return (1 - cost / d).clamp(min=-1)


def budget_of(model: PreTrainedModel) -> Budget | None:
    """The budget that a policy reads; None for every other model."""
    return getattr(model, "budget", None)


@contextmanager
def metered(model: PreTrainedModel, prompt_mask: Tensor) -> Iterator[list[Meter]]:
    """What sampling from `model` needs beside it: nothing or, where it reads its budget, a meter."""
    budget = budget_of(model)
    if budget is None:
        yield []
        return
    try:
        yield [Meter(budget, prompt_mask)]
    finally:
        budget.left = None


@contextmanager
def budgeted(model: PreTrainedModel, rollouts: Rollouts) -> Iterator[None]:
    """Within, one pass over prompt and response (without its last token) reads the budgets of these responses."""
    budget = budget_of(model)
    if budget is None:
        yield
        return
    try:
        left = left_along(model, budget, rollouts) if rollouts.left is None else rollouts.left
        budget.left = torch.cat([left.new_ones(rollouts.prompt.shape)[:, 1:], left], 1)
        yield
    finally:
        budget.left = None


@torch.no_grad()
def left_along(model: PreTrainedModel, budget: Budget, rollouts: Rollouts) -> Tensor:
    """What is left before each token of the responses, `(B, T)`."""
    ids, width = torch.cat([rollouts.prompt, rollouts.response], 1), rollouts.prompt.shape[1]
    meter, policy = Meter(budget, rollouts.prompt_mask), Following(model, rollouts.prompt_mask)
    for end in range(width, ids.shape[1] - 1):
        meter(ids[:, :end], policy(ids[:, :end]).float())
    return meter.before(rollouts.response.shape[1])


def saved(folder: Path) -> tuple[Tensor, float, str, str] | None:
    """Vector `(H,)`, d, reading and teacher that `save` left in `folder`; None where it left none."""
    if not (folder / BUDGET).is_file():
        return None
    with safe_open(folder / BUDGET, "pt") as file:
        facts = json.loads(file.metadata()[FACTS])
        return file.get_tensor("vector"), float(facts["d"]), facts["reading"], facts["teacher"]
