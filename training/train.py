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

from training.data import derive_seed, read_problems
from training.errors import TrainingFailed, UserError, cli, nearest
from training.folders import find_folders
from training.loop import Trainer
from training.method import Method
from training.models import check_same_vocabulary, load_policy, load_tokenizer
from training.monitor import Monitor
from training.progress import Progress
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


def build_method(params: RunParams, threshold: float | None) -> tuple[Method, bool]:
    """The method object, and whether training needs the teacher."""
    folders = find_folders(tuple(params.methods_path))
    if params.method not in folders:
        raise UserError(f"there is no method '{params.method}'; {nearest(params.method, folders)}")
    folder = folders[params.method]
    needs = folder.declares.needs
    if needs.threshold and threshold is None:
        raise UserError(f"method '{params.method}' needs a threshold d; pass --threshold FILE")
    method = folder.load()(params.settings, threshold, params.train.clip)
    return method, needs.teacher or params.train.kl_warmup > 0


def run(params: RunParams, arguments: argparse.Namespace) -> None:
    """Train and write everything to `arguments.out`; `TrainingFailed` leaves the logs up to the failure."""
    threshold = json.loads(arguments.threshold.read_text())["d"] if arguments.threshold else None
    method, needs_teacher = build_method(params, threshold)
    tokenizer = load_tokenizer(arguments.student)
    check_same_vocabulary(tokenizer, load_tokenizer(arguments.teacher))
    torch.manual_seed(derive_seed(params.seed, "start"))
    student = load_policy(arguments.student, params.train.dtype)
    teacher = load_policy(arguments.teacher, params.train.dtype).requires_grad_(False)
    problems = read_problems(arguments.data / "train.jsonl")
    validation = read_problems(arguments.data / "validation.jsonl", params.train.monitor_prompts)
    monitor = Monitor(teacher, tokenizer, validation, params.train.max_new_tokens)
    trainer = Trainer(
        method, student, teacher if needs_teacher else None, tokenizer, problems, params.train, params.seed
    )
    try:
        train(trainer, monitor, params, threshold, arguments.out)
    finally:
        (arguments.out / "cost.json").write_text(json.dumps(trainer.cost.to_json()))
    save_policy(student, tokenizer, arguments.out / "policy")


def train(trainer: Trainer, monitor: Monitor, params: RunParams, threshold: float | None, out: Path) -> None:
    """All updates, with the log, the monitor and the progress line."""
    every, total = params.train.monitor_every, params.train.steps
    progress = Progress(params.run, total)
    with (out / "train.jsonl").open("w") as log, (out / "curves.jsonl").open("w") as curves:
        measured = monitor.measure(trainer.student, 0)
        print(json.dumps(measured), file=curves)
        for row in trainer.steps():
            print(json.dumps({k: round(v, 6) for k, v in row.items()}), file=log)
            if row["step"] % every == 0 or row["step"] == total:
                measured = monitor.measure(trainer.student, row["step"])
                print(json.dumps(measured), file=curves, flush=True)
            progress.show(row["step"], reward=row.get("reward"), **_standing(measured, threshold))


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
