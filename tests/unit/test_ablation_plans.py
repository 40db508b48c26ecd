"""Ablations: what the plan makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from study.plan import make_plan
from study.planned import Plan
from tests.unit.test_config import put, write
from training.errors import UserError
from training.folders import ROOT

__all__ = ["write"]  # the fixture


@pytest.fixture(scope="module")
def micro() -> Plan:
    return make_plan("micro")


def test_an_ablation_shares_the_rows_that_the_tables_have(micro: Plan) -> None:
    base = {run.id for run in micro.chosen() if run.method == "cmdp"}
    assert len(base) == len(micro.size.seeds)
    for name in ("phi", "n", "reading", "sensitivity"):
        ids = [run.id for run in micro.chosen(name)]
        assert len(ids) == len(set(ids))
        assert base <= set(ids)
    assert not {run["run"] for run in micro.summary()["runs"]} & {
        run.id for run in micro.chosen("n") if run.id not in base
    }


def test_rows_with_a_constraint_of_their_own_are_trained_for_it(micro: Plan) -> None:
    runs = {run.setting: run for run in micro.chosen("reading")}
    assert set(runs) == {"", "constraint=sum, d=4.2", "constraint=prefix, d=0.3"}
    run = runs["constraint=sum, d=4.2"]
    assert run.params["settings"]["constraint"] == "sum"
    assert run.params["inputs"]["threshold"] == run.threshold
    assert micro.thresholds[run.threshold] == {"d": 4.2, "calibrate": None, "reading": "sum"}
    (axis,) = micro.ablations["reading"].params["axes"]
    own = axis["points"][1]["thresholds"]["micro"]
    assert own == {"file": f"results/thresholds/{run.threshold}.json", "reading": "sum"}


BAD = [
    (put("ablations", value={"x": {"title": "t", "methods": {"cmpd": {"n": [1]}}}}), "no method 'cmpd'; did you mean"),
    (put("ablations", value={"x": {"title": "t", "methods": {"cmdp": {"n": 1}}}}), "must vary one setting"),
    (put("ablations", value={"x": {"title": "t", "methods": {"cmdp": {"n": [1], "phi": ["last"]}}}}), "varies n, phi"),
    (put("ablations", value={"x": {"title": "t", "methods": {"gkd": {"threshold": [{"d": 1}]}}}}), "uses no threshold"),
    (put("ablations", value={"x": {"title": "t", "methods": {"cmdp": {"threshold": [{"d": 0}]}}}}), "'d' is 0"),
    (put("ablations", value={"x": {"title": "t", "methods": {"cmdp": {"n": []}}}}), "'n' of 'cmdp' is an empty list"),
    (
        put("ablations", value={"x": {"title": "t", "methods": {"cmdp": {"n": [5, 20, 5]}}}}),
        "'n' of 'cmdp' has 5 twice",
    ),
    (put("methods", "cmdp", value={"threshold": []}), "empty list as 'lr' or 'threshold'"),
    (put("ablations", value={"a/b": {"title": "t", "methods": {"cmdp": {"n": [1]}}}}), "ablations.a/b"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD, ids=[s for _, s in BAD])
def test_a_mistake_is_one_clear_sentence(write: Any, change: Any, sentence: str) -> None:
    with pytest.raises(UserError, match="config/smoke") as caught:
        write(change)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_learning_rates_are_rows_of_their_own(write: Any) -> None:
    rates = {"title": "t", "methods": {"cmdp": {"lr": [1e-4, 1e-3]}}}
    plan = write(put("ablations", value={"rate": rates}))
    settings = {plan.runs[run].setting for run in plan.ablations["rate"].runs}
    assert settings == {"lr=0.0001", "lr=0.001"}


def test_the_micro_pair_is_one_pair() -> None:
    """It is written in three sizes: recipe, data and training must agree, or runs would not be comparable."""
    sizes = {n: yaml.safe_load((ROOT / "config" / f"{n}.yaml").read_text()) for n in ("micro", "extended", "tune")}
    for name in ("extended", "tune"):
        ours, theirs = sizes["micro"]["pairs"]["micro"], sizes[name]["pairs"]["micro"]
        asked = {"tests", "regime"}  # of the models, once they are made
        assert {k: v for k, v in theirs.items() if k not in asked} == {k: v for k, v in ours.items() if k not in asked}
        assert all(test in ours["tests"] for test in theirs["tests"])
        assert sizes[name]["threshold"] == sizes["micro"]["threshold"]
        shared = {k: v for k, v in sizes[name]["train"].items() if k != "monitor_prompts"}
        assert shared == sizes["micro"]["train"]
