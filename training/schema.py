"""Checked settings: pydantic models whose complaints become one clear sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import UserError, nearest, short

Model = TypeVar("Model", bound=BaseModel)
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]  # becomes part of paths: no separators, blanks or shell characters


class Strict(BaseModel):
    """A settings model that refuses unknown keys, infinite numbers and NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse(model: type[Model], values: Any, where: str) -> Model:
    """`values` as a `model`; `UserError` names the file, the key, its value and the remedy.

    Types are checked as in JSON: `true` is no number, "3" is no number, a list may stand for a tuple.
    """
    try:
        text = json.dumps(values, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: the values are no JSON ({error}); use plain names, numbers and lists") from error
    if "\\u0000" in text:
        raise UserError(f"{where}: a text holds a NUL character, which no command line can carry; remove it")
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(model, error.errors()[0])}") from error


def read_params(model: type[Model], given: str) -> Model:
    """Settings of a command from its `--params`: JSON text, or the name of a JSON file.

    Raises `UserError` where it cannot be read, or with the name of the faulty key.
    """
    text, where = given, "--params"
    if not given.lstrip().startswith("{"):
        where = given
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(
                f"--params {short(given)} is neither JSON text nor a readable file ({error}); quote it as one word"
            ) from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is no JSON ({error}); correct it") from error
    return parse(model, values, where)


def _sentence(model: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    if path[-1:] == ["[key]"]:
        return _key_sentence(path[:-1], problem)
    key = ".".join(path) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {nearest(path[-1], _keys_beside(model, path))}"
    if problem["type"] == "missing":
        return f"'{key}' is missing; add it"
    why = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "too_short":
        why = f"must hold at least {problem['ctx']['min_length']}"
    if not path and problem["type"] == "value_error":  # about several keys, which it names
        return f"{why}; change it"
    return f"'{key}' is {short(problem['input'])}, but {why[0].lower()}{why[1:]}; change it"


def _key_sentence(path: list[str], problem: Any) -> str:
    """Of a mapping's own key, which pydantic takes for a value beneath it."""
    key = ".".join(path)
    if problem["type"] == "literal_error":
        known = re.findall("'([^']+)'", problem["ctx"]["expected"])
        return f"unknown key '{key}'; {nearest(path[-1], known)}"
    why = problem["msg"]
    return f"the key '{key}' cannot stand here: {why[0].lower()}{why[1:]}; change it"


def _keys_beside(model: type[BaseModel], path: list[str]) -> list[str]:
    """Names that may stand where the unknown key stands (discriminators of unions appear in pydantic's path)."""
    fields: list[str] = []
    candidates: list[type[BaseModel]] = [model]
    for part in path[:-1]:
        inner = [m for c in candidates for m in _models_in(c, part)]
        candidates = inner or candidates
    for candidate in candidates:
        fields += [field.alias or name for name, field in candidate.model_fields.items()]
    return fields


def _models_in(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    field = model.model_fields.get(name)
    return _unfold(field.annotation) if field else []


def _unfold(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _unfold(inner)]
