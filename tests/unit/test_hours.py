"""Preflight's hours: what is counted, and what their seconds rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import study.preflight.hours
from study.config import ModelSource, load_size
from study.devices import DEVICES, Device
from study.plan import make_plan
from study.preflight import __main__ as preflight
from study.preflight.costs import HERE, cost_findings, find_device
from study.preflight.hours import (
    Clock,
    clock,
    counted,
    measured_update_s,
    meetings,
    pair_hours,
    sampling_with_teacher,
    told,
    trained_rows,
    trained_runs,
)
from tests.unit.test_preflight_costs import GUESS, QWEN, TEACHER, changed, costs, known, settings
from training.errors import UserError

pytestmark = pytest.mark.usefixtures("offline")


def test_rows_and_updates_are_counted() -> None:
    size = load_size("paper")
    assert trained_rows(size) == {"gkd": 1, "minillm": 1, "soft_lagrangian": 4, "cmdp": 1, "grpo": 1}
    assert counted(size, "qwen").steps == round(20 * (7473 - 200) / 8)
    problems = {"train": "svamp", "validation": 50, "tests": {"svamp": None}}
    size = changed("paper", {"pairs.qwen.data.problems": problems})
    assert counted(size, "qwen").steps == round(20 * 750 / 8)
    assert meetings(size, "qwen") == 3 * 28 + 2 * 3 * 8 + 1 + 1  # rows by seed, references with all, both, control


def test_measured_seconds_take_the_place_of_stated_ones(tmp_path: Path) -> None:
    train, pair = settings(), load_size("paper").pairs["qwen"]
    inputs = {"student": QWEN, "teacher": TEACHER, "data": "qwen-0"}
    for number, seconds in enumerate((10.0, 30.0)):
        run = tmp_path / f"qwen-gkd-s{number}"
        run.mkdir()
        record = {"status": "ok", "method": "gkd", "train": train.model_dump(), "inputs": inputs}
        (run / "run.json").write_text(json.dumps(record))
        (run / "cost.json").write_text(json.dumps({"wall_s": seconds, "steps": 10}))
    assert measured_update_s("qwen", pair, "gkd", train, tmp_path) == 2.0
    assert measured_update_s("qwen", pair, "grpo", train, tmp_path) is None
    (tmp_path / "qwen-gkd-s0").rename(tmp_path / "qwen-grpo-gkd-s0")  # of a pair that is called qwen-grpo
    assert measured_update_s("qwen", pair, "grpo", train, tmp_path) is None
    (tmp_path / "qwen-grpo-gkd-s0").rename(tmp_path / "qwen-gkd-s0")
    for other in ({"max_new_tokens": 9}, {"gradient_checkpointing": False}, {"teacher_dtype": "int8"}):
        assert measured_update_s("qwen", pair, "gkd", settings(**other), tmp_path) is None
    larger = pair.model_copy(update={"student": ModelSource(pretrained="Qwen/Qwen2.5-Math-72B")})
    assert measured_update_s("qwen", larger, "gkd", train, tmp_path) is None


def test_a_damaged_record_is_said(tmp_path: Path) -> None:
    run = tmp_path / "qwen-gkd-s0"
    run.mkdir()
    (run / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is no valid JSON.*train the run again"):
        measured_update_s("qwen", load_size("paper").pairs["qwen"], "gkd", settings(), tmp_path)


def test_seconds_of_this_machine_are_not_another_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    size = load_size("single_gpu")
    monkeypatch.setattr(study.preflight.hours, "measured_update_s", lambda *_: 1e6)
    by = {here: Clock(DEVICES["l4"], here) for here in (True, False)}
    (pair,) = known(size).values()
    here, named = (pair_hours(size, "qwen", pair[:2], GUESS, by[at])["train"] for at in (True, False))
    assert here > 100 * named
    assert "measured for 5 of 5 methods" in told(size, "qwen", pair[:2], GUESS, by[True])
    assert told(size, "qwen", pair[:2], GUESS, by[False]).startswith("stated, not measured")
    assert find_device("l4", size)[1] != HERE


def test_a_cpu_has_the_hours_of_make_plan(capsys: pytest.CaptureFixture[str]) -> None:
    size = load_size("micro")
    device, origin = find_device(None, size)
    by = clock("micro", device, origin == HERE)
    plan, pair = make_plan("micro"), known(size)["micro"]
    own = {run.id for run in plan.chosen()}
    jobs = {"model": len(plan.models), "train": sum(bool(run.params) for run in plan.chosen())}
    jobs |= {"generate": len(own), "score": len(own)}
    expected = {rule: count * by.timed[rule] / 3600 for rule, count in jobs.items()}
    assert pair_hours(size, "micro", pair[:2], GUESS, Clock(device, here=False, timed=by.timed)) == pytest.approx(
        expected
    )
    assert clock("pairs", device, here=True).timed == by.timed
    assert clock("micro", DEVICES["l4"], here=True).timed == {}
    preflight.main(["--size", "micro"])
    assert "of waiting on" in capsys.readouterr().out


def test_epochs_over_problems_of_the_world_are_counted_too() -> None:
    """Models that are not made here may learn on made problems."""
    models = {f"pairs.micro.{role}": {"pretrained": name} for role, name in (("student", QWEN), ("teacher", TEACHER))}
    size = changed("micro", {**models, "train.steps": 0, "train.epochs": 2, "methods": {"gkd": {}, "grpo": {}}})
    assert counted(size, "micro").steps == 2 * 2000 / 8
    assert pair_hours(size, "micro", known(size)["micro"][:2], GUESS, Clock(DEVICES["l4"], False))["train"] > 0.0


def test_a_run_that_only_calibrates_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the size's threshold or a row's own; its hours are those of one seed of GKD, as measured where that is so."""
    alone: dict[str, object] = {"threshold": {"d": 0.3}, "methods": {"grpo": {}}}
    calibrated = alone | {"threshold": {"calibrate": 0.9}}
    own = alone | {"methods": {"grpo": {}, "cmdp": {"threshold": [{"d": 0.1}, {"calibrate": 0.9}]}}}
    row = calibrated | {"methods": {"grpo": {}, "gkd": {}}}
    extra = [trained_runs(changed("paper", values), "qwen").get("gkd") for values in (alone, calibrated, own, row)]
    assert extra == [None, 1, 1, 3]
    slip = alone | {"methods": {"grpo": {}, "cmdp": {"threshold": 0.2}}}  # planning says what is wrong with it
    assert trained_runs(changed("paper", slip), "qwen") == {"grpo": 3, "cmdp": 3}

    def train(values: dict[str, object]) -> float:
        size = changed("paper", values)
        return pair_hours(size, "qwen", known(size)["qwen"][:2], GUESS, Clock(DEVICES["l4"], here=True))["train"]

    gkd = {"threshold": {"d": 0.3}, "methods": {"gkd": {}}}
    assert train(calibrated) == pytest.approx(train(alone) + train(gkd) / 3)
    monkeypatch.setattr(study.preflight.hours, "measured_update_s", lambda *_: 1.0)
    assert train(calibrated) == pytest.approx(train(alone) * 4 / 3)


@pytest.mark.parametrize(
    ("methods", "named"),
    [({"gkd": {}, "minillm": {}, "cmdp": {}}, ""), ({"minillm": {"teacher_mix": [0.0, 0.2]}, "gkd": {}}, "minillm:"),
     ({"minillm": {"teacher_mix": [0.0]}, "gkd": {}}, ""),
     ({"seqkd": {}, "sft": {}, "saute": {}}, "seqkd, saute:")],
)  # fmt: skip
def test_a_teacher_in_sampling_is_warned_of(methods: dict[str, object], named: str) -> None:
    """Its cache and passes are not reckoned; of models made here nothing is."""
    found = [f for f in costs(changed("paper", {"methods": methods}), "h100_80gb") if f.what == "teacher in sampling"]
    assert [f.found.split(":")[0] + ":" for f in found] == [named] * bool(named)
    assert not [f for f in costs(changed("extended", {}), "h100_80gb") if f.what == "teacher in sampling"]


def test_a_method_that_is_no_python_is_left_to_planning(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "method.yaml").write_text("label: Mine\nneeds: {teacher: true, threshold: false}\n")
    size = changed("paper", {"methods": {"mine": {}}}).model_copy(update={"methods_path": [tmp_path]})
    for text, named in (("class Method(", False), ("class Method:\n    reads_budget: bool = True\n", True)):
        (tmp_path / "mine" / "method.py").write_text(text)
        assert sampling_with_teacher(size) == ["mine"] * named


def test_on_a_cpu_as_many_jobs_as_cores_share_the_memory() -> None:
    """One job of 9 GB fits 16 GB, two do not."""
    size = load_size("smollm2_cpu")
    for memory, cores, level in ((32e9, 2, "ok"), (16e9, 2, "warning"), (32e9, 8, "warning"), (4e9, 2, "refused")):
        by = Clock(Device("CPU", memory, 1e12, 1e10, cores), here=False)
        (found,) = [f for f in cost_findings(size, known(size), by) if f.what == "memory"]
        assert found.level == level
        told = found.found.rpartition("snakemake --cores ")
        assert told[2] == {16e9: "1", 32e9: "3"}[memory] if level == "warning" else not told[0]
