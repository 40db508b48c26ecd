"""Dual Lagrangian: the multiplier is learnt by dual ascent on the measured violation.

    max_π min_{λ >= 0} E[R] - λ (E[cost] - d)
    policy:      L = L_GRPO(R) + λ (1/B) Σ_i cost_i         cost_i: mean KL of response i (reading `mean`)
    multiplier:  λ <- max(0, λ + η (mean of cost_i over the update - d))

Source: primal-dual ascent on the Lagrangian (Altman, Constrained Markov Decision Processes, 1999; for deep policies
Tessler et al., arXiv 1805.11074, algorithm 1). The replicated paper argues against its cost, so it is measured here.
Kept: a step as large as the violation, not of its sign; the projection, so λ returns to 0 where the constraint holds
with room to spare; one step of λ per policy update, on the same responses. Dropped: a critic and a slower learning
rate for λ. As in `soft_lagrangian` the cost enters through its exact gradient at the sampled prefixes, and the
advantage is of the task reward alone. The constraint is on the mean over responses, not on each of them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from training.batch import Batch
from training.constraint import response_costs, satisfied
from training.divergence import reverse_kl
from training.method import Method as Base
from training.method import Settings
from training.policy_gradient import group_advantage, policy_loss


class Method(Base):
    """GRPO plus the current multiplier times the cost; the multiplier follows the violation."""

    def __init__(self, settings: Settings, threshold: float | None = None, clip: float = 0.2) -> None:
        super().__init__(settings, threshold, clip)
        self.multiplier = float(settings["start"])

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of the clipped surrogate plus λ times the response's cost."""
        assert self.threshold is not None
        cost = response_costs(batch.expectation(reverse_kl), batch.mask)[self.settings["constraint"]]
        advantage = group_advantage(batch.rewards, batch.group)
        surrogate = policy_loss(batch.logp, batch.old_logp, advantage, batch.mask, self.clip)
        within = satisfied(cost.detach(), self.threshold).float().mean().item()
        statistics = {"cost": cost.mean().item(), "satisfied": within, "lambda": self.multiplier}
        return (surrogate + self.multiplier * cost).mean(), statistics

    def after_update(self, statistics: dict[str, float]) -> None:
        """The dual step, on the mean cost of all the update's responses (micro-batches are averaged already)."""
        assert self.threshold is not None
        violation = statistics["cost"] - self.threshold
        self.multiplier = max(0.0, self.multiplier + self.settings["eta"] * violation)

    def state_dict(self) -> dict[str, Any]:
        """The multiplier."""
        return {"multiplier": self.multiplier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved multiplier."""
        self.multiplier = float(state["multiplier"])
