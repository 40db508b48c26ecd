"""Pairs whose token ids are known to mean different things, before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.config import Pair
from study.vocabulary import check_vocabularies
from training.errors import UserError
from world.tokenizer import vocabulary

WORLD: dict[str, Any] = {"world": {"width": 16}}
PACKAGE: dict[str, Any] = {"smollm2": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A function that makes a model folder as far as planning looks at one, with these token ids."""

    def make(name: str, words: dict[str, int]) -> dict[str, str]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}}))
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"")
        return {"pretrained": str(tmp_path / name)}

    return make


def check(student: dict[str, Any], teacher: dict[str, Any]) -> None:
    """As planning does for a pair of these two."""
    rest = {"data": {"world": {}}, "tests": [{"name": "same", "title": "Same"}]}
    check_vocabularies("p", Pair.model_validate({"student": student, "teacher": teacher, **rest}), "here")


def test_two_folders_with_different_ids_are_refused(folder: Any) -> None:
    with pytest.raises(UserError, match=r"of pair 'p' have different vocabularies \(2 and 2 tokens\)"):
        check(folder("a", {"x": 0, "y": 1}), folder("b", {"x": 1, "y": 0}))
    check(folder("c", {"x": 0, "y": 1}), folder("d", {"x": 0, "y": 1}))


def test_two_models_made_here_have_one_vocabulary_or_are_refused() -> None:
    check(WORLD, WORLD)
    with pytest.raises(UserError, match="the world's words and SmolLM2's tokens"):
        check(WORLD, PACKAGE)


def test_a_folder_beside_the_packages_model_is_left_to_training(folder: Any) -> None:
    """Which compares the tokenizers themselves: a larger SmolLM2 may do."""
    check(folder("a", {"x": 0}), PACKAGE)


def test_a_folder_beside_a_world_model_has_the_worlds_words(folder: Any) -> None:
    """As an exported student has."""
    check(folder("exported", vocabulary()), WORLD)
    with pytest.raises(UserError, match=r"have different vocabularies \(1 and "):
        check(folder("other", {"x": 0}), WORLD)
