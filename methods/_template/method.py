"""My method: what it maximises, in one line.

    L = L_GRPO(R) + w (1/B) Σ_i (1/|y_i|) Σ_t D_β(μ(·|s_t) ‖ π_θ(·|s_t)),   y_i ~ π_θ

with D the generalised Jensen-Shannon divergence. Source: Agarwal et al., arXiv 2306.13649, reinforcement learning
combined with on-policy distillation. Kept: what stands in the source and here. Dropped: what stands there only.

This is a working method. Write your own equation here, then change `loss` below, `method.yaml`, `README.md` and
`cite.bib`; docs/add_a_method.md lists what a batch gives. This file has at most 150 lines.
"""

from __future__ import annotations

from torch import Tensor

from training.batch import Batch
from training.divergence import generalised_jsd
from training.method import Method as Base
from training.method import Settings
from training.policy_gradient import group_advantage, policy_loss


class Method(Base):
    """Task reward by policy gradient plus a weighted divergence from the teacher."""

    # Where responses come from. Both lines only repeat the defaults: leave them out if they suit.
    teacher_mix = 0.0  # share of the teacher in the sampling distribution; 1.0 samples from the teacher alone
    data_share = 0.0  # share of updates on the data set's own solutions in place of samples

    def __init__(self, settings: Settings, threshold: float | None = None, clip: float = 0.2) -> None:
        """`settings`: the values of `method.yaml`'s settings for this run; `threshold`: d, if `needs` asks for it."""
        super().__init__(settings, threshold, clip)
        self.divergence = generalised_jsd(settings["beta"])

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and what to log of it. Called once per micro-batch, on whole groups."""
        # A divergence: exact over the vocabulary at each token (B, T), then its mean over each response's tokens.
        # It comes first: the same pass over the vocabulary then gives `batch.logp` too.
        divergence = batch.mean(batch.expectation(self.divergence))  # (B,), with gradient

        # A reward: the advantage compares the responses to one question. No gradient flows through it.
        advantage = group_advantage(batch.rewards, batch.group)  # (B,)
        surrogate = policy_loss(batch.logp, batch.old_logp, advantage, batch.mask, self.clip)  # (B,)

        # The mean over rows, and each statistic that `method.yaml` names, as a plain float.
        loss = (surrogate + self.settings["weight"] * divergence).mean()
        return loss, {"divergence": divergence.mean().item()}

    # Something that changes from update to update (a multiplier, a moving average) is set up in `__init__`, moved in
    # `after_update(statistics)` and saved by `state_dict` and `load_state_dict`: see methods/dual_lagrangian/method.py.
