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
from sources.catalogue import CATALOGUE, Row, Split
from sources.packages import check_reasoning_gym
from training.errors import UserError

REMEDY = "give a folder of local copies with `make tables SIZE=<size> DATA_ROOT=<folder>` (setting `data.root`)"
PATIENCE_S = 10.0


def endpoint() -> str:
    """The hub's address; `UserError` where HF_ENDPOINT is none."""
    given = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if not re.fullmatch(r"https?://[^\s/:]+(:\d+)?(/\S*)?", given):
        raise UserError(f"HF_ENDPOINT is {given!r}, but must be an address such as https://huggingface.co; correct it")
    return given


def check(name: str, split: str, root: str | None) -> None:
    """Raise `UserError` where the rows cannot be there: a local file is missing, or no hub is in reach.

    Cheap enough to ask before anything is computed; rows that the hub's cache holds need no hub.
    """
    if _generated(name, split, root):
        check_reasoning_gym()
        return
    if root is not None:
        _local_file(CATALOGUE[name].splits[split], name, root)
        return
    repository = CATALOGUE[name].hub
    if not repository:
        raise UserError(f"data set '{name}' is on no hub, its rows lie in files; {REMEDY}")
    from huggingface_hub.constants import HF_HUB_CACHE

    if (Path(HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}").is_dir():
        return
    hub = endpoint()
    try:
        with urllib.request.urlopen(f"{hub}/api/datasets/{repository}", timeout=PATIENCE_S):
            return
    except urllib.error.HTTPError:
        return  # the hub answers; what it thinks of the data set, reading it will tell
    except OSError as error:
        raise UserError(f"data set '{name}' is not here, and {hub} is out of reach ({error}); {REMEDY}") from error


def origin(name: str, split: str, root: str | None) -> str:
    """Where a split's rows come from, for messages: the data set and, of a local copy, its file."""
    where = f"data set '{name}', split '{split}'"
    if root is None or _generated(name, split, root):
        return where
    return f"{where}, {Path(root) / CATALOGUE[name].splits[split].file}"


def read_rows(name: str, split: str, root: str | None) -> list[Row]:
    """All rows in published order. Raises `UserError` naming the file or data set, the fault and the next step."""
    where = CATALOGUE[name].splits[split]
    if _generated(name, split, root):
        return reasoning.generate(where.hub_split)
    return _from_hub(name, where) if root is None else _from_file(_local_file(where, name, root))


def _generated(name: str, split: str, root: str | None) -> bool:
    """Whether the rows are made here, as there is no local copy."""
    data = CATALOGUE[name]
    return data.generated and (root is None or not (Path(root) / data.splits[split].file).is_file())


def _local_file(split: Split, name: str, root: str) -> Path:
    path = Path(root) / split.file
    if not path.is_file():
        hub = CATALOGUE[name].hub
        other = f", or leave `data.root` out to read {hub} from the hub" if hub else ""
        raise UserError(
            f"data set '{name}' is missing: there is no file {path}; put it there or correct `data.root`{other}"
        )
    return path


def _from_file(path: Path) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # own data may begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); restore the file from its origin") from error
    if path.suffix == ".json":
        rows = _parsed(text, str(path))
    else:
        rows = [_parsed(line, f"{path}, line {at}") for at, line in enumerate(text.split("\n"), 1) if line]
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path} holds no rows; restore the file from its origin")
    return rows


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # of numbers with too many digits, and of deep nesting
        raise UserError(f"{where}: no valid JSON ({error}); restore the file from its origin") from error


def _from_hub(name: str, split: Split) -> list[Row]:
    import datasets

    repository = CATALOGUE[name].hub
    try:
        parts = [datasets.load_dataset(repository, config, split=split.hub_split) for config in split.configs]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"data set '{name}' cannot be read from the hub as {repository} ({why}); {REMEDY}") from error
    return [dict(row) for part in parts for row in part]
