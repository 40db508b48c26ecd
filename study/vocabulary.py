"""Refuse a pair whose token ids mean different things before anything is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from study.config import ModelSource, Pair
from training.errors import UserError
from training.model_folder import check_model
from training.vocabulary import Clash, clashes
from world.tokenizer import EOS, PAD, UNKNOWN
from world.tokenizer import vocabulary as world_vocabulary


@dataclass(frozen=True)
class Vocabulary:
    """Token ids by token, and the tokens that are control tokens."""

    ids: dict[str, int]
    special: frozenset[str]


def check_vocabularies(name: str, pair: Pair, where: str) -> None:
    """`UserError` where a model folder cannot be used, or teacher and student are known to differ in vocabulary.

    Not known yet are a name on a hub and, beside a folder, the tokens of SmolLM2 and of shadows; training checks the
    tokenizers themselves before its first step.
    """
    for role, source in (("student", pair.student), ("teacher", pair.teacher)):
        if source.pretrained is not None:
            try:
                check_model(source.pretrained)
            except UserError as error:
                raise UserError(f"{where}: {role} of pair '{name}': {error}") from error
    made = made_here(pair.student), made_here(pair.teacher)
    if all(made):
        same, sizes = made[0] == made[1], f"{made[0]} and {made[1]}"
    else:
        student, teacher = vocabulary(pair.student), vocabulary(pair.teacher)
        if student is None or teacher is None:
            return
        same, sizes = not differing(student, teacher), f"{len(student.ids)} and {len(teacher.ids)} tokens"
    if same:
        return
    raise UserError(
        f"{where}: student and teacher of pair '{name}' have different vocabularies ({sizes}), so their divergence "
        "would mean nothing; choose a pair that shares one tokenizer"
    )


def differing(student: Vocabulary, teacher: Vocabulary) -> list[Clash]:
    """Ids that mean different things, unused control tokens aside."""
    return clashes(student.ids, teacher.ids, student.special | teacher.special)


def vocabulary(source: ModelSource) -> Vocabulary | None:
    """The vocabulary of a local pretrained folder or of the world; None where it is not known before it is made."""
    if source.world is not None:
        return Vocabulary(world_vocabulary(), frozenset({PAD, EOS, UNKNOWN}))
    file = Path(source.pretrained or "") / "tokenizer.json"
    return read_vocabulary(file) if file.is_file() else None


def made_here(source: ModelSource) -> str | None:
    """The name of the vocabulary of a model that the project makes."""
    if source.world is not None:
        return "the world's words"
    if source.smollm2 is not None:
        return "SmolLM2's tokens"
    return f"the shadows' tokens of {source.shadow.family}" if source.shadow is not None else None


def read_vocabulary(file: Path) -> Vocabulary:
    """The vocabulary in a tokenizer.json; `UserError` where it holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
        special = frozenset(token["content"] for token in content.get("added_tokens", []) if token.get("special"))
        return Vocabulary({**_pairs(content["model"]["vocab"]), **added}, special)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is no readable tokenizer ({type(error).__name__}); restore the model folder"
        ) from error


def _pairs(vocab: dict[str, int] | list[list[object]]) -> dict[str, int]:
    """Ids by token: a mapping, or (unigram models) a list of [token, score] in order of ids."""
    if isinstance(vocab, dict):
        return vocab
    return {str(entry[0]): number for number, entry in enumerate(vocab)}
