"""JSON files at the boundary: what is wrong with one is said with its line and key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import UserError, short

Row = dict[str, Any]
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}


def read_object(path: Path, types: Mapping[str, type], remedy: str) -> Row:
    """The JSON object of a file, with at least the keys of `types`; `UserError` says what is wrong, and `remedy`."""
    try:
        found = json.loads(_text(path, remedy))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no valid JSON ({error}); {remedy}") from error
    return _checked(found, types, str(path), remedy)


def read_rows(path: Path, types: Mapping[str, type], remedy: str) -> list[Row]:
    """The rows of a JSON-lines file, in order; [] for an empty file.

    Lines end at line feeds only: U+2028 may stand in a text. Raises `UserError` naming the first bad line.
    """
    text = _text(path, remedy)
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: no valid JSON ({error}); {remedy}") from error
        rows.append(_checked(row, types, where, remedy))
    return rows


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read as text ({error.reason} at byte {error.start}); {remedy}") from error


def _checked(row: Any, types: Mapping[str, type], where: str, remedy: str) -> Row:
    if not isinstance(row, dict):
        raise UserError(f"{where}: a JSON object is needed, not {type(row).__name__}; {remedy}")
    for key, kind in types.items():
        if key not in row:
            raise UserError(f"{where}: the key '{key}' is missing; {remedy}")
        value = row[key]
        if not (type(value) is kind or (kind is float and type(value) is int)):
            raise UserError(f"{where}: '{key}' is {short(value)}, but must be {KINDS[kind]}; {remedy}")
    return row
