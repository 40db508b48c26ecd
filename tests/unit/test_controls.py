"""Controls: what a sound study passes, and what each of them notices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.collected import Collected, read
from evaluation.controls import checks
from tests.unit.synthetic import write_collected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collected(tmp_path_factory.mktemp("collected"), prompts=40, steps=2, failed=("grpo",))


@pytest.fixture(scope="module")
def size(folder: Path) -> Collected:
    return read(folder)


def test_controls_pass_in_the_regime_and_name_what_did_not_run(size: Collected) -> None:
    verdicts = {check.name: check.verdict for check in checks(size, "world")}
    assert verdicts.pop("GRPO after training, CS, Same distribution") == "failed: loss became infinite at step 7"
    assert set(verdicts.values()) == {"ok"}
    assert len(verdicts) == 10


@pytest.mark.parametrize(
    ("row", "bound", "value", "verdict"),
    [
        ("Student", "student_fac", (0.0, 0.1), "out of range"),
        ("Student", "student_fac", (0.8, 1.0), "out of range"),
        ("Teacher, greedy", "teacher_fac_min", 0.999, "out of range"),
        ("GRPO", "grpo_cs_max", 0.4, "ok"),  # 7 of 40: 0.18 [0.07, 0.33]
        ("GRPO", "grpo_cs_max", 0.25, "out of range"),
        ("Random", "random_fac_max", -0.01, "out of range"),
    ],
)
def test_each_bound_of_the_regime_is_held(row: str, bound: str, value: Any, verdict: str, tmp_path: Path) -> None:
    """Those that speak of an interval hold for its end: GRPO's share within d is by estimate below either bound."""
    folder = write_collected(tmp_path, seeds=1, prompts=40, steps=2)
    scores = pd.read_parquet(folder / "scores.parquet")
    at = (scores["run"] == "world-grpo-0") & (scores["metric"] == "kl_mean")
    scores.loc[at, "value"] = np.where(scores.loc[at, "prompt"].str.slice(-2).astype(int) < 7, 0.1, 0.5)
    scores.to_parquet(folder / "scores.parquet", index=False)
    size = read(folder)
    regime = size.pairs["world"].regime.model_copy(update={bound: value})
    size.pairs["world"] = size.pairs["world"].model_copy(update={"regime": regime})
    (found,) = (check for check in checks(size, "world") if check.name.startswith(row) and "minus" not in check.name)
    assert found.verdict == verdict


def test_the_teacher_is_judged_greedily_and_gkd_in_the_pairs_reading(folder: Path, tmp_path: Path) -> None:
    """Sampled, the teacher is always wrong here; GKD's mean KL is within d, the sum is not."""
    changed = shutil.copytree(folder, tmp_path / "changed")
    scores = pd.read_parquet(changed / "scores.parquet")
    for run, metric, value in (("teacher", "correct", 0.0), ("gkd", "kl_mean", 0.1), ("gkd", "kl_sum", 2.0)):
        at = scores["run"].str.contains(f"-{run}-") & (scores["metric"] == metric) & (scores["decoding"] == "sampled")
        scores.loc[at, "value"] = value
    scores.to_parquet(changed / "scores.parquet", index=False)
    size = read(changed)

    def verdicts(reading: str) -> dict[str, str]:
        size.pairs["world"] = size.pairs["world"].model_copy(update={"reading": reading})
        return {check.name.split()[0]: check.verdict for check in checks(size, "world")[:4]}

    assert (verdicts("mean")["Teacher,"], verdicts("mean")["GKD"]) == ("ok", "ok")
    assert verdicts("sum")["GKD"] == "out of range"


def test_a_harder_test_set_is_a_condition_only_where_the_pair_names_one(folder: Path, tmp_path: Path) -> None:
    def verdicts(harder: str | None) -> dict[str, str]:
        changed = shutil.copytree(folder, tmp_path / str(harder))
        index = json.loads((changed / "runs.json").read_text())
        index["pairs"]["world"]["regime"]["harder"] = harder
        (changed / "runs.json").write_text(json.dumps(index))
        return {check.name: check.verdict for check in checks(read(changed), "world") if "minus" in check.name}

    assert verdicts(None) == {}
    told = "Student before training, FAC, {} minus Same distribution".format
    assert verdicts("longer") == {told("Longer chains"): "ok"}
    assert verdicts("symbolic") == {told("Re-sampled names and numbers"): "out of range"}


def test_controls_notice_a_broken_scorer(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    scores = pd.read_parquet(broken / "scores.parquet")
    wrong = (scores["run"] == "world-always_wrong-0") & (scores["metric"] == "correct") & (scores["sample"] == 0)
    scores.loc[wrong & (scores["prompt"] == "same-0000"), "value"] = 1.0
    scores.to_parquet(broken / "scores.parquet", index=False)
    verdicts = {check.name: check.verdict for check in checks(read(broken), "world")}
    assert verdicts["Always wrong, FAC"] == "out of range"
    assert verdicts["Answer key, FAC"] == "ok"
