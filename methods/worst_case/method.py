"""Worst-case constrained distillation: no prefix of a response may be too unlikely under the teacher.

    c_t = -log μ(a_t|s_t),   violated_t: (1/k) Σ_{i<=k} c_i > d for some k <= t
    R̂_t = -n where violated_t (`penalty: once`: at the first such t alone), else the task reward at the last token
    L = -(1/B) Σ_responses Σ_t γ^(t-1) [ Σ_a π_θ(a|s_t) R̂(s_t, a) + γ G_{t+1} log π_θ(a_t|s_t) ]
    G_t = R̂_t + γ G_{t+1}

Source: arXiv 2610.00332, as a re-implementation states it. Kept: the constraint on every prefix, absorbing; R̂ and G
detached; the exact expectation over the vocabulary of the immediate -n, Monte Carlo for what follows; a sum over
tokens, not a mean. Changed: the task reward stands beside G (likelihood ratio at the last token) and not under the
exact sum, because what a response would have earned by ending earlier is not known; both have the same mean. Our
choice: n and γ = 1; d, a setting because it bounds another cost than the study's threshold does; `penalty: once`,
because -n at each token rewards a violating response for ending early.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.batch import Batch
from training.method import Method as Base


def dearer(log_pi: Tensor, log_mu: Tensor, left: Tensor) -> Tensor:
    """Integrand: π where the token costs more than `left` `(N, 1)`; its sum is the chance of a violation next."""
    return torch.where(-log_mu > left, log_pi, -torch.inf).exp()


class Method(Base):
    """Exact next-token chance of a violation, and the likelihood ratio of what follows the token."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of minus the surrogate of the discounted return."""
        n, gamma = self.settings["n"], self.settings["gamma"]
        cost = torch.where(batch.mask, -batch.teacher_logp, 0.0)
        left = self._left(cost, batch.mask)
        crossed = (cost > left) & batch.mask
        violated = crossed.long().cumsum(1) > 0
        before = crossed.long().cumsum(1) > crossed.long()  # a prefix was violated before this token
        each = self.settings["penalty"] == "each"
        immediate = -n * torch.where(before, float(each), batch.expectation(dearer, left))
        later = self._later(batch, violated, violated if each else violated & ~before)
        discount = batch.logp.new_tensor(gamma) ** (batch.mask.long().cumsum(1) - 1).clamp(min=0)
        surrogate = torch.where(batch.mask, discount * (immediate + later * batch.logp), 0.0).sum(1)
        kept = 1 - (violated & batch.mask).any(1).float().mean()
        return -surrogate.mean(), {"cost": batch.mean(cost).mean().item(), "satisfied": kept.item()}

    def _left(self, cost: Tensor, mask: Tensor) -> Tensor:
        """What each token may cost so that the mean up to it stays within d, `(B, T)`: d t - Σ_{i<t} c_i."""
        return self.settings["d"] * mask.long().cumsum(1) - (cost.cumsum(1) - cost)

    def _later(self, batch: Batch, violated: Tensor, charged: Tensor) -> Tensor:
        """Return by Monte Carlo, `(B, T)`: the task reward at the last token, and γ G_{t+1}; -n where `charged`."""
        n, gamma, mask = self.settings["n"], self.settings["gamma"], batch.mask
        position = mask.long().cumsum(1)
        last = mask & (position == position[:, -1:])
        task = torch.where(last & ~violated, batch.rewards[:, None], 0.0)
        reward = torch.where(mask & charged, -n, task)
        later, following = [], torch.zeros_like(batch.rewards)
        for t in reversed(range(mask.shape[1])):
            later.append(task[:, t] + gamma * following)
            following = reward[:, t] + gamma * following
        return torch.stack(later[::-1], 1)
