"""GRPO by TRL's `GRPOTrainer`: a reference row that shares no training code with `methods/grpo`.

    L = -(1/B) Σ_i (1/|y_i|) Σ_t min(ρ_it A_i, clip(ρ_it, 1-ε, 1+ε) A_i),   A_i = (R_i - mean R) / (std R + 1e-4)

Source: TRL 1.16, `loss_type="grpo"`, `scale_rewards="group"`, `beta=0`; Shao et al., arXiv 2402.03300, eq. (3).
Kept from the study: data and their order, rewards, budget, optimiser, learning rate, clip, sampling at temperature 1.
Different: the random numbers of the rollouts, and every line of code between the prompt and the update.
"""

from __future__ import annotations

from typing import Any

from training.answers import is_correct
from training.run import Run
from training.trl_adapter import arguments, dataset
from training.trl_adapter import train as train_with


def train(run: Run) -> None:
    """Train `run.student` with TRL's GRPO."""
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        num_generations=run.train.samples, loss_type="grpo", scale_rewards="group", beta=0.0,
        epsilon=run.train.clip, **arguments(run),
    )  # fmt: skip
    train_with(run, GRPOTrainer(run.student, task_reward, config, dataset(run), processing_class=run.tokenizer))


def task_reward(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """The study's task reward R; a completion is a text or, after a chat template, a list of one message."""
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    return [float(is_correct(text, gold)) for text, gold in zip(texts, answer, strict=True)]
