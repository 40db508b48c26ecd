"""The rows of a data set's split as they are published: from local files below a root, else from the hub."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from sources import reasoning
from sources.catalogue import DataSet, Row, Split
from sources.packages import check_reasoning_gym
from training.errors import UserError, short
from training.files import digest

REMEDY = "give a folder of local copies with `make tables SIZE=<size> DATA_ROOT=<folder>` (setting `data.root`)"
PATIENCE_S = 10.0


def endpoint() -> str:
    """The hub's address; `UserError` where HF_ENDPOINT is none."""
    given = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if not re.fullmatch(r"https?://[^\s/:]+(:\d+)?(/\S*)?", given):
        raise UserError(f"HF_ENDPOINT is {given!r}, but must be an address such as https://huggingface.co; correct it")
    return given


def check(data: DataSet, split: str, root: str | None) -> None:
    """Raise `UserError` where the rows cannot be there: a local file is missing, or no hub is in reach.

    Cheap enough to ask before anything is computed; rows that the hub's cache holds need no hub.
    """
    if _generated(data, split, root):
        check_reasoning_gym()
        return
    if root is not None or not data.hub:
        _local_file(data, split, root)
        return
    from huggingface_hub.constants import HF_HUB_CACHE

    if (Path(HF_HUB_CACHE) / f"datasets--{data.hub.replace('/', '--')}").is_dir():
        return
    hub = endpoint()
    try:
        with urllib.request.urlopen(f"{hub}/api/datasets/{data.hub}", timeout=PATIENCE_S):
            return
    except urllib.error.HTTPError:
        return  # the hub answers; what it thinks of the data set, reading it will tell
    except OSError as error:
        raise UserError(f"data set '{data.name}' is not here, and {hub} is out of reach ({error}); {REMEDY}") from error


def origin(data: DataSet, split: str, root: str | None) -> str:
    """Where a split's rows come from, for messages: the data set and, of a local copy, its file."""
    where = f"data set '{data.name}', split '{split}'"
    if _generated(data, split, root) or (root is None and data.hub):
        return where
    return f"{where}, {_place(data, split, root)}"


def read_rows(data: DataSet, split: str, root: str | None) -> list[Row]:
    """All rows in published order. Raises `UserError` naming the file or data set, the fault and the next step."""
    where = data.splits[split]
    if _generated(data, split, root):
        return reasoning.generate(where.hub_split)
    if root is None and data.hub:
        return _from_hub(data, where)
    return _from_file(_local_file(data, split, root), data.remedy)


def is_here(data: DataSet, split: str, root: str | None) -> bool:
    """Whether the rows can be read without a hub."""
    return _generated(data, split, root) or ((root is not None or not data.hub) and _place(data, split, root).is_file())


def content(data: DataSet, split: str, root: str | None) -> str:
    """sha256 of a split's file, "" where it does not lie here."""
    path = _place(data, split, root)
    try:
        return digest(path) if path.is_file() else ""
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); {data.remedy}") from error


def _generated(data: DataSet, split: str, root: str | None) -> bool:
    """Whether the rows are made here, as there is no local copy."""
    return data.generated and (root is None or not _place(data, split, root).is_file())


def _place(data: DataSet, split: str, root: str | None) -> Path:
    """Where a split's file lies: below the root, of a set that is on no hub else below the working folder."""
    return Path(root or ".") / data.splits[split].file


def _local_file(data: DataSet, split: str, root: str | None) -> Path:
    path = _place(data, split, root)
    if not path.is_file():
        key = f"`own.{data.name}.{split}`" if data.own else "`data.root`"
        other = f", or leave `data.root` out to read {data.hub} from the hub" if data.hub else ""
        raise UserError(
            f"data set '{data.name}' is missing: there is no file {path}; put it there or correct {key}{other}"
        )
    return path


def _from_file(path: Path, remedy: str) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # own data may begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); {remedy}") from error
    if path.suffix == ".json":
        rows = _parsed(text, str(path), remedy)
    else:
        lines = enumerate(text.split("\n"), 1)
        rows = [_parsed(line, f"{path}, line {at}", remedy) for at, line in lines if line.strip()]
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path} holds no list of rows; {remedy}")
    for at, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, row {at} is {short(row)}, but must be a mapping of columns; {remedy}")
    return rows


def _parsed(text: str, where: str, remedy: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # of numbers with too many digits, and of deep nesting
        raise UserError(f"{where}: no valid JSON ({error}); {remedy}") from error


def _from_hub(data: DataSet, split: Split) -> list[Row]:
    import datasets

    try:
        parts = [datasets.load_dataset(data.hub, config, split=split.hub_split) for config in split.configs]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"data set '{data.name}' cannot be read from the hub as {data.hub} ({why}); {REMEDY}"
        ) from error
    return [dict(row) for part in parts for row in part]
