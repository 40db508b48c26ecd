"""(a) One update of ours beside one of TRL's trainers, in turn, on models of the same weights.

TRL's update is measured as its own loop runs it, from the begin of a step to its end: fetching the data and writing the
log lie outside, so that what is left out is in its favour. Ours is the whole of `Trainer.update`.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerControl

from benchmarks.page import Row
from benchmarks.pairs import Shape, budget, llama, our_trainer, problems, shapes
from benchmarks.parts import gpu_columns
from benchmarks.timing import Bench, Clock, Effort, Rounds
from training.cost import Cost
from training.run import Run
from training.trl_adapter import arguments, dataset
from world import tokenizer

TARGET = 1.0
SEQUENCES = {"tiny": (8,), "micro": (8, 64, 128), "13 M": (8, 64)}
Make = Callable[[Run], Any]


class InTurn(TrainerCallback):
    """Before each step of TRL's loop one of ours; both timed, until there are enough rounds."""

    def __init__(self, ours: Callable[[int], object], effort: Effort, device: torch.device) -> None:
        self.ours, self.effort, self.device = ours, effort, device
        self.all: Rounds = []
        self.peak_bytes = 0  # of ours, beyond what is held between updates; on CUDA only

    @property
    def rounds(self) -> Rounds:
        """Seconds of ours and of TRL's by round, without the first ones."""
        return self.all[self.effort.warm :]

    def on_step_begin(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        """Ours, then start the clock for TRL's."""
        clock = Clock(self.device)
        self.ours(len(self.all))
        self.our_seconds, self.peak_bytes = clock.stop(), clock.peak_bytes()
        self.clock = Clock(self.device)

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        """Stop the clock; end TRL's loop once there are enough rounds."""
        self.all.append((self.our_seconds, self.clock.stop()))
        control.should_training_stop = self.effort.enough(len(self.rounds), sum(map(sum, self.rounds)))


def beside_trl(method: str, make: Make, shape: Shape, bench: Bench, sequences: int, target: float) -> Row:
    """An update of ours with `method` over one of the TRL trainer that `make` makes."""
    bench = replace(bench, dtype="float32")  # TRL's trainers step float32 weights alone, so ours does too
    effort = bench.effort(12.0)
    settings = budget(shape, bench, sequences, effort.warm + effort.most)
    student, teacher = llama(shape, bench, 1), llama(shape, bench, 2, teacher=True)
    ours = our_trainer(method, copy.deepcopy(student), teacher, settings)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            student, teacher, tokenizer.build(), problems(64), settings, {}, None, 0, Path(folder), Cost(),
            report=lambda row: None,
        )  # fmt: skip
        trainer = make(run)
        trainer.remove_callback(PrinterCallback)
        in_turn = InTurn(ours.update, effort, bench.device)
        trainer.add_callback(in_turn)
        trainer.train()
    labels = {"ours / TRL": f"{method} / {type(trainer).__name__}", "model": shape.title, "sequences": str(sequences)}
    more = gpu_columns(ours.cost, median(r[0] for r in in_turn.rounds), bench) if bench.device.type == "cuda" else {}
    if more:
        more["memory"] = f"{in_turn.peak_bytes / 1e9:.2f} GB"  # of ours, beyond what is held
    return Row(labels, in_turn.rounds, target, more=more)


def measure(bench: Bench) -> list[Row]:
    """Both trainers, each size of model and batch."""
    pairs = {"grpo": grpo, "gkd": distillation}
    return [
        beside_trl(method, make, shape, bench, sequences, TARGET)
        for shape in shapes(bench)
        for method, make in pairs.items()
        for sequences in SEQUENCES[shape.title]
    ]


def reward(completions: list[str], **_: Any) -> list[float]:
    """A reward that differs within each group."""
    return [float(i % 2) for i in range(len(completions))]


def grpo(run: Run, kind: type | None = None) -> Any:
    """TRL's `GRPOTrainer`, or a subclass of it, with the settings of the study's own reference row."""
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        num_generations=run.train.samples, loss_type="grpo", scale_rewards="group", beta=0.0,
        epsilon=run.train.clip, **arguments(run),
    )  # fmt: skip
    return (kind or GRPOTrainer)(run.student, reward, config, dataset(run), processing_class=run.tokenizer)


def distillation(run: Run) -> Any:
    """TRL's `DistillationTrainer` on the reverse KL."""
    from trl import DistillationConfig, DistillationTrainer

    config = DistillationConfig(beta=1.0, **arguments(run))
    rows = dataset(run, repeats=run.train.samples)
    return DistillationTrainer(run.student, run.teacher, config, rows, processing_class=run.tokenizer)
