"""What one training run is made of: the argument of `train(run)`, the loop's own or a method folder's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.cost import Cost
from training.data import Problem
from training.settings import TrainSettings


@dataclass(frozen=True)
class Run:
    """Models, data, training settings and where results go.

    A method folder whose `method.py` defines `train(run)` trains `student` in place for `train.steps` updates on
    `problems` in the order of `training.data.order`, calls `report` after each with the row for `train.jsonl`
    (`step` from 1, further plain numbers), and adds what it spends to `cost`. Monitoring and saving are done for it.
    `teacher` is None and `threshold` (d in nats) may be None where `method.yaml` does not ask for them.
    """

    student: PreTrainedModel
    teacher: PreTrainedModel | None
    tokenizer: PreTrainedTokenizerBase
    problems: list[Problem]
    train: TrainSettings
    settings: dict[str, Any]
    threshold: float | None
    seed: int
    out: Path
    cost: Cost
    report: Callable[[dict[str, Any]], None]
