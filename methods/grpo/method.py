"""GRPO: the task reward alone (the paper's λ = 0 row).

    L = -(1/B) Σ_i (1/|y_i|) Σ_t min(ρ_it A_i, clip(ρ_it, 1-ε, 1+ε) A_i),   A_i = (R_i - mean R) / (std R + 1e-4)

mean and std over the G responses to one question, ρ the probability ratio to the sampling policy.
Source: Shao et al., arXiv 2402.03300, eq. (3) without its reference-model KL, which the replicated study does
not use. Kept: length normalisation per response, division by the group's standard deviation. Dropped: several
updates per batch (one is taken, so ρ = 1 and the clip never acts).
"""

from __future__ import annotations

from torch import Tensor

from training.batch import Batch
from training.method import Method as Base
from training.policy_gradient import group_advantage, policy_loss


class Method(Base):
    """Policy gradient on the group-relative advantage of the task reward."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean clipped surrogate over rows."""
        advantage = group_advantage(batch.rewards, batch.group)
        loss = policy_loss(batch.logp, batch.old_logp, advantage, batch.mask, self.clip).mean()
        return loss, {"advantage_abs": advantage.abs().mean().item()}
