"""Settings of a command from its `--params`: JSON text, or the name of a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

from training.errors import UserError
from training.schema import Model, parse


def read(model: type[Model], given: str) -> Model:
    """`given` as checked settings; `UserError` where it cannot be read, or names the faulty key."""
    text, where = given, "--params"
    if not given.lstrip().startswith("{"):
        where = given
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--params '{given}' is neither JSON text nor a readable file: {error}") from error
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not JSON: {error}; correct it") from error
    return parse(model, values, where)
