"""SFT: maximum likelihood of the data set's own solutions. No teacher, no sampling: a cheap reference.

    L = -(1/B) Σ_i Σ_t log π_θ(y_it|s_t),   y_i the solution of question i in the data

Source: the supervised baseline of the distillation literature (for instance Kim and Rush, arXiv 1606.07947,
section 3.1). Kept: teacher forcing, the solution's tokens only, summed (a mean over each solution's tokens would weigh
short ones more and be no likelihood). Dropped: nothing.
"""

from __future__ import annotations

from torch import Tensor

from training.batch import Batch
from training.method import Method as Base


class Method(Base):
    """Cross-entropy on the solutions."""

    data_share = 1.0  # every update on the data set's solutions

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of the negative log-likelihood of a solution; logged per token."""
        return -batch.logp.sum(1).mean(), {"nll": -batch.mean(batch.logp.detach()).mean().item()}
