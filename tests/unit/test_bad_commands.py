"""Command lines that cannot be met end at once: exit code 2, one sentence, nothing written."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tiny_models import tiny_policy, tiny_world
from training.errors import cli

RUN: dict[str, Any] = {"run": "r", "method": "grpo", "settings": {}, "seed": 0, "train": {"steps": 1}}
TRAIN = ("--data", "data", "--student", "policy", "--teacher", "policy", "--out", "out")
GENERATE = ("--data", "data", "--policy", "policy", "--out", "out/samples.jsonl")
CMDP = {"n": 20.0, "phi": "mean", "reading": "mean"}


def run(**changes: Any) -> str:
    return json.dumps({**RUN, **changes})


COMMANDS: list[tuple[str, tuple[str, ...], str]] = [
    ("world.write", ("--params", "{", "--out", "out"), "--params is no JSON"),
    ("world.write", ("--params", "{'seed': 0}", "--out", "out"), "--params is no JSON"),
    ("world.write", ("--params", '{"tran": 3}', "--out", "out"), "unknown key 'tran'; did you mean 'train'?"),
    ("world.write", ("--params", '{"train": -1}', "--out", "out"), "'train' is -1, but input should be greater"),
    ("world.write", ("--params", '{"train": "9"}', "--out", "out"), "'train' is '9', but input should be a valid int"),
    ("world.write", ("--params", '{"seed": NaN}', "--out", "out"), "'seed' is nan"),
    ("world.write", ("--params", "absent.json", "--out", "out"), "neither JSON text nor a readable file"),
    ("world.write", ("--params", "policy/config.json", "--out", "out"), "policy/config.json: unknown key"),
    ("world.write", ("--out", "policy/config.json"), "--out policy/config.json is a file; name a folder"),
    ("world.write", ("--out", "policy/config.json/x"), "lies below the file"),
    ("world.write", ("--params", '{"train": 50000, "ops": [1, 1]}', "--out", "out"), "ask for fewer problems"),
    ("world.make_model", ("--params", '{"widht": 8}', "--data", "data", "--out", "out"), "did you mean 'width'"),
    ("world.make_model", ("--data", "absent", "--out", "out"), "'absent' has no longer.jsonl"),
    ("world.make_model", ("--params", '{"lr": Infinity}', "--data", "data", "--out", "out"), "'lr' is inf"),
    ("sources.problems", ("--params", '{"tests": {"gsm9k": 1}}', "--out", "out"), "there is no data set 'gsm9k'"),
    ("sources.problems", ("--params", '{"tests": {"gsm8k": 0}}', "--out", "out"), "'tests.gsm8k' is 0"),
    ("sources.problems", ("--params", '{"tests": {"gsm8k": 1}, "root": "no"}', "--out", "out"), "no file no/gsm8k/"),
    ("sources.smollm2", ("--params", '{"steps": 1}', "--data", "data", "--out", "out"), "did you mean 'sft_steps'"),
    ("study.threshold", ("--params", "{}", "--out", "d.json"), "neither 'd' nor 'calibrate' is given"),
    ("study.threshold", ("--params", '{"d": NaN}', "--out", "d.json"), "'d' is nan"),
    ("study.threshold", ("--params", '{"calibrate": 0.9, "run": "gkd"}', "--out", "d"), "run 'gkd' has no measurement"),
    ("training.train", ("--params", run(method="grop"), *TRAIN), "no method 'grop'; did you mean 'grpo'?"),
    (
        "training.train",
        ("--params", run(method="cmdp", settings=CMDP), *TRAIN),
        "needs a threshold d; pass --threshold",
    ),
    ("training.train", ("--params", run(settings={"n": 1}), *TRAIN), "method 'grpo' has no setting 'n'"),
    ("training.train", ("--params", run(method="soft_lagrangian"), *TRAIN), "'lambda' of method 'soft_lagrangian' is"),
    ("training.train", ("--params", run(train={"steps": 0}), *TRAIN), "exactly one of 'steps' (1 or more) and"),
    (
        "training.train",
        ("--params", run(train={"steps": 1, "lrr": 1}), *TRAIN),
        "unknown key 'train.lrr'; did you mean",
    ),
    ("training.train", ("--params", run(methods_path=["no"]), *TRAIN), "methods.path: there is no folder no"),
    ("training.train", ("--params", run(), *TRAIN[:-1], "data/same.jsonl"), "--out data/same.jsonl is a file"),
    ("training.train", ("--params", run(), *TRAIN, "--student", "/absent"), "no model folder '/absent'; correct"),
    ("training.train", ("--params", run(), *TRAIN, "--teacher", "data"), "data holds no tokenizer"),
    ("training.train", ("--params", run(), *TRAIN, "--data", "absent"), "absent/validation.jsonl cannot be read"),
    ("training.train", ("--params", run(), *TRAIN, "--threshold", "absent"), "absent cannot be read"),
    ("evaluation.generate", ("--params", '{"tests": []}', *GENERATE), "'tests' is []"),
    (
        "evaluation.generate",
        ("--params", '{"tests": ["sme"]}', *GENERATE),
        "no test set 'sme' in data; did you mean 'same'",
    ),
    ("evaluation.generate", ("--params", '{"tests": ["same"], "prompts": 99}', *GENERATE), "has 8 rows, fewer than"),
    ("evaluation.generate", ("--params", '{"tests": ["same"]}', *GENERATE[:2], "--out", "x"), "--policy is missing"),
    ("evaluation.generate", ("--params", '{"tests": ["same"]}', *GENERATE, "--out", "data"), "--out data is a folder"),
    ("evaluation.score", ("--samples", "absent.jsonl", "--out", "s.parquet"), "no such file; run make tables"),
    ("evaluation.score", ("--samples", "data/same.jsonl", "--out", "s.parquet"), "the key 'test' is missing"),
    ("evaluation.collect", ("--params", '{"size": "x"}', "--out", "out"), "'pairs' is missing; add it"),
    ("evaluation.tables", ("--collected", "absent", "--out", "out"), "absent is not a readable collected size"),
    ("evaluation.figures", ("--collected", "absent", "--out", "out"), "absent is not a readable collected size"),
    ("evaluation.paper", ("--collected", "absent", "--out", "out"), "absent is not a readable collected size"),
    ("evaluation.tuning", ("--params", '{"size": 1}', "--runs", "r", "--out", "out"), "'size' is 1"),
    ("evaluation.theory", ("--out", "data/same.jsonl"), "is a file; name a folder"),
    ("study.forecast", ("--size", "smok"), "there is no size 'smok' in config/; did you mean 'smoke'?"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data of the world and a policy."""
    folder = tmp_path_factory.mktemp("place")
    tiny_world(folder / "data")
    tiny_policy(folder / "policy", seed=0)
    return folder


@pytest.mark.parametrize(("module", "arguments", "told"), COMMANDS, ids=[f"{m} {told}" for m, _, told in COMMANDS])
def test_a_command_that_cannot_be_met(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str,
    arguments: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    package = hasattr(importlib.import_module(module), "__path__")
    with pytest.raises(SystemExit) as ended:
        cli(importlib.import_module(f"{module}.__main__" if package else module).main)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert told in said
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
