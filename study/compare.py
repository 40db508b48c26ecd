"""The first difference between two builds of a size, run by run, in the order in which things are made.

What a clock or the machine's state writes is left out: `cost.json`, the cost table and the report that shows it,
logs, the records of provenance, and how long a model took to make (`made.json`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import deserialize

from evaluation.columns import KEYS
from evaluation.table_files import read_cells
from study.provenance import CLOCKS, content_hash
from training.errors import UserError
from training.json_files import read_object
from training.model_folder import BUDGET

TIMED = {"cost.csv", "cost.md", "cost.tex"}  # tables
MADE = ("data", "models", "thresholds")  # before any run


def differences(ours: Path, theirs: Path, size: str) -> Iterator[str]:
    """A sentence for each input, run and table of a size that differs between two trees, earliest first.

    An input that one tree alone has needs no sentence: the ids of the size's runs depend on it.
    """
    one, other = ours / "results", theirs / "results"
    for kind in MADE:
        yield from _folders(one / kind, other / kind)
    for run in sorted(_runs(one, size) | _runs(other, size)):
        found = _run(one / "runs" / run, other / "runs" / run)
        if found:
            yield f"run {run}: {found}"
    tables = (one / "built" / size / "tables", other / "built" / size / "tables")
    if not any(folder.is_dir() for folder in tables):
        raise UserError(
            f"neither tree holds the tables of size '{size}'; build it in one of them: make tables SIZE={size}"
        )
    for name in _names(*tables):
        if name not in TIMED and not name.startswith("."):
            found = _file(tables[0] / name, tables[1] / name)
            if found:
                yield f"table {name}: {found}"


def _names(one: Path, other: Path) -> list[str]:
    return sorted({path.name for folder in (one, other) if folder.is_dir() for path in folder.iterdir()})


def _runs(results: Path, size: str) -> set[str]:
    """Ids of the runs that a size's tables rest on; none where they were not made."""
    path = results / "built" / size / "collected" / "runs.json"
    if not path.is_file():
        return set()
    return {run["run"] for run in read_object(path, {"runs": list}, f"build it again: make tables SIZE={size}")["runs"]}


def _folders(one: Path, other: Path) -> Iterator[str]:
    """Inputs of the runs: by file."""
    for name in _names(one, other):
        left, right = one / name, other / name
        if not (left.exists() and right.exists()):
            continue
        files = _names(left, right) if left.is_dir() and right.is_dir() else [""]
        for file in files:
            found = None if file in CLOCKS else _file(left / file, right / file)
            if found:
                yield f"{one.name}/{Path(name, file).as_posix()}: {found}"


def _run(one: Path, other: Path) -> str | None:
    """The earliest difference of a run: log, monitor, weights, then each evaluation's responses and scores."""
    if not (one.is_dir() and other.is_dir()):
        return "only in the first" if one.is_dir() else "only in the second"
    evaluations = [name for name in _names(one, other) if name.startswith("eval-")]
    files = ["train.jsonl", "curves.jsonl", "run.json", "policy/model.safetensors", f"policy/{BUDGET}"]
    files += [f"{name}/{file}" for name in evaluations for file in ("samples.jsonl", "scores.parquet")]
    for file in files:
        found = _file(one / file, other / file)
        if found:
            return f"{file}: {found}"
    return None


def _file(one: Path, other: Path) -> str | None:
    """The first difference of two files, None where there is none (or neither file)."""
    if not one.exists() and not other.exists():
        return None
    if not (one.exists() and other.exists()):
        return "only in the first" if one.exists() else "only in the second"
    if content_hash(one) == content_hash(other):
        return None
    readers = {".jsonl": _lines, ".parquet": _scores, ".safetensors": _weights, ".csv": _cells}
    if one.suffix not in readers or one.is_dir():
        return "the bytes differ"
    return readers[one.suffix](one, other) or "the bytes differ, the values do not"


def _lines(one: Path, other: Path) -> str | None:
    """The first differing line of two JSON-lines files, named by its step or its response."""
    texts = (path.read_text(encoding="utf-8").splitlines() for path in (one, other))
    for number, (a, b) in enumerate(zip_longest(*texts), 1):
        if a == b:
            continue
        if a is None or b is None:
            return f"ends before line {number} in the {'first' if a is None else 'second'}"
        left, right = (json.loads(text, parse_constant=str) for text in (a, b))  # NaN equals NaN as a text
        for key in dict.fromkeys([*left, *right]):
            if left.get(key) != right.get(key):
                return f"{_place(left, number)}: {key} {_values(left.get(key), right.get(key))}"
    return None


def _place(row: dict[str, Any], number: int) -> str:
    if "step" in row:
        return f"step {row['step']}"
    named = [f"{key} {row[name]}" for key, name in zip(KEYS, ("test", "decoding", "prompt_id", "sample"), strict=True)
             if name in row]  # fmt: skip
    return ", ".join(named) or f"line {number}"


def _values(one: Any, other: Any) -> str:
    """Both values; of lists, the first entry that differs."""
    if isinstance(one, list) and isinstance(other, list):
        for place, (a, b) in enumerate(zip_longest(one, other)):
            if a != b:
                return f"[{place}] {a!r} against {b!r}"
    return f"{one!r} against {other!r}"


def _scores(one: Path, other: Path) -> str | None:
    left, right = pd.read_parquet(one), pd.read_parquet(other)
    if list(left.columns) != list(right.columns) or len(left) != len(right):
        return f"{left.shape} rows and columns against {right.shape}"
    unequal = ~((left == right) | (left.isna() & right.isna())).to_numpy()
    if not unequal.any():
        return None
    row, column = (int(places[0]) for places in np.nonzero(unequal))
    where = ", ".join(f"{key} {left.iloc[row][key]}" for key in KEYS if key in left)
    return f"{where}: {left.columns[column]} {left.iat[row, column]!r} against {right.iat[row, column]!r}"


def _weights(one: Path, other: Path) -> str | None:
    """The first tensor by name that differs, with the largest difference where its numbers are float32."""
    left, right = _tensors(one), _tensors(other)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            if name not in left or name not in right or left[name][0] != right[name][0]:
                return f"{name}: of other kind or missing"
            if left[name][0] != "F32":
                return f"{name}: the numbers differ"
            a, b = (np.frombuffer(tensors[name][1], dtype="<f4") for tensors in (left, right))
            return f"{name}: up to {np.abs(a - b).max():.3g} apart"
    return None


def _tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    """Type and bytes of every tensor of a safetensors file, in no order."""
    return {name: (tensor["dtype"], tensor["data"]) for name, tensor in deserialize(path.read_bytes())}


def _cells(one: Path, other: Path) -> str | None:
    for left, right in zip_longest(read_cells(one), read_cells(other)):
        if left != right:
            if left is None or right is None:
                return "has more lines in one"
            named = " / ".join(part for part in (left["row"], left["group"], left["column"]) if part)
            key = next(key for key in left if left[key] != right.get(key))
            return f"{named}: {key} {left[key]} against {right.get(key)}"
    return None
