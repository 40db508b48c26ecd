"""SeqKD: maximum likelihood of responses sampled from the teacher.

    L = -(1/B) Σ_i Σ_t log π_θ(y_it|s_t),   y_i ~ μ

Source: Kim and Rush, arXiv 1606.07947, section 3.2. Its mean is the forward KL of whole responses, KL(μ ‖ π_θ), plus
the teacher's entropy. Kept: the teacher's responses are the only targets; no reward; the sum over tokens, since a mean
over each response's tokens would have another optimum, π ∝ μ(y)/|y|, which prefers short responses. Changed: responses
are sampled anew at each update, at temperature 1, where the source takes the teacher's mode by beam search once.
Dropped: nothing.
"""

from __future__ import annotations

from torch import Tensor

from training.batch import Batch
from training.method import Method as Base


class Method(Base):
    """Cross-entropy on the teacher's samples."""

    teacher_mix = 1.0  # every token is drawn from the teacher

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over rows of the negative log-likelihood of a response; logged per token."""
        return -batch.logp.sum(1).mean(), {"nll": -batch.mean(batch.logp.detach()).mean().item()}
