"""Checked settings: pydantic models whose complaints become one clear sentence."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import UserError, nearest

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A settings model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse(model: type[Model], values: Any, where: str) -> Model:
    """`values` as a `model`; `UserError` names the file, the key, its value and the remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(model, error.errors()[0])}") from error


def _sentence(model: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {nearest(path[-1], _keys_beside(model, path))}"
    if problem["type"] == "missing":
        return f"'{key}' is missing; add it"
    return f"'{key}' is {_short(problem['input'])}, but {problem['msg'][0].lower()}{problem['msg'][1:]}; change it"


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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
