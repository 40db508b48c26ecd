"""Reference tables: kept with the machine that made them, equal on its kind, within bands on others.

On a processor with other instruction sets sums are rounded otherwise, and a sampled token can tip over. There a cell
passes where the two 95 % intervals meet, or the estimates are within `CLOSE` of each other; rows and columns must be
the same, a failed row fails in both, an interval is in both or in neither, and other texts, counts and p-values are not
compared.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluation.table_files import read_cells
from study.compare import TIMED
from study.machine import instruction_set, processor
from training.errors import UserError, nearest

MADE_ON = "made_on.json"
CLOSE = 0.05  # of the larger estimate
PLACE = ("group", "row", "column")


def made_here() -> dict[str, Any]:
    """What decides the last bits of a number on a CPU: its instruction sets, and torch."""
    return {"instruction_sets": instruction_set(), "torch": version("torch").split("+")[0]}


def update(tables: Path, folder: Path, names: Sequence[str] = ()) -> None:
    """Make `folder` the reference that these tables are: CSVs and the machine.

    `names` are the tables to keep, all but the timed ones where none is named. `UserError` for one that is not there.
    """
    there = {file.stem: file for file in sorted(tables.glob("*.csv")) if file.name not in TIMED}
    for name in names:
        if name not in there:
            raise UserError(f"--tables {name}: {tables} has no such table to compare; {nearest(name, there)}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.csv"):  # whatever else is there stays
        old.unlink()
    for name in names or there:
        shutil.copyfile(there[name], folder / there[name].name)
    content = {**made_here(), "processor": processor()[0]}
    (folder / MADE_ON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def same_kind(folder: Path) -> bool:
    """Whether the reference was made with this machine's instruction sets and this torch."""
    try:
        recorded = json.loads((folder / MADE_ON).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / MADE_ON} cannot be read ({error}); make the reference again with --update"
        ) from error
    return all(recorded.get(key) == value for key, value in made_here().items())


def departures(tables: Path, folder: Path, exact: bool) -> Iterator[str]:
    """A sentence for each table that differs from its reference: its first cell, exactly or beyond the bands."""
    for file in sorted(folder.glob("*.csv")):
        if not (tables / file.name).is_file():
            yield f"table {file.name}: not there"
            continue
        ours, theirs = read_cells(tables / file.name), read_cells(file)
        unequal = (said for a, b in zip(ours, theirs, strict=False) if (said := _cell(a, b, exact)))
        found = next(unequal, None if len(ours) == len(theirs) else f"{len(ours)} lines against {len(theirs)}")
        if found:
            yield f"table {file.name}: {found}"


def _cell(ours: dict[str, str], kept: dict[str, str], exact: bool) -> str | None:
    """What is wrong with a cell, None where nothing is. Run ids change with the code and are not compared."""
    where = " / ".join(ours[key] for key in ("row", "group", "column") if ours[key])
    if any(ours[key] != kept[key] for key in PLACE):
        return f"{where} against {' / '.join(kept[key] for key in ('row', 'group', 'column'))}"
    if ours["column"] == "runs":
        return None
    if ("failed: " in ours["text"]) != ("failed: " in kept["text"]):
        return f"{where}: {ours['text']} against {kept['text']}"
    if exact:
        unequal = next((key for key in kept if ours.get(key) != kept[key]), None)
        return f"{where}: {unequal} {ours.get(unequal)} against {kept[unequal]}" if unequal else None
    if bool(ours["low"]) != bool(kept["low"]):
        return f"{where}: {ours['text']} against {kept['text']}: one alone has an interval"
    if not ours["low"] or _meet(ours, kept):
        return None
    return f"{where}: {ours['text']} against {kept['text']}, beyond the band"


def _meet(ours: dict[str, str], kept: dict[str, str]) -> bool:
    (a, low_a, high_a), (b, low_b, high_b) = (
        tuple(float(cell[key]) for key in ("estimate", "low", "high")) for cell in (ours, kept)
    )
    return (low_a <= high_b and low_b <= high_a) or abs(a - b) <= CLOSE * max(abs(a), abs(b))
