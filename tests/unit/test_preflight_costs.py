"""Preflight's costs: memory, disk, hours, and what they rest on."""

from __future__ import annotations

import os
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import study.precision
import study.preflight.costs
import study.preflight.facts
import study.preflight.hours
from sources.architectures import published
from study.config import Size, load_size
from study.devices import DEVICES
from study.precision import slow_bfloat16
from study.preflight import __main__ as preflight
from study.preflight.costs import HERE, Known, cost_findings, find_device
from study.preflight.estimates import (
    LOGIT_ROWS,
    LOGITS,
    PROMPT,
    decoding_s,
    evaluation_memory,
    generation_memory,
    training_memory,
    update_s,
)
from study.preflight.facts import facts
from study.preflight.findings import Finding, Prompts
from study.preflight.hours import Clock
from training.chunks import LEAST_ROWS, TILE
from training.errors import UserError
from training.folders import ROOT
from training.schema import parse
from training.settings import TrainSettings

QWEN, TEACHER = "Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen2.5-Math-7B-Instruct"
PAPER = {"epochs": 20, "dtype": "bfloat16", "gradient_checkpointing": True, "micro_questions": 2, "max_new_tokens": 512}
JUDGE = "deepseek_r1_32b"
GUESS = Prompts(PROMPT, PROMPT, PROMPT, "a guess")


pytestmark = pytest.mark.usefixtures("offline")


def settings(**changed: object) -> TrainSettings:
    return parse(TrainSettings, {**PAPER, **changed}, "test")


def changed(name: str, values: dict[str, object]) -> Size:
    """A size with other values at some keys, written with dots."""
    content = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    for path, value in values.items():
        *above, last = path.split(".")
        reduce(lambda at, key: at.setdefault(key, {}), above, content)[last] = value
    return parse(Size, content, name)


def known(size: Size, prompts: Prompts = GUESS) -> Known:
    return {name: (facts(pair.student), facts(pair.teacher), prompts) for name, pair in size.pairs.items()}


def costs(size: Size, card: str, prompts: Prompts = GUESS) -> list[Finding]:
    return list(cost_findings(size, known(size, prompts), Clock(DEVICES[card], here=False)))


def test_memory_is_the_sum_of_its_parts() -> None:
    student, teacher = published()[QWEN].config, published()[TEACHER].config
    count = student.parameters()
    parts = training_memory(student, teacher, settings(monitor_prompts=8))
    assert parts["optimiser"] == 12 * count
    assert parts["teacher"] == 2 * teacher.parameters()
    assert parts["gradients"] in {2 * count, 4 * count}
    assert sum(parts.values()) < DEVICES["h100_80gb"].memory
    full = training_memory(student, teacher, settings(dtype="float32", gradient_checkpointing=False))
    assert full["optimiser"] == 8 * count
    assert sum(full.values()) > DEVICES["h100_80gb"].memory
    assert (LOGITS, LOGIT_ROWS) == (TILE, LEAST_ROWS)


def test_validation_prompts_are_measured_at_once() -> None:
    size = changed("paper", {"train.monitor_prompts": 400})
    (memory,) = (found for found in costs(size, "h100_80gb") if (found.subject, found.what) == ("llama", "memory"))
    assert memory.level == "refused"
    assert "monitor " in memory.found
    assert "smaller monitor_prompts" in memory.found


def test_memory_knows_the_engine() -> None:
    student, teacher = published()[QWEN].config, published()[TEACHER].config

    def parts(**changed: object) -> dict[str, float]:
        return training_memory(student, teacher, settings(gradient_checkpointing=False, **changed))

    usual, one = parts(), parts(micro_questions=1)
    group = 8 * (PROMPT + 512)
    assert parts(micro_questions=None, micro_tokens=2 * group)["activations"] == usual["activations"]
    assert parts(micro_questions=None, micro_tokens=1)["activations"] == one["activations"]  # a group goes alone
    assert parts(processes=8)["activations"] == one["activations"]
    assert parts(processes=8)["optimiser"] == usual["optimiser"]
    assert usual["teacher"] / 2 < parts(teacher_dtype="int8")["teacher"] < 0.6 * usual["teacher"]
    assert parts(teacher_dtype="float32")["teacher"] == 2 * usual["teacher"]


def test_time_grows_with_what_is_asked() -> None:
    student, teacher = published()[QWEN].config, published()[TEACHER].config
    card = DEVICES["a100_80gb"]
    assert update_s(student, teacher, settings(), card) > update_s(student, None, settings(), card)
    double = update_s(student, None, settings(max_new_tokens=1024), card) / update_s(student, None, settings(), card)
    assert 1.8 < double < 2.1
    assert decoding_s(teacher, 4096, card, 2) > decoding_s(teacher, 1, card, 2)


@pytest.mark.parametrize(
    ("said", "like"),
    [("NVIDIA H100 80GB HBM3, 81559", "h100_80gb"), ("NVIDIA A100-SXM4-80GB, 81920", "a100_80gb"),
     ("NVIDIA H200, 143771", "h200"), ("NVIDIA L4, 23034", "l4"), ("NVIDIA L40S, 46068", "rtx4090"),
     ("NVIDIA GeForce RTX 4090, 24564", "rtx4090")],
)  # fmt: skip
def test_a_card_that_is_here_is_known_by_its_name(
    said: str, like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cards of one size differ threefold in speed; one of another name counts as the nearest in memory."""
    monkeypatch.undo()
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found, origin = find_device(None, load_size("micro"))
    assert (found.peak, found.bandwidth, origin) == (DEVICES[like].peak, DEVICES[like].bandwidth, HERE)


def test_a_card_too_small_is_refused() -> None:
    size = load_size("paper")
    small, large = costs(size, "rtx4090"), costs(size, "h100_80gb")
    assert {f.level for f in small if f.what in {"memory", "judge"}} == {"refused"}
    assert {f.level for f in large if f.what in {"memory", "evaluation", "judge"}} == {"ok"}
    assert all("stated, not measured" in f.found for f in large if f.what == "throughput")
    with pytest.raises(UserError, match=r"no device 'h100'.*did you mean"):
        find_device("h100", size)


def test_an_evaluation_and_a_long_prompt_are_reckoned() -> None:
    size = load_size("paper")
    student, teacher = published()[QWEN].config, published()[TEACHER].config
    evaluate = size.evaluate_of("qwen")
    stages = evaluation_memory(student, teacher, evaluate, PROMPT)
    assert stages["score"]["teacher"] == 2 * teacher.parameters()  # whatever teacher_dtype is
    twice = evaluate.model_copy(update={"batch": 2 * evaluate.batch})
    grown = evaluation_memory(student, teacher, twice, PROMPT)["generate (policy)"]
    assert grown["cache"] == 2 * stages["generate (policy)"]["cache"]
    assert evaluation_memory(student, teacher, evaluate.model_copy(update={"engine": "vllm"}), PROMPT) != stages
    wide = costs(changed("paper", {"evaluate.batch": 4096}), "h100_80gb")
    assert [f.level for f in wide if f.what == "evaluation"] == ["refused", "refused"]
    long = costs(load_size("paper"), "h100_80gb", Prompts(2240, 2240, 146, "MATH's longest"))
    assert [f.level for f in long if f.what == "memory"] == ["ok", "refused"]


def test_a_judge_is_reckoned_with_its_cache_its_context_and_its_weights_on_disk() -> None:
    def told(what: str, card: str, **local: object) -> list[str]:
        found = costs(changed("paper", {f"judges.{JUDGE}.local.{key}": value for key, value in local.items()}), card)
        return [finding.level for finding in found if finding.what == what and finding.subject == JUDGE]

    assert told("judge", "h100_80gb") == ["ok"]
    assert told("judge", "h100_80gb", batch=64) == ["refused"]
    assert told("context length", "h200", batch=1) == ["ok"]
    assert told("context length", "h200", batch=1, max_new_tokens=200_000) == ["refused"]
    assert told("licence, gate", "h100_80gb", model="meta-llama/Llama-3.2-3B") == ["warning"]
    without = changed("paper", {"judges": {}})
    disk = [
        float(finding.found.split()[0])
        for size in (load_size("paper"), without)
        for finding in costs(size, "h100_80gb")
        if finding.what == "disk"
    ]
    assert disk[0] - disk[1] == pytest.approx(65.5, abs=0.2)
    config = published()[QWEN].config
    assert generation_memory(config, 8, 1000, "bfloat16", 10)["cache"] == 8 * 1000 * 28 * 2 * 2 * 128 * 2


def test_room_is_looked_for_where_results_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to another disk, say; each further run at a time needs its own three checkpoints."""
    (tmp_path / "here").mkdir()
    (tmp_path / "large").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def disk_usage(path: str) -> SimpleNamespace:
        return SimpleNamespace(free=9e12 if Path(path).resolve() == tmp_path / "large" else 1e9)

    monkeypatch.setattr(study.preflight.costs.shutil, "disk_usage", disk_usage)
    size = load_size("single_gpu")
    (before,) = [finding for finding in costs(size, "l4") if finding.what == "disk"]
    Path("results").symlink_to(tmp_path / "large", target_is_directory=True)
    (disk,) = [finding for finding in costs(size, "l4") if finding.what == "disk"]
    assert (before.level, disk.level) == ("refused", "ok")
    student = facts(size.pairs["qwen"].student)
    assert student.config is not None
    each = 3 * 14 * student.config.parameters() / 1e9  # in bfloat16: weights, their float32 copy and two moments
    assert f"and up to {each:.1f} GB for every further run at a time; 9,000 GB free here" in disk.found


@pytest.mark.parametrize(
    ("sets", "slow"),
    [(["avx2"], True), (["asimd"], True), (["avx512f", "avx512_bf16"], False), (["amx_bf16"], False),
     (["asimd", "bf16"], False), ([], False)],
)  # fmt: skip
def test_bfloat16_without_its_instructions_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, sets: list[str], slow: bool
) -> None:
    monkeypatch.setattr(study.precision, "processor", lambda: ("a processor", sets))
    assert slow_bfloat16(load_size("micro")) is None
    text = slow_bfloat16(load_size("paper"))
    assert (text is not None) == slow
    assert text is None or text.endswith("set dtype: float32 in train, evaluate, judges.deepseek_r1_32b.local")
    own = slow_bfloat16(changed("micro", {"pairs.micro.train": {"dtype": "bfloat16"}}))
    assert own is None or own.endswith("set dtype: float32 in pairs.micro.train")
    size = changed("smollm2_cpu", {"train.dtype": "bfloat16", "evaluate.dtype": "bfloat16"})
    size = size.model_copy(update={"data_root": "/nowhere"})
    for device, expected in ((None, slow), ("l4", False)):
        found = preflight.findings("smollm2_cpu", size, device)
        assert [f.level for f in found if f.what == "bfloat16"] == ["warning"] * expected


def test_fine_tuning_counts_as_bfloat16_where_there_is_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.precision, "processor", lambda: ("a processor", ["avx2"]))
    recipe = {"sft_steps": 5, "dtype": "bfloat16"}
    single = {"train.dtype": "float32", "evaluate.dtype": "float32", "pairs.smollm2.student.smollm2": {}}
    text = slow_bfloat16(changed("smollm2", {**single, "pairs.smollm2.teacher.smollm2": recipe}))
    assert text is not None
    assert text.endswith("set dtype: float32 in pairs.smollm2.teacher.smollm2")
    assert slow_bfloat16(changed("smollm2", {**single, "pairs.smollm2.teacher.smollm2": {}})) is None
