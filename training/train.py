"""Train one run: a method with its settings, on a pair, from one seed.

    python -m training.train --params JSON --data DIR --student DIR --teacher DIR --threshold FILE --out DIR

Writes `policy/`, `train.jsonl` (one row per update), `curves.jsonl` (the monitor), `cost.json` and `run.json`.
A run that fails is a result too: `run.json` says `failed` and why, and `policy/` holds no model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from training.cost import Cost
from training.data import derive_seed, read_problems
from training.errors import TrainingFailed, UserError, cli, nearest
from training.folders import Folder, find_folders
from training.loop import Trainer
from training.method import Method
from training.models import check_same_vocabulary, load_policy, load_tokenizer
from training.monitor import Monitor
from training.progress import Progress
from training.run import Run
from training.schema import Strict, parse
from training.settings import TrainSettings


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


def find_method(params: RunParams, threshold: float | None) -> Folder:
    """The run's method folder; `UserError` where there is none or it lacks its threshold."""
    folders = find_folders(tuple(params.methods_path))
    if params.method not in folders:
        raise UserError(f"there is no method '{params.method}'; {nearest(params.method, folders)}")
    folder = folders[params.method]
    if folder.declares.needs.threshold and threshold is None:
        raise UserError(f"method '{params.method}' needs a threshold d; pass --threshold FILE")
    return folder


def run(params: RunParams, arguments: argparse.Namespace) -> None:
    """Train and write everything to `arguments.out`; `TrainingFailed` leaves the logs up to the failure."""
    threshold = json.loads(arguments.threshold.read_text())["d"] if arguments.threshold else None
    folder = find_method(params, threshold)
    tokenizer = load_tokenizer(arguments.student)
    check_same_vocabulary(tokenizer, load_tokenizer(arguments.teacher))
    torch.manual_seed(derive_seed(params.seed, "start"))
    student = load_policy(arguments.student, params.train.dtype)
    teacher = load_policy(arguments.teacher, params.train.dtype).requires_grad_(False)
    problems = read_problems(arguments.data / "train.jsonl")
    validation = read_problems(arguments.data / "validation.jsonl", params.train.monitor_prompts)
    monitor = Monitor(teacher, tokenizer, validation, params.train.max_new_tokens)
    needed = teacher if folder.declares.needs.teacher or params.train.kl_warmup > 0 else None
    cost = Cost()
    this = Run(
        student, needed, tokenizer, problems, params.train, params.settings, threshold, params.seed, arguments.out,
        cost, Report(student, monitor, params, threshold, arguments.out),
    )  # fmt: skip
    own = folder.own_train()
    try:
        own(this) if own else train(this, folder.load())
    finally:
        (arguments.out / "cost.json").write_text(json.dumps(cost.to_json()))
    save_policy(student, tokenizer, arguments.out / "policy")


def train(run: Run, method: type[Method]) -> None:
    """All updates of the shared loop."""
    made = method(run.settings, run.threshold, run.budget.clip)
    trainer = Trainer(made, run.student, run.teacher, run.tokenizer, run.problems, run.budget, run.seed)
    trainer.cost = run.cost
    for row in trainer.steps():
        run.report(row)


class Report:
    """The log, the monitor's curves and the progress line of a run; called with the row of each update."""

    def __init__(
        self, student: PreTrainedModel, monitor: Monitor, params: RunParams, threshold: float | None, out: Path
    ) -> None:
        self.student, self.monitor, self.budget, self.threshold = student, monitor, params.train, threshold
        self.log, self.curves = out / "train.jsonl", out / "curves.jsonl"
        self.progress = Progress(params.run, params.train.steps)
        self.log.write_text("")
        self.curves.write_text("")
        self._measure(0)

    def __call__(self, row: dict[str, Any]) -> None:
        """Write the row; measure the policy where it is due."""
        step = row["step"]
        _append(self.log, {name: round(value, 6) for name, value in row.items()})
        if step % self.budget.monitor_every == 0 or step == self.budget.steps:
            self._measure(step)
        self.progress.show(step, reward=row.get("reward"), **_standing(self.measured, self.threshold))

    def _measure(self, step: int) -> None:
        self.measured = self.monitor.measure(self.student, step)
        _append(self.curves, self.measured)


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        print(json.dumps(row), file=file)


def _standing(measured: dict[str, Any], threshold: float | None) -> dict[str, float]:
    """Where the monitor last saw the policy; without a threshold, the KL that 95 % of responses stay below."""
    kl = sorted(measured["kl_mean"])
    mean = {"KL": sum(kl) / len(kl)}
    if threshold is None:
        return {**mean, "KL95": kl[int(0.95 * (len(kl) - 1))]}
    return {**mean, "satisfied": sum(k <= threshold for k in kl) / len(kl)}


def save_policy(student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """The trained student as an ordinary Hugging Face folder (safetensors)."""
    student.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def main(argv: list[str] | None = None) -> None:
    """Command line of the training rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--params", required=True, help="JSON of RunParams")
    for name in ("data", "student", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--threshold", type=Path, help="JSON file with d, for methods that need it")
    arguments = parser.parse_args(argv)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    params = parse(RunParams, json.loads(arguments.params), "--params")
    shutil.rmtree(arguments.out / "policy", ignore_errors=True)
    (arguments.out / "policy").mkdir(parents=True)
    status: dict[str, Any] = {"status": "ok", "why": ""}
    try:
        run(params, arguments)
    except TrainingFailed as failure:
        status = {"status": "failed", "why": str(failure)}
        print(f"[{params.run}] failed: {failure}", file=sys.stderr)
    record = {**status, **params.model_dump(mode="json")}
    (arguments.out / "run.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    cli(main)
