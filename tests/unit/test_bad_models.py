"""Model folders and collected results that are not what they must be: refused before they are used, with a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evaluation.collected import read
from tests.unit.synthetic import write_collected
from tests.unit.test_bad_input import sentence
from tests.unit.tiny_models import tiny_policy
from training.model_folder import check_model
from training.models import load_policy, load_tokenizer

Change = Callable[[Path], Any]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"), seed=0)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collected(tmp_path_factory.mktemp("collected"), seeds=1, prompts=2, samples=2, steps=2)


def put(name: str, content: str | bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def rename(old: str, new: str) -> Change:
    return lambda folder: (folder / old).rename(folder / new)


def adjust(name: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    def act(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return act


CODE = {"AutoModelForCausalLM": "modeling.Own"}
FOLDERS = [
    (remove("config.json"), "config.json cannot be read (No such file or directory)"),
    (put("config.json", "{"), "config.json is no valid JSON"),
    (put("config.json", "[]"), "config.json: a JSON object is needed, not list"),
    (adjust("config.json", lambda c: c.update(auto_map=CODE)), "config.json: 'auto_map' asks for Python code"),
    (adjust("tokenizer_config.json", lambda c: c.update(auto_map=CODE)), "tokenizer_config.json: 'auto_map' asks for"),
    (remove("tokenizer.json"), "holds no tokenizer (tokenizer.json, "),
    (put("tokenizer.json", "{}"), "tokenizer.json: there is no vocabulary under 'model.vocab'"),
    (put("tokenizer.json", b"\xff"), "tokenizer.json cannot be read as text"),
    (remove("model.safetensors"), "holds no weights (*.safetensors)"),
    (rename("model.safetensors", "pytorch_model.bin"), "as a pickle only (pytorch_model.bin), which could run code"),
    (rename("model.safetensors", "weights.pt"), "as a pickle only (weights.pt)"),
]


@pytest.mark.parametrize(("change", "told"), FOLDERS, ids=[told for _, told in FOLDERS])
def test_a_model_folder(policy: Path, tmp_path: Path, change: Change, told: str) -> None:
    folder = shutil.copytree(policy, tmp_path / "model")
    check_model(str(folder))
    change(folder)
    said = sentence(lambda: check_model(str(folder)))
    assert str(folder) in said
    assert told in said


def test_a_tokenizer_that_only_its_package_finds_wrong(policy: Path, tmp_path: Path) -> None:
    """It passes as a model folder's; what loads it has the sentence that preflight has."""
    folder = shutil.copytree(policy, tmp_path / "model")
    adjust("tokenizer.json", lambda c: c["model"].update(type="Unheard"))(folder)
    check_model(str(folder))
    said = sentence(lambda: load_tokenizer(folder))
    assert said.startswith(f"{folder} cannot be read as a tokenizer (")
    assert said.endswith("; restore the model folder from its origin")


@pytest.mark.parametrize("name", ["/nowhere/model", "../model", "a/b/c", "org/model; touch x", "", "~/model"])
def test_names_that_are_neither_a_folder_nor_on_a_hub(name: str) -> None:
    assert f"there is no model folder {name!r}" in sentence(lambda: check_model(name))


def test_a_file_in_a_model_folders_place(policy: Path) -> None:
    assert "is a file, not a model folder" in sentence(lambda: check_model(str(policy / "config.json")))


LOADED = [
    (put("model.safetensors", b""), "no model can be read from"),
    (put("model.safetensors", b"\x10\0\0\0\0\0\0\0{"), "no model can be read from"),
    (adjust("config.json", lambda c: c.update(model_type="nonesuch")), "no model can be read from"),
    (adjust("config.json", lambda c: c.update(hidden_size="wide")), "no model can be read from"),
    (adjust("config.json", lambda c: c.update(vocab_size=7)), "no model can be read from"),
    (adjust("config.json", lambda c: c.update(num_hidden_layers=3)), "weights of its model"),
    (adjust("config.json", lambda c: c.update(model_type="granite", logits_scaling=8.0)), "capped or scaled"),
]


@pytest.mark.parametrize(("change", "told"), LOADED, ids=range(len(LOADED)))
def test_what_only_loading_tells(policy: Path, tmp_path: Path, change: Change, told: str) -> None:
    folder = shutil.copytree(policy, tmp_path / "model")
    change(folder)
    assert told in sentence(lambda: load_policy(folder))


def test_a_tokenizer_that_cannot_be_read(policy: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(policy, tmp_path / "model")
    adjust("tokenizer_config.json", lambda c: c.update(tokenizer_class="Nonesuch"))(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{")
    assert "no tokenizer can be read from" in sentence(lambda: load_tokenizer(folder))


def frame(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Change:
    return lambda folder: change(pd.read_parquet(folder / name)).to_parquet(folder / name)


COLLECTED = [
    (remove("runs.json"), "is not a readable collected size ([Errno 2]"),
    (put("runs.json", "{"), "is not a readable collected size (1 validation error"),
    (remove("costs.parquet"), "is not a readable collected size"),
    (put("scores.parquet", b"PAR1"), "is not a readable collected size"),
    (frame("scores.parquet", lambda f: f.drop(columns="metric")), "scores.parquet lacks the column 'metric'"),
    (frame("scores.parquet", lambda f: f.assign(value="much")), "'value' in scores.parquet holds no numbers"),
    (frame("curves.parquet", lambda f: f.drop(columns="kl_mean")), "curves.parquet lacks the column 'kl_mean'"),
    (adjust("runs.json", lambda c: c["runs"].append(c["runs"][0])), "has the run 'world-teacher-0' twice"),
    (
        adjust("runs.json", lambda c: c["runs"][0].update(pair="wolrd")),
        "pair 'wolrd', which it does not define; did you",
    ),
    (adjust("runs.json", lambda c: c["pairs"]["world"]["threshold"].update(d=-1)), "is not a readable collected size"),
    (adjust("runs.json", lambda c: c["pairs"]["world"].update(reading="median")), "is not a readable collected size"),
]


@pytest.mark.parametrize(("change", "told"), COLLECTED, ids=range(len(COLLECTED)))
def test_a_collected_size(collected: Path, tmp_path: Path, change: Change, told: str) -> None:
    folder = shutil.copytree(collected, tmp_path / "collected")
    change(folder)
    said = sentence(lambda: read(folder))
    assert str(folder) in said
    assert told in said


def test_scores_with_a_sample_twice(collected: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(collected, tmp_path / "collected")
    frame("scores.parquet", lambda f: f.assign(sample=0))(folder)
    size = read(folder)
    row = size.rows("world", "method")[0]
    assert "samples per prompt differ" in sentence(lambda: size.scores(row, "same", "correct"))
