"""GKD: on-policy distillation, no task reward (the paper's pure-KL row).

    L = (1/B) Σ_i (1/|y_i|) Σ_t D_β(μ(·|s_t) ‖ π_θ(·|s_t)),   y_i ~ π_θ

with D the generalised Jensen-Shannon divergence; β = 1 is the reverse KL of the replicated study, β = 0 the
forward KL. Source: Agarwal et al., arXiv 2306.13649, eq. (1) and algorithm 1. Kept: exact over the vocabulary,
no gradient through sampling, the share `on_policy` of updates on student samples (the rest on the data set's
solutions). Dropped: sampling temperature other than 1.
"""

from __future__ import annotations

from torch import Tensor

from training.batch import Batch
from training.divergence import generalised_jsd
from training.method import Method as Base
from training.method import Settings


class Method(Base):
    """Exact divergence at every token of the student's own responses."""

    def __init__(self, settings: Settings, threshold: float | None = None, clip: float = 0.2) -> None:
        super().__init__(settings, threshold, clip)
        self.integrand = generalised_jsd(settings["beta"])
        self.data_share = 1.0 - settings["on_policy"]

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of the mean divergence per response token."""
        divergence = batch.mean_expectation(self.integrand)
        return divergence, {"divergence": divergence.item()}
