"""Preflight as a command: its table, its exit code, and what planning refuses beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import study.config
import study.preflight.costs
import study.preflight.facts
from study.preflight import __main__ as preflight
from study.preflight import data_checks
from tests.tiny import llama
from training.errors import UserError
from training.folders import ROOT

pytestmark = pytest.mark.usefixtures("offline")


def test_the_command_says_ready_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    preflight.main(["--size", "micro"])
    assert "ready: 0 refused" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        preflight.main(["--size", "paper", "--data-root", "/nowhere", "--device", "l4"])
    assert stopped.value.code == 1
    printed = capsys.readouterr().out
    assert "not ready: " in printed
    assert max(map(len, printed.splitlines())) <= 125


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs preflight on a changed size, which it must refuse, and gives what it prints as one line."""
    (tmp_path / "config").mkdir()
    config = ROOT / "config"
    monkeypatch.setattr(study.config, "ROOT", tmp_path)

    def run(name: str, change: Callable[[dict[str, Any]], object], *options: str) -> str:
        content = yaml.safe_load((config / f"{name}.yaml").read_text())
        change(content)
        (tmp_path / "config" / "broken.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(SystemExit) as stopped:
            preflight.main(["--size", "broken", *options])
        assert stopped.value.code == 1
        return " ".join(capsys.readouterr().out.split())

    return run


def test_a_missing_model_ends_in_a_table(refused: Callable[..., str]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["pairs"]["qwen"]["student"] = {"pretrained": "models/a/b"}
        content["judges"] = {"gone": {"local": {"model": "judges/a/b"}}, "own": {"local": {"model": "qwen.teacher"}}}

    printed = refused("paper", change, "--data-root", "/nowhere")
    assert printed.count("there is no model folder 'models/a/b'") == 1  # planning refuses it too
    assert "there is no model folder 'judges/a/b'" in printed
    assert "llama memory" in printed


def test_what_planning_refuses_is_refused(refused: Callable[..., str]) -> None:
    said = "refused all plan config/broken.yaml: 'lr' of method 'cmdp' is 5, but must be a number in (0, 1]; change it"
    assert said in refused("micro", lambda content: content["methods"]["cmdp"].update(lr=5))
    printed = refused("paper", lambda content: content["methods"]["cmdp"].update(lr=5), "--data-root", "/nowhere")
    assert said in printed
    assert printed.count("there is no file /nowhere/gsm8k/train.jsonl") == 1


def test_a_vocabulary_that_planning_alone_knows_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    policy = llama(1)
    policy.config.max_position_embeddings = 4096
    policy.save_pretrained(tmp_path)
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model, "added_tokens": []}))
    pair = {"student": {"pretrained": str(tmp_path)}}
    printed = refused("micro", lambda content: content["pairs"]["micro"].update(pair))
    assert "1 refused" in printed
    assert "student and teacher of pair 'micro' have different vocabularies" in printed


def test_a_tokenizer_that_its_package_cannot_read_is_one_sentence(tmp_path: Path) -> None:
    """Valid JSON with a vocabulary, so that the folder passes as a model's."""
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({"version": "1.0", "model": {"type": "Unheard", "vocab": {"a": 0}}, "added_tokens": []}))
    with pytest.raises(
        UserError, match=r"tokenizer\.json cannot be read as a tokenizer \(.*; restore the model folder"
    ):
        data_checks._lengths(["a"], file)
