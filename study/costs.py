"""Memory, disk and hours of a size as findings; measured seconds where runs of it have finished, else stated ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from study.config import Size
from study.estimates import (
    DEVICES,
    HOUR,
    Device,
    bytes_per,
    decoding_s,
    generate_s,
    score_s,
    training_memory,
    update_s,
)
from study.facts import Facts, judge_facts
from study.pair_checks import Finding
from training.errors import UserError, nearest
from training.folders import find_folders
from training.settings import TrainSettings

GB = 1e9
TRAINING_PROBLEMS = {"gsm8k": 7473, "math": 7500, "reasoning_gym": 4080}  # as published, to count epochs in updates
REFERENCES = 2  # teacher and student, evaluated but not trained
Known = dict[str, tuple[Facts, Facts]]


def find_device(name: str | None, size: Size) -> tuple[Device, str]:
    """The card to reckon with, and where that comes from: asked for, found here, or what the size is meant for."""
    wanted = name or size.device
    if wanted is not None and wanted not in DEVICES:
        raise UserError(f"there is no device '{wanted}' in study/estimates.py; {nearest(wanted, DEVICES)}")
    found = None if name else _gpu()
    if found:
        return found, "found here"
    if wanted:
        return DEVICES[
            wanted
        ], "as stated by its maker; no such card was looked for" if name else "the size's; none is here"
    cores = os.cpu_count() or 1
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Device(f"{cores} CPU cores", memory, 2e10 * cores, 1e10), "found here"


def _gpu() -> Device | None:
    """The first NVIDIA card of this machine; speed as that of the nearest known card by memory."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        title, mebibytes = (part.strip() for part in line.rsplit(",", 1))
        memory = float(mebibytes) * 2**20
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        return None
    like = min(DEVICES.values(), key=lambda device: abs(device.memory - memory))
    return Device(f"{title} (reckoned as {like.title})", memory, like.peak, like.bandwidth)


def cost_findings(size: Size, known: Known, device: Device, origin: str) -> Iterator[Finding]:
    """Memory of a run, disk, and hours by rule and in total."""
    yield Finding("note", "all", "device", f"{device.title}, {device.memory / GB:.0f} GB ({origin})")
    hours: dict[str, float] = {}
    disk = 0.0
    for name, (student, teacher) in known.items():
        if student.config is None or teacher.config is None:
            yield _unreckoned(size, name, hours)
            continue
        train = counted(size, name)
        yield _memory(name, training_memory(student.config, teacher.config, train), device)
        weight, rows = bytes_per(train.dtype), trained_rows(size)
        runs = sum(rows.values()) * len(size.seeds_of(name))
        disk += weight * (student.config.parameters() * (runs + 1) + teacher.config.parameters())
        disk += 2 * (weight + 12) * student.config.parameters()  # two checkpoints of the run under way
        spent, origin = _hours(size, name, student, teacher, train, device, rows)
        hours = {rule: hours.get(rule, 0.0) + spent.get(rule, 0.0) for rule in hours.keys() | spent.keys()}
        yield Finding("note", name, "throughput", origin)
    yield from _judges(size, known, device, hours)
    if hours:
        yield Finding("note", "all", "hours by rule", ", ".join(f"{k} {v:,.1f}" for k, v in sorted(hours.items())))
        yield Finding("note", "all", "hours in total", f"{sum(hours.values()):,.1f} on {device.title}")
    free = shutil.disk_usage(".").free
    text = f"{disk / GB:,.1f} GB for models, policies and checkpoints; {free / GB:,.0f} GB free here"
    yield Finding("ok" if free > disk else "refused", "all", "disk", text)


def _unreckoned(size: Size, name: str, hours: dict[str, float]) -> Finding:
    """A pair without known architecture: the hours of its training, which are added, where every method has run."""
    train, rows = counted(size, name), trained_rows(size)
    seen = {method: measured_update_s(name, method, train) for method in rows}
    text = "made here and small, or of an unknown architecture: memory is not reckoned"
    if None in seen.values():
        return Finding("note", name, "cost", f"{text}, nor are hours: not every method has run here yet")
    each = sum(rows[method] * (seen[method] or 0.0) for method in rows) * len(size.seeds_of(name)) * train.steps
    hours["train"] = hours.get("train", 0.0) + each * train.processes / HOUR
    return Finding("note", name, "cost", f"{text}; hours of training as measured in runs that finished here")


def counted(size: Size, pair: str) -> TrainSettings:
    """Training settings with epochs counted in updates, as far as the number of problems is known."""
    problems, train = size.pairs[pair].data.problems, size.train_of(pair)
    if problems is None:
        return train
    held = TRAINING_PROBLEMS.get(problems.train, 7500) - problems.validation
    return train.in_updates(min(held, problems.train_limit or held))


def trained_rows(size: Size) -> dict[str, int]:
    """Rows of each method, seeds not counted."""
    folders, rows = find_folders(tuple(size.methods_path)), {}
    for method, overrides in size.methods.items():
        if method not in folders:
            raise UserError(f"there is no method '{method}'; {nearest(method, folders)}")
        own = {key: value for key, value in overrides.items() if key not in {"lr", "threshold"}}
        others = [overrides[key] for key in ("lr", "threshold") if isinstance(overrides.get(key), list)]
        rows[method] = len(folders[method].grid(own, "config"))
        for values in others:
            rows[method] *= len(values)
    return rows


def meetings(size: Size, pair: str) -> int:
    """Pairs of runs that a judge compares on every question: rows at equal seeds, references with all, and its control.

    The control is the untrained student's response with an instruction to the judge against the same without it.
    """
    rows, seeds = sum(trained_rows(size).values()), len(size.seeds_of(pair))
    return seeds * rows * (rows - 1) // 2 + REFERENCES * seeds * rows + REFERENCES * (REFERENCES - 1) // 2 + 1


def _memory(name: str, parts: dict[str, float], device: Device) -> Finding:
    total = sum(parts.values())
    shown = ", ".join(f"{part} {size / GB:.1f}" for part, size in parts.items() if size > 0.05 * GB)
    fits = total <= device.memory
    text = f"{total / GB:.1f} GB of {device.memory / GB:.0f} at the peak of a run ({shown}), by formula"
    remedy = "" if fits else "; smaller micro_tokens or max_new_tokens, a teacher_dtype of int8, or a larger card"
    return Finding("ok" if fits else "refused", name, "memory", text + remedy)


def _hours(
    size: Size, name: str, student: Facts, teacher: Facts, train: TrainSettings, device: Device, rows: dict[str, int]
) -> tuple[dict[str, float], str]:
    """Hours by rule for a pair, and where the training's seconds come from."""
    assert student.config is not None and teacher.config is not None  # noqa: PT018
    evaluate, tests, seeds = size.evaluate_of(name), len(size.pairs[name].tests), len(size.seeds_of(name))
    folders, training, measured = find_folders(tuple(size.methods_path)), 0.0, 0
    for method, count in rows.items():
        seen = measured_update_s(name, method, train)
        measured += seen is not None
        asked = 1.0 if folders[method].declares.needs.teacher else train.kl_warmup / train.steps
        with_teacher, alone = (update_s(student.config, model, train, device) for model in (teacher.config, None))
        update = seen or asked * with_teacher + (1.0 - asked) * alone
        training += count * seeds * train.steps * update * train.processes  # hours of cards, not of waiting
    policies = sum(rows.values()) * seeds + 1
    generate = policies * generate_s(student.config, tests, evaluate, device)
    generate += generate_s(teacher.config, tests, evaluate, device)
    score = (policies + 1) * score_s(student.config, teacher.config, tests, evaluate, device)
    spent = {"train": training / HOUR, "generate": generate / HOUR, "score": score / HOUR}
    per_run = update_s(student.config, teacher.config, train, device) * train.steps / HOUR
    stated = f"stated, not measured: about {per_run:,.1f} h for a run of {train.steps:,} updates at full length"
    return spent, f"measured for {measured} of {len(rows)} methods; rest {stated}" if measured else stated


def measured_update_s(pair: str, method: str, train: TrainSettings, runs: Path = Path("results/runs")) -> float | None:
    """Mean seconds of an update over finished runs of this pair and method with the same batch and length."""
    same = ("questions", "samples", "max_new_tokens", "dtype", "processes", "cache")
    found = []
    for file in sorted(runs.glob(f"{pair}-{method}-*/run.json")):
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        cost = file.with_name("cost.json")
        if (
            record["status"] == "ok"
            and cost.is_file()
            and all(record["train"].get(k) == getattr(train, k) for k in same)
        ):
            spent = json.loads(cost.read_text(encoding="utf-8"))
            found.append(spent["wall_s"] / max(1, spent["steps"]))
    return sum(found) / len(found) if found else None


def _judges(size: Size, known: Known, device: Device, hours: dict[str, float]) -> Iterator[Finding]:
    """Local judges: whether they fit, and their hours, which are added; an endpoint's are its owner's to know."""
    for name, judge in size.judges.items():
        if judge.local is None:
            yield Finding("note", name, "judge", f"{judge.model} answers elsewhere: its cost is not reckoned")
            continue
        pair, _, role = judge.local.model.rpartition(".")
        model = known[pair][role == "teacher"] if pair in known else judge_facts(judge.local.model)
        if model.config is None:
            yield Finding("note", name, "judge", f"{judge.local.model}: size not known")
            continue
        met = sum(meetings(size, pair) * len(content.tests) for pair, content in size.pairs.items())
        replies = met * 2 * judge.prompts  # in both orders
        weight, batch = bytes_per(judge.local.dtype), judge.local.batch
        token_s = decoding_s(model.config, batch, device, weight)
        hours["judge"] = hours.get("judge", 0.0) + replies / batch * judge.local.max_new_tokens * token_s / HOUR
        held = weight * model.config.parameters()
        text = f"{model.name} ({model.source}, {model.license}): {held / GB:.0f} GB of weights, {replies:,} replies"
        yield Finding("ok" if held < 0.95 * device.memory else "refused", name, "judge", text)
