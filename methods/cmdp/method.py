"""The constrained method of the paper ("CRL"): modified reward, no multiplier, no state augmentation.

    R̂_i = R_i               where response i satisfies its divergence constraint, cost_i <= d
    R̂_i = -(n + φ_i)        otherwise, φ_i the student-teacher KL of the response

    L = L_GRPO(R̂) + (1/B) Σ_{i infeasible} φ_i

Source: arXiv 2509.22921, modified reward and Eq. (5): (I) a likelihood-ratio term with R̂ as the return,
estimated by GRPO's group-relative advantage, (II) the explicit dependence of R̂ on θ, which is -∂φ on infeasible
responses and 0 on feasible ones. Kept: n = 20; the boundary is ignored. Our choices, where the text is silent:
φ is the response's mean KL (`phi: mean`), (II) has coefficient 1 and is not divided by the group's deviation.
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
    """GRPO on the modified reward plus a reverse-KL descent step on infeasible responses."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Terms (I) and (II), as a mean over rows."""
        assert self.threshold is not None
        kl = batch.expectation(reverse_kl)
        cost = response_costs(kl.detach(), batch.mask)[self.settings["constraint"]]
        feasible = satisfied(cost, self.threshold)
        phi = self._phi(kl, batch)
        modified = torch.where(feasible, batch.rewards, -(self.settings["n"] + phi.detach()))
        advantage = group_advantage(modified, batch.group)
        surrogate = policy_loss(batch.logp, batch.old_logp, advantage, batch.mask, self.clip)
        loss = (surrogate + torch.where(feasible, 0.0, phi)).mean()
        return loss, {"kl": batch.mean(kl.detach()).mean().item(), "satisfied": feasible.float().mean().item()}

    def _phi(self, kl: Tensor, batch: Batch) -> Tensor:
        """φ of each response `(B,)`, with gradient: its mean KL, the KL at its last token, or 0."""
        choice = self.settings["phi"]
        if choice == "none":
            return torch.zeros_like(batch.rewards)
        if choice == "mean":
            return batch.mean(kl)
        last = (batch.mask.long().sum(1) - 1).clamp(min=0)
        return kl.gather(1, last[:, None])[:, 0]  # of an empty response 0, as everywhere outside the mask
