"""MiniLLM: policy gradient on the sequence-level reverse KL.

    r_t = log μ(y_t|s_t) - log π(y_t|s_t)
    L = (1/B) Σ_i (1/|y_i|) Σ_t w_t [ KL(π_θ(·|s_t) ‖ μ(·|s_t)) - min(ρ_t G_t, clip(ρ_t) G_t) ]
    G_t = Σ_{t'>t} r_t' / (T - t),  undivided where `length_normalised` is false

Source: Gu et al., arXiv 2306.08543, eqs. (3)-(5) and algorithm 1. The first term is the exact single-step part,
Σ_v π(v) r_t(v), the second the long-term part. Kept: length-normalised return, teacher-mixed sampling (setting
`teacher_mix`) with importance weights, for one token π / (α μ + (1-α) π). `weights: step` takes the token's own as
w_t, as the source does: less variance, but biased; `sequence` takes the product over the whole response: unbiased.
Dropped: the language-modelling loss on a pre-training corpus (there is none here), several updates per batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.batch import Batch
from training.divergence import reverse_kl
from training.method import Method as Base
from training.method import Settings


class Method(Base):
    """Single-step exact reverse KL plus the long-term return of later log-ratios."""

    def __init__(self, settings: Settings, threshold: float | None = None, clip: float = 0.2) -> None:
        super().__init__(settings, threshold, clip)
        self.teacher_mix = settings["teacher_mix"]

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of the weighted single-step and long-term terms."""
        kl = batch.expectation(reverse_kl)
        mask = batch.mask
        old = batch.old_logp
        ratio = torch.where(mask, batch.logp - old, 0.0).exp()
        future = self._return(torch.where(mask, batch.teacher_logp - old, 0.0), mask)
        long_term = torch.minimum(ratio * future, ratio.clamp(1 - self.clip, 1 + self.clip) * future)
        loss = batch.mean(self._weights(batch, old) * (kl - long_term)).mean()
        return loss, {"kl": batch.mean(kl.detach()).mean().item()}

    def _return(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """Return after each token, `(B, T)`: sum (or mean) of the later rewards of the response."""
        later = rewards.flip(1).cumsum(1).flip(1) - rewards
        if not self.settings["length_normalised"]:
            return later
        position = mask.long().cumsum(1)
        return later / (position[:, -1:] - position).clamp(min=1)

    def _weights(self, batch: Batch, old: Tensor) -> Tensor:
        """Importance weights `(B, T)` of tokens drawn from the teacher mixture; 1 for on-policy sampling."""
        if self.teacher_mix == 0.0:
            return torch.ones_like(old)
        mixture = self.teacher_mix * batch.teacher_logp.exp() + (1 - self.teacher_mix) * old.exp()
        step = torch.where(batch.mask, old.exp() / mixture, 1.0)
        return step if self.settings["weights"] == "step" else step.prod(1, keepdim=True).expand_as(step)
