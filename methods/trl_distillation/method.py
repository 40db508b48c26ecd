"""On-policy distillation by TRL's `DistillationTrainer`: a reference row beside `methods/gkd`.

    L = Σ_i Σ_t D_β(μ(·|s_t) ‖ π_θ(·|s_t)) / Σ_i |y_i|,   y_i ~ π_θ

Source: TRL 1.16; Agarwal et al., arXiv 2306.13649, eq. (1). Kept from the study: data and their order, budget,
optimiser, learning rate, sampling at temperature 1, `samples` responses per question. Different: the mean is over
the batch's tokens (ours: over each response's tokens, then over responses), so long responses count more; the
teacher has no probability floor; the random numbers of the rollouts.
"""

from __future__ import annotations

from training.run import Run
from training.trl_adapter import arguments, dataset
from training.trl_adapter import train as train_with


def train(run: Run) -> None:
    """Train `run.student` with TRL's generalised Jensen-Shannon distillation."""
    from trl import DistillationConfig, DistillationTrainer

    config = DistillationConfig(beta=run.settings["beta"], **arguments(run))
    rows = dataset(run, repeats=run.train.samples)
    train_with(run, DistillationTrainer(run.student, run.teacher, config, rows, processing_class=run.tokenizer))
