"""Mistakes in a size's YAML: one sentence that names file, key, value and remedy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import study.config
from study.config import ModelSource
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


def put(*path: str | int, value: Any) -> Any:
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
    (
        put("judges", value={"j": {"local": {"model": "micro.techer"}, "prompts": 3}}),
        "judges.j.local.model is 'micro.techer'; did you mean 'micro.teacher'",
    ),
    (
        put("judges", value={"j": {"local": {"model": "mirco.student"}, "prompts": 3}}),
        "judges.j.local.model is 'mirco.student'; did you mean 'micro.student'",
    ),
    (
        put("judges", value={"j": {"local": {"model": "./nothere"}, "prompts": 3}}),
        "judge 'j': there is no model folder './nothere'",
    ),
    (put("threshold", value={"d": 0.2, "reading": "median"}), "'threshold.reading' is 'median'"),
    (put("seeds", value=[]), "'seeds' is [], but must hold at least 1; change it"),
    (put("seeds", value=[1, 1]), "but seeds must differ"),
    (put("methods", "cmdp", value={"n": -1}), "'n' of method 'cmdp' is -1, but must be at least 0"),
    (put("methods", "cmdp", value={"phi": "means"}), "'phi' of method 'cmdp' is 'means'; did you mean 'mean'"),
    (put("methods", "cmdp", value={"n": 10**400}), "'n' of method 'cmdp' is 1000"),
    (
        put("methods", "cmdp", value={"constraint": "sum"}),
        "'constraint' of method 'cmdp' is 'sum', but its d is for the reading 'mean'; give the row a 'threshold' with "
        "'reading: sum'",
    ),
    (
        put("ablations", "reading", "methods", value={"cmdp": {"constraint": ["mean", "sum"]}}),
        "ablation 'reading': 'constraint' of method 'cmdp' is 'sum'",
    ),
    (put("methods", "cmdp", value={"constraint": "smu"}), "'constraint' of method 'cmdp' is 'smu'; did you mean 'sum'"),
    (put("methods", "cmdp", value={"lambda": 1}), "method 'cmdp' has no setting 'lambda'"),
    (put("methods", "soft_lagrangian", value={"lambda": [-0.1]}), "'soft_lagrangian' is -0.1, but must be at least 0"),
    (put("methods", "soft_lagrangian", value={"lambda": []}), "'lambda' of method 'soft_lagrangian' is an empty list"),
    (put("methods", "grpo", value={"lr": 0}), "'lr' of method 'grpo' is 0"),
    (put("methods", value={}), "'methods' is {}"),
    (put("pairs", "micro", "tests", 0, "name", value="sme"), "no test set 'sme'; did you mean 'same'"),
    (put("evaluate", "samples", value=0), "'evaluate.samples' is 0"),
    (put("pairs", "micro", "teacher", value={}), "exactly one of"),
    (put("pairs", "micro", "teacher", "world", "width", value=7), "'pairs.micro.teacher.world.width' is 7"),
    (put("title", value=3), "'title' is 3, but input should be a valid string"),
    (put("seeds", value="0"), "'seeds' is '0', but input should be a valid array"),
    (put("seeds", value=[-1]), "'seeds.0' is -1, but input should be greater than or equal to 0"),
    (put("seeds", value=[0.5]), "'seeds.0' is 0.5"),
    (put("pairs", "micro", "seeds", value=[2, 2]), "but seeds must differ"),
    (put("pairs", "micro", "seeds", value=[]), "'pairs.micro.seeds' is []"),
    (put("train", value=None), "'train' is None"),
    (put("train", "steps", value="3"), "'train.steps' is '3', but input should be a valid integer"),
    (put("train", "steps", value=True), "'train.steps' is True, but input should be a valid integer"),
    (put("train", "questions", value=-1), "'train.questions' is -1"),
    (put("train", "lr", value=float("inf")), "'train.lr' is inf"),
    (put("train", "lr", value="fast"), "'train.lr' is 'fast', but input should be a valid number"),
    (put("train", "weight_decay", value=float("nan")), "'train.weight_decay' is nan"),
    (put("train", "weight_decay", value=float("inf")), "'train.weight_decay' is inf"),
    (
        put("train", "schedule", value="linaer"),
        "'train.schedule' is 'linaer', but input should be 'constant', 'linear'",
    ),
    (put("train", "dtype", value="float16"), "'train.dtype' is 'float16'"),
    (put("evaluate", "samples", value=1.5), "'evaluate.samples' is 1.5"),
    (put("evaluate", "sample", value=2), "unknown key 'evaluate.sample'; did you mean 'samples'"),
    (put("evaluate", "prompts", value=41), "evaluate.prompts is 41, but test set 'same' of pair 'micro' has 40"),
    (put("threshold", value={"d": float("inf")}), "'threshold.d' is inf"),
    (put("threshold", value={"d": 0.2, "calibrate": 0.9}), "exactly one of 'd' and 'calibrate'"),
    (put("pairs", value={}), "'pairs' is {}"),
    (put("pairs", value=[]), "'pairs' is []"),
    (put("pairs", "micro", "techer", value={}), "unknown key 'pairs.micro.techer'; did you mean 'teacher'"),
    (put("pairs", "micro", "teacher", "world", "widht", value=8), "did you mean 'width'"),
    (put("pairs", "micro", "data", "world", "trian", value=8), "did you mean 'train'"),
    (put("pairs", "micro", "data", value={}), "exactly one of 'world' and 'problems'"),
    (put("pairs", "micro", "data", "world", "ops", value=[4, 2]), "ops and longer are ranges"),
    (put("pairs", "micro", "teacher", "world", "styles", value={"careful": 0.5}), "styles must sum to 1"),
    (put("pairs", "micro", "teacher", "world", "styles", value={"neat": 1.0}), "pairs.micro.teacher.world.styles.neat"),
    *(
        (put("pairs", "micro", "teacher", "world", key, value={"carefull": 1.0}), "carefull'; did you mean 'careful'?")
        for key in ("styles", "noise")
    ),
    (
        put("pairs", "micro", "evaluate", value={"prompts": 4}),
        "unknown key 'pairs.micro.evaluate.prompts'; known: batch, max_new_tokens",
    ),
    (
        put("pairs", "micro", "train", value={"epochs": 1}),
        "pairs.micro.train: 'epochs' stands for the size's 'steps'; write 'steps: 0' beside it",
    ),
    (
        put("pairs", "micro", "train", value={"epochs": 1, "steps": 6}),
        "pairs.micro.train: exactly one of 'steps' (1 or more) and 'epochs' must be given; change it",
    ),
    (put("methods", "soft_lagrangian", value={"lambda": [1, True]}), "'soft_lagrangian' is True, but must be a number"),
    (put("ablations", "reading", "methods", value={"cmdp": {"n": [1, True]}}), "'reading': 'n' of method 'cmdp' is"),
    (put("pairs", "micro", "tests", value=[]), "'pairs.micro.tests' is []"),
    (put("pairs", "micro", "tests", value=[{"name": "same"}]), "'pairs.micro.tests.0.title' is missing"),
    (put("pairs", "micro", "tests", value=[{"name": "same", "title": "x"}] * 2), "a test set is named twice"),
    *(
        (put("pairs", "micro", "tests", 1, "title", value=title), "'title', which are ['Same distribution', " + shown)
        for title, shown in (("Same distribution ", "'Same distribution', 'Longer"), (" ", "'', 'Longer"))
    ),
    (put("pairs", "micro", "regime", value={"grpo_cs": 1}), "did you mean 'grpo_cs_max'"),
    (put("pairs", "micro", "regime", value={"student_fac": [0.9, 0.1]}), "'student_fac' is a range [least, most]"),
    (put("pairs", "micro", "regime", value={"harder": "same"}), "but must be one of 'tests' after the first"),
    (put("pairs", "micro", "regime", value={"student_fac": [-5, 100]}), "'pairs.micro.regime.student_fac.0' is -5"),
    (put("pairs", "micro", "regime", value={"student_fac": [0, 100]}), "'pairs.micro.regime.student_fac.1' is 100"),
    *(
        (put("pairs", "micro", "teacher", "world", value={"noise": {"terse": 0.3}, "styles": styles}), "'noise' names")
        for styles in ({"careful": 1.0}, {"careful": 1.0, "terse": 0.0})
    ),
    (put("pairs", "micro", "teacher", value={"pretrained": "/nowhere/model"}), "no model folder '/nowhere/model'"),
    (put("pairs", "micro", "student", value={"pretrained": "a b; touch c"}), "no model folder 'a b; touch c'"),
    (put("methods", value=["grpo"]), "'methods' is ['grpo']"),
    (put("methods", "grpo", value=3), "'methods.grpo' is 3"),
    (put("methods", "teacher", value={}), "there is no method 'teacher'"),
    (put("methods", "cmdp", value={"n": "many"}), "'n' of method 'cmdp' is 'many', but must be a number"),
    (put("methods", "cmdp", value={"n": True}), "'n' of method 'cmdp' is True, but must be a number"),
    (put("methods", "cmdp", value={"n": float("inf")}), "'n' of method 'cmdp' is inf, but must be a number"),
    (
        put("methods", "soft_lagrangian", value={"lambda": [0.1, 0.1]}),
        "'lambda' of method 'soft_lagrangian' holds 0.1 twice",
    ),
    (
        put("methods", "soft_lagrangian", value={"lambda": [0.1, 0.10000001]}),
        "'lambda' of method 'soft_lagrangian' is 0.1 and 0.10000001, both of which tables show as 'λ=0.1'; take one",
    ),
    (put("methods", "grpo", value={"lr": [1e-3, 1.0000001e-3]}), "'grpo' is 0.001 and 0.0010000001, both of which"),
    (put("methods", "cmdp", value={"threshold": [{"d": 0.3}, {"d": 0.30000001}]}), "is 0.3 and 0.30000001, both of"),
    (put("ablations", "reading", "methods", value={"cmdp": {"n": [2, 2.0000001]}}), "is 2.0 and 2.0000001, both of"),
    (put("methods", "grpo", value={"lr": "fast"}), "is 'fast'"),
    (put("methods", "path", value=["/x"]), "'path' is given below 'methods'; write it as one key, 'methods.path: ...'"),
    (put("data", value={"root": "/x"}), "'root' is given below 'data'; write it as one key, 'data.root: ...'"),
    (put("methods.path", value="/x"), "'methods.path' is '/x', but input should be a valid array"),
    (
        put("device", value="h100_80g"),
        "there is no device 'h100_80g' in study/devices.py; did you mean 'h100_80gb'",
    ),
    (put("title", value="a\0b"), "a text holds a NUL character"),
    (
        put("pairs", "micro", "data", value={"problems": {"tests": {"gsm8k": 40}}}),
        "but a 'world' model learns from chains, which real problems lack: give 'data.world' or another model",
    ),
    *(
        (put("pairs", "micro", "teacher", value={"smollm2": {"drop": drop}}), "'smollm2.drop' must name fewer than 30")
        for drop in ([*range(30)], [30], [4, 4])
    ),
    *((put("pairs", value={name: {}}), f"pairs.{name}") for name in ("../x", "a/b", "a b", "a;b", "$(a)", "'", "..")),
]


@pytest.mark.parametrize(("change", "sentence"), BAD, ids=[s for _, s in BAD])
def test_a_mistake_is_one_clear_sentence(write: Any, change: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        write(change)
    message = str(caught.value)
    assert sentence in message
    assert message.startswith("config/smoke.yaml")
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "", "a b", "größe", "x;touch y", "$(touch y)", "smoke\n", "config/smoke"]
)
def test_a_size_is_a_plain_name(write: Any, tmp_path: Path, name: str) -> None:
    """Where its file is there, too: it would become part of paths and commands."""
    if name.isprintable() and "/" not in name:
        (tmp_path / "config" / f"{name}.yaml").touch()
    with pytest.raises(UserError, match=r"there is no size .*: a size's name has letters from A to Z, d") as caught:
        make_plan(name)
    assert "\n" not in str(caught.value)


def test_an_unknown_size_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no size 'micor' in config/; did you mean 'micro'"):
        make_plan("micor")


UNREADABLE = [
    ("a: [", "is no readable YAML: line 1"),
    ("- 1\n- 2\n", "must be a mapping of settings, but is list"),
    ("", "must be a mapping of settings, but is NoneType"),
    ("\tx: 1", "line 1: found character '\\t' that cannot start any token"),
    ("title: a\nnote: b\ntitle: c\n", "line 3: the key 'title' is given twice"),
    ("train: {steps: 1, steps: 2}", "line 1: the key 'steps' is given twice"),
    ("title: !!python/object/apply:os.system [true]", "could not determine a constructor for the tag"),
    ("title: 2026-99-99", "month must be in 1..12"),
    ("title: &a [*a]", "the values are no JSON (Circular reference detected)"),
    ("title: " + "[" * 3000, "maximum recursion depth exceeded"),
    ("title: \x00", "is no readable YAML"),
]


@pytest.mark.parametrize(("text", "sentence"), UNREADABLE, ids=[s for _, s in UNREADABLE])
def test_unreadable_yaml(write: Any, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        write(text=text)
    message = str(caught.value)
    assert message.startswith("config/smoke.yaml")
    assert sentence in message
    assert "\n" not in message


def test_a_number_with_an_exponent_needs_no_point(write: Any) -> None:
    """YAML 1.1 would read it as a text."""
    text = yaml.safe_dump(yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text()))
    assert "lr: 0.001" in text
    assert write(text=text.replace("lr: 0.001", "lr: 1e-3")).size.train.lr == 0.001


def test_the_unchanged_size_is_good(write: Any) -> None:
    assert write().runs


def test_a_rows_own_threshold_says_its_reading(write: Any) -> None:
    row = {"threshold": {"d": 4.2, "reading": "sum"}, "constraint": "sum"}
    runs = [run for run in write(put("methods", "cmdp", value=row)).chosen() if run.method == "cmdp"]
    assert [run.params["settings"]["constraint"] for run in runs] == ["sum"]


def test_a_pair_can_count_in_the_other_unit(write: Any) -> None:
    def change(values: dict[str, Any]) -> None:
        values["train"] |= {"steps": 0, "epochs": 1}
        values["pairs"]["micro"]["train"] = {"steps": 6}

    with pytest.raises(UserError, match="'steps' stands for the size's 'epochs'; write 'epochs: null' beside it"):
        write(change)
    assert write(put("pairs", "micro", "train", value={"epochs": 1, "steps": 0})).size.train_of("micro").epochs == 1


def test_all_layers_but_one_can_be_left_out() -> None:
    assert ModelSource.model_validate({"smollm2": {"drop": [*range(29)]}}).smollm2
