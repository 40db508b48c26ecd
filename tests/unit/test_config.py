"""Mistakes in a size's YAML: one sentence that names file, key, value and remedy."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import study.config
from study.plan import make_plan
from training.errors import UserError
from training.folders import ROOT


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a changed copy of the smoke size and plans it."""
    (tmp_path / "config").mkdir()
    smoke = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    monkeypatch.setattr(study.config, "ROOT", tmp_path)

    def plan(change: Any = None, text: str | None = None) -> Any:
        values = copy.deepcopy(smoke)
        if change:
            change(values)
        (tmp_path / "config" / "smoke.yaml").write_text(text if text is not None else yaml.safe_dump(values))
        return make_plan("smoke")

    return plan


def put(*path: str, value: Any) -> Any:
    """A change that sets the value at a path."""

    def change(values: dict[str, Any]) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = value

    return change


BAD = [
    (put("methods", "grop", value={}), "no method 'grop'; did you mean 'grpo'"),
    (put("treshold", value={"d": 1}), "unknown key 'treshold'; did you mean 'threshold'"),
    (put("train", "step", value=3), "unknown key 'train.step'; did you mean 'steps'"),
    (put("threshold", value={"d": 0}), "'threshold.d' is 0"),
    (put("threshold", value={"d": -1}), "'threshold.d' is -1"),
    (put("threshold", value={"d": float("nan")}), "'threshold.d' is nan"),
    (put("threshold", value={"calibrate": 1.5}), "'threshold.calibrate' is 1.5"),
    (put("threshold", value={}), "exactly one of 'd' and 'calibrate'"),
    (put("threshold", value={"d": 0.2, "reading": "median"}), "'threshold.reading' is 'median'"),
    (put("seeds", value=[]), "'seeds' is []"),
    (put("seeds", value=[1, 1]), "seeds must differ"),
    (put("methods", "cmdp", value={"n": -1}), "'n' is -1, but must be at least 0"),
    (put("methods", "cmdp", value={"phi": "means"}), "'phi' is 'means'; did you mean 'mean'"),
    (put("methods", "cmdp", value={"lambda": 1}), "method 'cmdp' has no setting 'lambda'"),
    (put("methods", "soft_lagrangian", value={"lambda": [-0.1]}), "'lambda' is -0.1, but must be at least 0"),
    (put("methods", "soft_lagrangian", value={"lambda": []}), "'lambda' is an empty list"),
    (put("methods", "grpo", value={"lr": 0}), "'lr' of method 'grpo' is 0"),
    (put("methods", value={}), "'methods' is {}"),
    (put("pairs", "micro", "tests", value=[{"name": "sme", "title": "x"}]), "no test set 'sme'; did you mean 'same'"),
    (put("evaluate", "samples", value=0), "'evaluate.samples' is 0"),
    (put("pairs", "micro", "teacher", value={}), "exactly one of"),
    (put("pairs", "micro", "teacher", "world", "width", value=7), "'pairs.micro.teacher.world.width' is 7"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD, ids=[s for _, s in BAD])
def test_a_mistake_is_one_clear_sentence(write: Any, change: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        write(change)
    message = str(caught.value)
    assert sentence in message
    assert message.startswith("config/smoke.yaml")
    assert "\n" not in message


def test_an_unknown_size_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no size 'micor' in config/; did you mean 'micro'"):
        make_plan("micor")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "", "\tx: 1"])
def test_unreadable_yaml(write: Any, text: str) -> None:
    with pytest.raises(UserError, match=r"config/smoke\.yaml"):
        write(text=text)


def test_the_unchanged_size_is_good(write: Any) -> None:
    assert write().runs


def test_a_pair_with_different_vocabularies_is_refused(write: Any, tmp_path: Path) -> None:
    for name, words in (("a", {"x": 0, "y": 1}), ("b", {"x": 1, "y": 0})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}}))

    def change(values: dict[str, Any]) -> None:
        for who, folder in (("student", "a"), ("teacher", "b")):
            values["pairs"]["micro"][who] = {"pretrained": str(tmp_path / folder)}

    with pytest.raises(UserError, match="student and teacher of pair 'micro' have different vocabularies"):
        write(change)
    with pytest.raises(UserError, match="different vocabularies"):
        write(put("pairs", "micro", "teacher", value={"smollm2": {}}))
