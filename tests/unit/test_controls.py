"""Controls: what a sound study passes, and what each of them notices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

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
