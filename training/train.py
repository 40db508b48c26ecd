"""Train one run: a method with its settings, on a pair, from one seed.

    python -m training.train --params JSON --data DIR --student DIR --teacher DIR --threshold FILE --out DIR

Writes `policy/`, `train.jsonl` (one row per update), `curves.jsonl` (the monitor), `cost.json` and, last, `run.json`.
A run that fails is a result too: `run.json` says `failed` and why, and `policy/` holds no model. With `--checkpoints
DIR` a run that was killed goes on from its last checkpoint to the same bits, unless its method brings its own trainer:
then it starts again. The folder is removed when the run is done.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from training import parallel
from training.budget import budget_of
from training.checkpoint import Checkpoints, Saved
from training.cost import Cost
from training.data import derive_seed
from training.engine import check_engine
from training.errors import TrainingFailed, cli
from training.failures import Watched
from training.files import write_whole
from training.inputs import Inputs, read_inputs
from training.loop import Trainer
from training.method import Method
from training.models import check_same_vocabulary, load_policy, load_teacher, load_tokenizer
from training.monitor import Monitor
from training.progress import Progress
from training.run import Run
from training.schema import Strict, read_params
from training.settings import TrainSettings
from training.state import restore, snapshot
from training.stops import share_stops, stop_ids

LOGS = ("train.jsonl", "curves.jsonl")


class RunParams(Strict):
    """What determines a run, next to its data and models."""

    run: str
    method: str
    settings: dict[str, Any]
    seed: int
    train: TrainSettings
    methods_path: list[Path] = Field(default_factory=list)
    inputs: dict[str, str] = Field(default_factory=dict)
    code: str = ""


def run(params: RunParams, arguments: argparse.Namespace, inputs: Inputs) -> None:
    """Train and write everything to `arguments.out`; `TrainingFailed` leaves the logs up to the failure."""
    folder, settings = inputs.method, params.train.in_updates(len(inputs.problems))
    params = params.model_copy(update={"train": settings})
    tokenizer, theirs = load_tokenizer(arguments.student), load_tokenizer(arguments.teacher)
    check_same_vocabulary(tokenizer, theirs)
    torch.manual_seed(derive_seed(params.seed, "start"))
    student = load_policy(arguments.student, settings.dtype)
    teacher = load_teacher(arguments.teacher, settings.teacher_dtype or settings.dtype, settings.dtype)
    share_stops(student, tokenizer, stop_ids(teacher, theirs))
    if settings.gradient_checkpointing:
        student.activation_checkpointing_enable()
    monitor = Monitor(teacher, tokenizer, inputs.validation[: settings.monitor_prompts], settings.max_new_tokens)
    needed = teacher if folder.declares.needs.teacher or settings.kl_warmup > 0 else None
    cost, checkpoints = Cost(), _checkpoints(params, arguments)
    try:
        with Watched(folder.path, cost):
            own = folder.own_train()
            with parallel.first_before_others():  # it removes what is damaged
                saved = checkpoints.newest() if checkpoints and not own else None
            silent = parallel.rank() > 0
            with parallel.Together(0):  # the first measurement
                report = _nothing if silent else Report(
                    student, monitor, params, inputs.threshold, arguments.out, saved
                )  # fmt: skip
            this = Run(
                student, needed, tokenizer, inputs.problems, settings, params.settings, inputs.threshold, params.seed,
                arguments.out, cost, report,
            )  # fmt: skip
            own(this) if own else train(this, folder.load(), None if silent else checkpoints, saved)
    finally:
        if parallel.rank() == 0:
            (arguments.out / "cost.json").write_text(json.dumps(cost.to_json()))
    if parallel.rank() == 0:
        save_policy(student, tokenizer, arguments.out / "policy")


def _nothing(row: dict[str, Any]) -> None:
    """What all processes but the first report."""


def _checkpoints(params: RunParams, arguments: argparse.Namespace) -> Checkpoints | None:
    if arguments.checkpoints is None:
        return None
    logs = tuple(arguments.out / name for name in LOGS)
    return Checkpoints(arguments.checkpoints, params.model_dump(mode="json"), logs)


def train(run: Run, method: type[Method], checkpoints: Checkpoints | None, saved: Saved | None) -> None:
    """All updates of the shared loop, from the first or from the checkpoint `saved` on."""
    made = method(run.settings, run.threshold, run.train.clip)
    trainer = Trainer(made, run.student, run.teacher, run.tokenizer, run.problems, run.train, run.seed)
    trainer.cost = run.cost
    first = restore(trainer, saved) if saved else 0
    for row in trainer.steps(first):
        with parallel.Together(row["step"]):
            run.report(row)
            if checkpoints and checkpoints.due():
                checkpoints.save(row["step"], *snapshot(trainer))


class Report:
    """The log, the monitor's curves and the progress line of a run; called with the row of each update."""

    def __init__(
        self, student: PreTrainedModel, monitor: Monitor, params: RunParams, threshold: float | None, out: Path,
        saved: Saved | None,
    ) -> None:  # fmt: skip
        """Start the logs, or take them up where the checkpoint `saved` was made."""
        self.student, self.monitor, self.train, self.threshold = student, monitor, params.train, threshold
        self.reading = params.settings.get("constraint", "mean")
        self.log, self.curves = (out / name for name in LOGS)
        self.progress = Progress(params.run, params.train.steps, first=saved.step if saved else 0)
        if saved is None:
            self._measure(0)
            return
        for path in (self.log, self.curves):
            path.write_text(saved.logs[path.name])
        self.measured = json.loads(saved.logs[self.curves.name].splitlines()[-1])

    def __call__(self, row: dict[str, Any]) -> None:
        """Write the row; measure the policy where it is due."""
        step = row["step"]
        _append(self.log, {name: round(value, 6) for name, value in row.items()})
        if step % self.train.monitor_every == 0 or step == self.train.steps:
            self._measure(step)
        self.progress.show(step, reward=row.get("reward"), **_standing(self.measured, self.threshold, self.reading))

    def _measure(self, step: int) -> None:
        self.measured = self.monitor.measure(self.student, step)
        _append(self.curves, self.measured)


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        print(json.dumps(row), file=file)


def _standing(measured: dict[str, Any], threshold: float | None, reading: str) -> dict[str, float]:
    """Where the monitor last saw the policy; without a threshold, the KL that 95 % of responses stay below."""
    kl = sorted(measured["kl_mean"])
    mean = {"KL": sum(kl) / len(kl)}
    if threshold is None:
        return {**mean, "KL95": kl[math.ceil(0.95 * len(kl)) - 1]}
    return {**mean, "satisfied": sum(cost <= threshold for cost in measured[f"kl_{reading}"]) / len(kl)}


def save_policy(student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """The trained student as an ordinary Hugging Face folder (safetensors); beside it the budget, if it reads one."""
    budget = budget_of(student)
    plain = None if budget is None else {n: w for n, w in student.state_dict().items() if not n.startswith("budget.")}
    try:
        student.save_pretrained(folder, safe_serialization=True, state_dict=plain)
        if budget is not None:
            budget.save(folder)
    except SafetensorError as error:  # its only word for a full disk
        raise OSError(errno.EIO, str(error), str(folder)) from error
    tokenizer.save_pretrained(folder)


def main(argv: list[str] | None = None) -> None:
    """Command line of the training rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--params", required=True, help="JSON of RunParams")
    for name in ("data", "student", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--threshold", type=Path, help="JSON file with d, for methods that need it")
    parser.add_argument("--checkpoints", type=Path, help="folder for this run's checkpoints; none are kept without it")
    arguments = parser.parse_args(argv)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    params = read_params(RunParams, arguments.params)
    inputs = read_inputs(params.method, params.methods_path, params.settings, arguments)
    check_engine(params.train, inputs.method)
    if params.train.processes > 1 and not parallel.started():
        parallel.launch("training.train", sys.argv[1:] if argv is None else argv, params.train.processes)
    elif parallel.rank() == 0:
        recorded(params, arguments, inputs)
    else:
        with suppress(TrainingFailed):  # the first process records it
            run(params, arguments, inputs)


def recorded(params: RunParams, arguments: argparse.Namespace, inputs: Inputs) -> None:
    """The run in its folder, made anew; `run.json`, written last, says how it ended."""
    shutil.rmtree(arguments.out / "policy", ignore_errors=True)
    (arguments.out / "policy").mkdir(parents=True)
    for name in LOGS:
        (arguments.out / name).write_text("")
    status: dict[str, Any] = {"status": "ok", "why": ""}
    try:
        run(params, arguments, inputs)
    except TrainingFailed as failure:
        status = {"status": "failed", "why": str(failure)}
        print(f"[{params.run}] failed: {failure}", file=sys.stderr)
    record = {**status, **params.model_dump(mode="json")}
    write_whole(arguments.out / "run.json", json.dumps(record, indent=1))
    if arguments.checkpoints and status["status"] == "ok":
        shutil.rmtree(arguments.checkpoints, ignore_errors=True)


if __name__ == "__main__":
    cli(main)
