"""Memory, disk and hours of a size as findings, and the device they are reckoned on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

from evaluation.judge.prompt import TEMPLATE
from sources.architectures import Config
from study.config import Size
from study.devices import DEVICES, Device, check_device
from study.preflight.data_checks import USUAL
from study.preflight.estimates import (
    CORE,
    HOUR,
    PROMPT,
    UTILISATION,
    bytes_per,
    decoding_s,
    evaluation_memory,
    generation_memory,
    training_memory,
)
from study.preflight.facts import Facts, pretrained_facts
from study.preflight.findings import Finding, Prompts, folder_fault, licence
from study.preflight.hours import (
    Clock,
    counted,
    meetings,
    pair_hours,
    sampling_with_teacher,
    told,
    trained_runs,
)

GB = 1e9
HERE = "found here"
GROWS = {"cache": "questions, samples", "monitor": "monitor_prompts"}
Known = dict[str, tuple[Facts, Facts, Prompts]]  # student, teacher and prompts by pair


def find_device(name: str | None, size: Size) -> tuple[Device, str]:
    """The card to reckon with, and where that comes from: asked for, found here, or what the size is meant for."""
    wanted = name or size.device
    if wanted is not None:
        check_device(wanted, "--device" if name else "config")
    found = None if name else _gpu()
    if found:
        return found, HERE
    if wanted:
        origin = "as stated by its maker; no such card was looked for" if name else "the size's; none is here"
        return DEVICES[wanted], origin
    cores = os.cpu_count() or 1
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return Device(f"{cores} CPU cores", memory, CORE / UTILISATION, 1e10, cores), HERE


def _gpu() -> Device | None:
    """The first NVIDIA card of this machine, as fast as the known card of its name, else as the nearest in memory."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        title, mebibytes = (part.strip() for part in line.rsplit(",", 1))
        memory = float(mebibytes) * 2**20
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        return None
    named = [device for device in DEVICES.values() if re.search(rf"\b{device.title.split(',')[0]}\b", title)]
    like = min(named or DEVICES.values(), key=lambda device: abs(device.memory - memory))
    return Device(f"{title} (reckoned as {like.title})", memory, like.peak, like.bandwidth)


def cost_findings(size: Size, known: Known, by: Clock) -> Iterator[Finding]:
    """Memory of a run, of its evaluation and of local judges, hours by rule and in total, and disk."""
    hours: dict[str, float] = {}
    disk, further = 0.0, 0.0
    for name, (student, teacher, prompt) in known.items():
        spent = pair_hours(size, name, (student, teacher), prompt, by)
        hours = {rule: hours.get(rule, 0.0) + spent.get(rule, 0.0) for rule in hours.keys() | spent.keys()}
        yield from _memories(size, name, known[name], by.device)
        yield Finding("note", name, "throughput", told(size, name, (student, teacher), prompt, by))
        made, under_way = _disk(size, name, student, teacher)
        disk, further = disk + made + under_way, max(further, under_way)
    beside = sampling_with_teacher(size)
    if beside and any(student.config and teacher.config for student, teacher, _ in known.values()):
        text = (
            f"{', '.join(beside)}: its cache and its pass at every token are in neither the memory nor the hours here"
        )
        yield Finding("warning", "all", "teacher in sampling", text)
    for judge in size.judges:
        weights, spent_h = yield from _judge(size, judge, known, by.device)
        disk += weights
        if spent_h:
            hours["judge"] = hours.get("judge", 0.0) + spent_h
    yield from _hours(hours, by.device)
    free = shutil.disk_usage("results" if Path("results").is_dir() else ".").free  # it may be a link to another disk
    text = f"{disk / GB:,.1f} GB for models, policies and checkpoints of a run at a time of each pair, and up to "
    text += f"{further / GB:,.1f} GB for every further run at a time; {free / GB:,.0f} GB free here"
    yield Finding("ok" if free > disk else "refused", "all", "disk", text)


def _hours(hours: dict[str, float], device: Device) -> Iterator[Finding]:
    if not hours:
        return
    total, of = sum(hours.values()), f"on {device.title}"
    if device.cores:
        of = f"of jobs, one core each; {total / device.cores:,.1f} of waiting {of}"
    yield Finding("note", "all", "hours by rule", ", ".join(f"{k} {v:,.1f}" for k, v in sorted(hours.items())))
    yield Finding("note", "all", "hours in total", f"{total:,.1f} {of}")


def _disk(size: Size, name: str, student: Facts, teacher: Facts) -> tuple[float, float]:
    """Bytes of both models and the policies; of a run under way two checkpoints and the one that is written."""
    if student.config is None or teacher.config is None:
        return 0.0, 0.0
    weight = bytes_per(size.train_of(name).dtype)
    policies = sum(trained_runs(size, name).values()) + 1  # and the student before
    held = weight * (student.config.parameters() * policies + teacher.config.parameters())
    return held, 3 * (weight + 12) * student.config.parameters()


def _memories(size: Size, name: str, known: tuple[Facts, Facts, Prompts], device: Device) -> Iterator[Finding]:
    """Memory of a training run, and of the larger of generating and scoring."""
    (student, teacher), prompt = (model.config for model in known[:2]), known[2]
    if student is None or teacher is None:
        text = "made here and small, or of an unknown architecture: not reckoned"
        yield Finding("note", name, "memory", text)
        return
    device = replace(device, cores=min(device.cores, sum(trained_runs(size, name).values())))
    train = training_memory(student, teacher, counted(size, name), prompt.training)
    # What its largest stage grows with.
    rows = next((of for part, of in GROWS.items() if part in train), "micro_tokens")
    remedy = f"smaller {rows} or max_new_tokens, a teacher_dtype of int8, or a larger card"
    yield memory_finding(name, "memory", "at the peak of a run", train, device, remedy)
    stages = evaluation_memory(student, teacher, size.evaluate_of(name), prompt.longest)
    stage = max(stages, key=lambda stage: sum(stages[stage].values()))
    remedy = "a smaller evaluate.batch or max_new_tokens, or a larger card"
    yield memory_finding(name, "evaluation", f"to {stage}", stages[stage], device, remedy)


def memory_finding(subject: str, what: str, when: str, parts: dict[str, float], device: Device, remedy: str) -> Finding:
    """Whether parts in bytes fit the device together."""
    total = sum(parts.values())
    shown = ", ".join(f"{part} {size / GB:.1f}" for part, size in parts.items() if size > 0.05 * GB)
    fits = total <= device.memory
    text = f"{total / GB:.1f} GB of {device.memory / GB:.0f} {when} ({shown}), by formula"
    if fits and total * device.cores > device.memory:  # as many jobs at a time as cores
        text += f"; {device.cores} jobs at a time need {total * device.cores / GB:.1f} GB: run snakemake --cores "
        return Finding("warning", subject, what, f"{text}{int(device.memory / total)}")
    return Finding("ok" if fits else "refused", subject, what, text + ("" if fits else f"; {remedy}"))


def _judge(size: Size, name: str, known: Known, device: Device) -> Generator[Finding, None, tuple[float, float]]:
    """A judge's findings; returns bytes of weights to fetch and hours. An endpoint's are its owner's to know."""
    local = size.judges[name].local
    if local is None:
        yield Finding("note", name, "judge", f"{size.judges[name].model} answers elsewhere: its cost is not reckoned")
        return 0.0, 0.0
    own = size.own_model(local.model)
    fault = "" if own else folder_fault(local.model)
    if fault:
        yield Finding("refused", name, "model", fault)
    if fault or (own and own[0] not in known):
        return 0.0, 0.0
    student, teacher, _ = known[own[0]] if own else (None, None, None)
    model = (teacher if own and own[1] == "teacher" else student) or pretrained_facts(local.model)
    yield licence(name, model)
    if model.config is None:
        yield Finding("note", name, "judge", "size not known: neither memory nor hours are reckoned")
        return 0.0, 0.0
    hours = yield from _local_judge(size, name, model.config, _judge_prompt(size, known), device)
    fetched = 0.0 if own or model.source == "folder" else bytes_per(local.dtype) * model.config.parameters()
    return fetched, hours


def _local_judge(size: Size, name: str, config: Config, prompt: int, device: Device) -> Generator[Finding, None, float]:
    """Context and memory of a judge that runs here; returns its hours."""
    judge, local = size.judges[name], size.judges[name].local
    assert local is not None
    length, held = prompt + local.max_new_tokens, config.max_position_embeddings
    text = f"{held:,} tokens, {length:,} needed ({prompt:,} for a question with two answers at full length)"
    yield Finding("ok" if held >= length else "refused", name, "context length", text)
    met = sum(meetings(size, pair) * len(content.tests) for pair, content in size.pairs.items())
    replies = met * 2 * judge.prompts  # in both orders
    parts = generation_memory(config, local.batch, length, local.dtype, prompt)
    remedy = f"a smaller judges.{name}.local.batch, a larger card, or an endpoint"
    alone = replace(device, cores=min(device.cores, len(size.judges)))  # one job a judge
    yield memory_finding(name, "judge", f"for {replies:,} replies", parts, alone, remedy)
    token_s = decoding_s(config, local.batch, device, bytes_per(local.dtype))
    return replies / local.batch * local.max_new_tokens * token_s / HOUR


def _judge_prompt(size: Size, known: Known) -> int:
    """Tokens of a judge's longest prompt: its text, a question, and two answers of full length."""
    answers = max(2 * size.evaluate_of(pair).max_new_tokens for pair in size.pairs)
    question = max((prompt.longest for *_, prompt in known.values()), default=PROMPT)
    return len(TEMPLATE.template) // USUAL + question + answers
