"""Soft Lagrangian relaxation with a fixed multiplier (GKD-GRPO in the paper).

    maximise E[R] - λ E[KL]   as   L = L_GRPO(R) + λ (1/B) Σ_i (1/|y_i|) Σ_t KL(π_θ(·|s_t) ‖ μ(·|s_t))

Source: the paper's baseline of arXiv 2509.22921 (λ fixed and tuned by hand, no dual ascent). Kept: exact reverse
KL over the vocabulary, back-propagated at the sampled prefixes. Dropped: the KL in the return, so the advantage
is of the task reward alone (our choice; the text is not explicit).
"""

from __future__ import annotations

from torch import Tensor

from training.batch import Batch
from training.divergence import reverse_kl
from training.method import Method as Base
from training.policy_gradient import group_advantage, policy_loss


class Method(Base):
    """GRPO plus λ times the mean reverse KL."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of the clipped surrogate plus λ times the response's mean reverse KL."""
        kl = batch.mean(batch.expectation(reverse_kl))
        advantage = group_advantage(batch.rewards, batch.group)
        surrogate = policy_loss(batch.logp, batch.old_logp, advantage, batch.mask, self.clip)
        loss = (surrogate + self.settings["lambda"] * kl).mean()
        return loss, {"kl": kl.mean().item()}
