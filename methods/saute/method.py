"""Sauté RL with what is left of the budget in the policy's input: what the paper's method replaces.

    R̂_i = R_i    where response i satisfies its divergence constraint, cost_i <= d (z_T >= 0)
    R̂_i = -n k_i otherwise, k_i = 1 (`penalty: once`) or the number of its tokens after which z < 0 (`each`)

    L = L_GRPO(R̂),   y_it ~ π_θ(· | s_t, z_t),   z_t = max(1 - cost_i(KL_0 .. KL_{t-1}) / d, -1)

Source: Sootla et al., arXiv 2202.06558, the reshaped reward and the augmented state. Kept: both; z normalised by d;
-n at each step with a spent budget (`each`). Changed: `once`, as the replicated paper tells it; GRPO learns. Our
choices: z enters through a learnt vector that starts at 0 (`training/budget.py`), is cut at -1, and no gradient flows
through it; a response that recovers, as it can under `mean`, pays nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.batch import Batch
from training.constraint import response_costs, satisfied
from training.divergence import reverse_kl
from training.method import Method as Base
from training.policy_gradient import group_advantage, policy_loss


class Method(Base):
    """GRPO on the reshaped reward of a policy that reads its budget."""

    reads_budget = True

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean clipped surrogate over rows."""
        kl = batch.expectation(reverse_kl).detach()
        within = self._within(kl, batch.mask)
        reshaped = torch.where(within, batch.rewards, -self.settings["n"] * self._spent(kl, batch.mask))
        advantage = group_advantage(reshaped, batch.group)
        loss = policy_loss(batch.logp, batch.old_logp, advantage, batch.mask, self.clip).mean()
        return loss, {"kl": batch.mean(kl).mean().item(), "satisfied": within.float().mean().item()}

    def _within(self, kl: Tensor, mask: Tensor) -> Tensor:
        """Whether responses with token KLs `(B, T)` are within d, `(B,)`."""
        assert self.threshold is not None
        return satisfied(response_costs(kl, mask)[self.settings["constraint"]], self.threshold)

    def _spent(self, kl: Tensor, mask: Tensor) -> Tensor:
        """How often an infeasible response pays n, `(B,)`."""
        if self.settings["penalty"] == "once":
            return torch.ones_like(kl[:, 0])
        within = [self._within(kl[:, :t], mask[:, :t]) for t in range(1, kl.shape[1] + 1)]
        return (mask & ~torch.stack(within, 1)).sum(1)
