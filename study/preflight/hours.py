"""Hours of a size by rule: as measured in runs that finished here, on a CPU as timed for the size, else by formula."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sources.rows import read_rows
from sources.settings import ProblemData
from study.config import Pair, Size
from study.devices import Device
from study.durations import DURATIONS, finished_run
from study.planned import CONTROLS
from study.preflight.estimates import HOUR, fine_tuning_s, generate_s, score_s, update_s
from study.preflight.facts import Facts
from study.preflight.findings import Prompts
from study.runs import CALIBRATES, values_of
from training.errors import UserError, nearest
from training.folders import find_folders
from training.method_source import class_constant
from training.settings import TrainSettings

# As published, to count epochs in updates; of SVAMP what `sources.catalogue` leaves to training.
TRAINING_PROBLEMS = {"gsm8k": 7473, "math": 7500, "svamp": 800, "reasoning_gym": 4080}
GUESSED = 7500  # of a set of one's own that cannot be read
_folders = cache(find_folders)  # read once: each look costs a third of a second
# Settings that decide how long an update takes.
ALIKE = (
    "questions", "samples", "max_new_tokens", "dtype", "teacher_dtype", "processes", "cache", "micro_questions",
    "micro_tokens", "gradient_checkpointing",
)  # fmt: skip
REFERENCES = 2  # teacher and student, evaluated but not trained
TIMED = "as timed on one core of an x86-64 server with bfloat16 instructions (study/durations.yaml)"


@dataclass(frozen=True)
class Clock:
    """What seconds are taken from: a device, whether it is this machine's, and timings of the size's jobs by rule."""

    device: Device
    here: bool
    timed: dict[str, float] = field(default_factory=dict)


def clock(size: str, device: Device, here: bool) -> Clock:
    """The clock for `config/<size>.yaml`; timings are those of CPUs, so that no card is reckoned by them."""
    return Clock(device, here, DURATIONS["sizes"].get(size, {}) if device.cores else {})


def counted(size: Size, pair: str) -> TrainSettings:
    """Training settings with epochs counted in updates, as far as the number of problems is known."""
    data, train = size.pairs[pair].data, size.train_of(pair)
    problems, world = data.problems, data.world
    if problems is None:
        assert world is not None  # a pair has one of the two
        return train.in_updates(world.train)
    held = TRAINING_PROBLEMS.get(problems.train) or _own_problems(problems, size.data_root)
    left = max(1, held - problems.validation)
    return train.in_updates(min(left, problems.train_limit or left))


def _own_problems(problems: ProblemData, root: str | None) -> int:
    """Rows of a training set of one's own."""
    try:
        return len(read_rows(problems.data_set(problems.train), "train", root or problems.root))
    except UserError:  # the line about problems says why
        return GUESSED


def trained_rows(size: Size) -> dict[str, int]:
    """Rows of each method, seeds not counted."""
    folders, rows = _folders(tuple(size.methods_path)), {}
    for method, overrides in size.methods.items():
        if method not in folders:
            raise UserError(f"there is no method '{method}'; {nearest(method, folders)}")
        own = {key: value for key, value in overrides.items() if key not in {"lr", "threshold"}}
        others = [overrides[key] for key in ("lr", "threshold") if isinstance(overrides.get(key), list)]
        rows[method] = len(folders[method].grid(own, "config"))
        for values in others:
            rows[method] *= len(values)
    return rows


def trained_runs(size: Size, pair: str) -> dict[str, int]:
    """Runs of a pair that are trained, by method: of its rows, and one that only calibrates d where no row does."""
    runs = {method: rows * len(size.seeds_of(pair)) for method, rows in trained_rows(size).items()}
    own = [one for overrides in size.methods.values() for one in values_of(overrides.get("threshold"))]
    asked = [one.get("calibrate") for one in own if isinstance(one, dict)]  # planning refuses what is none
    if CALIBRATES not in runs and any(share is not None for share in [size.threshold.calibrate, *asked]):
        runs[CALIBRATES] = 1
    return runs


def sampling_with_teacher(size: Size) -> list[str]:
    """Methods whose responses the teacher reads along, or samples; of a folder with code of its own, by its text."""
    folders = _folders(tuple(size.methods_path))

    def asks(method: str, overrides: dict[str, Any]) -> bool:
        settings = folders[method].declares.settings
        mix = overrides.get("teacher_mix", settings["teacher_mix"].default if "teacher_mix" in settings else 0.0)
        if any(values_of(mix)):
            return True
        try:
            path = folders[method].path / "method.py"
            return any(class_constant(path, name) for name in ("reads_budget", "teacher_mix"))
        except UserError:  # planning says what is wrong with the file
            return False

    return [method for method, overrides in size.methods.items() if asks(method, overrides)]


def meetings(size: Size, pair: str) -> int:
    """Pairs of runs that a judge compares on every question: rows at equal seeds, references with all, and its control.

    The control is the untrained student's response with an instruction to the judge against the same without it.
    """
    rows, seeds = sum(trained_rows(size).values()), len(size.seeds_of(pair))
    return seeds * rows * (rows - 1) // 2 + REFERENCES * seeds * rows + REFERENCES * (REFERENCES - 1) // 2 + 1


def pair_hours(size: Size, name: str, models: tuple[Facts, Facts], prompt: Prompts, by: Clock) -> dict[str, float]:
    """Hours by rule for a pair; a rule is missing where neither a timing nor a formula knows its seconds."""
    found = {"train": _training_s(size, name, models, prompt, by)}
    stated = _stated_s(size, name, models, prompt, by.device)
    jobs = _jobs(size, name)
    for rule in ("model", "generate", "score"):
        found[rule] = jobs[rule] * by.timed[rule] if rule in by.timed else stated.get(rule)
    return {rule: seconds / HOUR for rule, seconds in found.items() if seconds is not None}


def told(size: Size, name: str, models: tuple[Facts, Facts], prompt: Prompts, by: Clock) -> str:
    """Where a pair's hours come from."""
    train, (student, teacher) = counted(size, name), models
    known = _measured(size, name, by)
    measured = sum(seen is not None for seen in known.values())
    if "train" in by.timed:
        rest = TIMED
    elif student.config and teacher.config:
        per_run = update_s(student.config, teacher.config, train, by.device, prompt.mean) * train.steps / HOUR
        of = "one core" if by.device.cores else "the card"
        rest = (
            f"stated, not measured: about {per_run:,.1f} h of {of} for a run of {train.steps:,} updates at full length"
        )
    else:
        rest = "not known: no timings of this size on such a machine, nor a formula for these models"
    return f"training measured for {measured} of {len(known)} methods; rest {rest}" if measured else rest


def _measured(size: Size, name: str, by: Clock) -> dict[str, float | None]:
    """Seconds of an update by method, of runs on this very device."""
    train, pair = counted(size, name), size.pairs[name]
    methods = trained_runs(size, name)
    return {method: measured_update_s(name, pair, method, train) if by.here else None for method in methods}


def _training_s(size: Size, name: str, models: tuple[Facts, Facts], prompt: Prompts, by: Clock) -> float | None:
    """Seconds of cards, not of waiting, that all trained rows of a pair take; None where one is not known."""
    train, seen = counted(size, name), _measured(size, name, by)
    total = 0.0
    for method, count in trained_runs(size, name).items():
        update = seen[method]
        if update is not None:
            one: float | None = update * train.steps
        else:
            one = by.timed.get("train") or _formula_s(size, method, train, models, prompt, by.device)
        if one is None:
            return None
        total += count * one
    return total * train.processes


def _formula_s(
    size: Size, method: str, train: TrainSettings, models: tuple[Facts, Facts], prompt: Prompts, device: Device
) -> float | None:
    student, teacher = (model.config for model in models)
    if student is None or teacher is None:
        return None
    declared = _folders(tuple(size.methods_path))[method].declares.needs.teacher
    asked = 1.0 if declared else train.kl_warmup / train.steps
    with_teacher, alone = (update_s(student, model, train, device, prompt.mean) for model in (teacher, None))
    return train.steps * (asked * with_teacher + (1.0 - asked) * alone)


def _jobs(size: Size, name: str) -> dict[str, int]:
    """Jobs of a pair by rule, as the workflow counts them."""
    pair = size.pairs[name]
    random = pair.student.world is not None  # a policy without training, made beside the two models
    evaluated = sum(trained_rows(size).values()) * len(size.seeds_of(name)) + REFERENCES + len(CONTROLS) + random
    made = sum(source.pretrained is None for source in (pair.student, pair.teacher))
    return {"model": made + random, "generate": evaluated, "score": evaluated}


def _stated_s(size: Size, name: str, models: tuple[Facts, Facts], prompt: Prompts, device: Device) -> dict[str, float]:
    """Seconds of all jobs but the training's, by formula; nothing for models of unknown size."""
    student, teacher = (model.config for model in models)
    if student is None or teacher is None:
        return {}
    pair, evaluate = size.pairs[name], size.evaluate_of(name)
    tests, policies = len(pair.tests), sum(trained_rows(size).values()) * len(size.seeds_of(name)) + 1
    generate = policies * generate_s(student, tests, evaluate, device) + generate_s(teacher, tests, evaluate, device)
    score = (policies + 1) * score_s(student, teacher, tests, evaluate, device, prompt.mean)
    tuned = ((student, pair.student.smollm2), (teacher, pair.teacher.smollm2))
    model = sum(fine_tuning_s(config, recipe, prompt.mean, device) for config, recipe in tuned if recipe)
    return {"generate": generate, "score": score, **({"model": model} if model else {})}


def measured_update_s(
    name: str, pair: Pair, method: str, train: TrainSettings, runs: Path = Path("results/runs")
) -> float | None:
    """Mean seconds of an update over finished runs of this pair's models and this method, made with the same settings.

    A pair keeps its name when its models are replaced; of models that the study makes itself the name has to do.
    """
    models = {"student": pair.student.pretrained, "teacher": pair.teacher.pretrained}
    found = []
    for file in sorted(runs.glob(f"{name}-{method}-*/run.json")):
        if not (done := finished_run(file.parent)):
            continue
        record, cost = done
        used, inputs = record.get("train"), record.get("inputs")
        if record.get("method") != method:  # of a pair whose name begins like this run's
            continue
        like = isinstance(used, dict) and all(used.get(key) == getattr(train, key) for key in ALIKE)
        if like and isinstance(inputs, dict) and all(inputs.get(k) == v for k, v in models.items() if v):
            found.append(cost["wall_s"] / max(1, cost["steps"]))
    return sum(found) / len(found) if found else None
