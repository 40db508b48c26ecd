"""Refuse a pair whose token ids mean different things before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path

from study.config import ModelSource, Pair
from training.errors import UserError


def check_vocabularies(name: str, pair: Pair, where: str) -> None:
    """`UserError` where teacher and student are known to have different vocabularies.

    A name on a hub is not known yet; training checks the tokenizers themselves before its first step.
    """
    student, teacher = vocabulary(pair.student), vocabulary(pair.teacher)
    if student is None or teacher is None or student == teacher:
        return
    sizes = " and ".join(f"{len(v)} tokens" if isinstance(v, dict) else v for v in (student, teacher))
    raise UserError(
        f"{where}: student and teacher of pair '{name}' have different vocabularies ({sizes}), so their divergence "
        "would mean nothing; choose a pair that shares one tokenizer"
    )


def vocabulary(source: ModelSource) -> dict[str, int] | str | None:
    """Token ids of a local pretrained folder, the name of a vocabulary the project makes, or None if unknown."""
    if source.world is not None:
        return "the world's words"
    if source.smollm2 is not None:
        return "SmolLM2's tokens"
    file = Path(source.pretrained or "") / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
        return {**_pairs(content["model"]["vocab"]), **added}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is no readable tokenizer ({type(error).__name__}); restore the model folder"
        ) from error


def _pairs(vocab: dict[str, int] | list[list[object]]) -> dict[str, int]:
    """Ids by token: a mapping, or (unigram models) a list of [token, score] in order of ids."""
    if isinstance(vocab, dict):
        return vocab
    return {str(entry[0]): number for number, entry in enumerate(vocab)}
