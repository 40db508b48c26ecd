"""Which runs a table or figure rests on: the line that ends it, and the list that lies beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from evaluation.collected import Collected
    from evaluation.table_files import Table

NAMED = 8  # runs that a line names; of more it gives the number and the set's hash
BESIDE = "sources.json"


class RowRuns(BaseModel):
    """The runs behind a row of a table."""

    group: str
    row: str
    runs: list[str]


class TableRuns(BaseModel):
    """What `by_row` lists of a table."""

    headings: dict[str, str]
    compared: list[str]
    rows: list[RowRuns]


class RunPlace(BaseModel):
    """Where the files of a run's evaluation are, below the run's folder."""

    evaluation: str


class Sources(BaseModel):
    """`sources.json` as `of_tables` writes it."""

    tests: dict[str, str]
    runs: dict[str, RunPlace]
    tables: dict[str, TableRuns]


def union(sets: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All run ids, each once, in the order in which they come."""
    return tuple(dict.fromkeys(run for runs in sets for run in runs))


def digest(runs: Iterable[str]) -> str:
    """Hash of a set of run ids: two tables that show the same one rest on the same runs."""
    return hashlib.sha256("\n".join(sorted(set(runs))).encode()).hexdigest()[:8]


def line(runs: Sequence[str], beside: str = BESIDE) -> str:
    """The line under a table or figure. `beside`: the file in the same folder that lists the runs."""
    if not runs:
        return "Runs: none; computed, not measured."
    if len(runs) <= NAMED:
        return f"Runs: {', '.join(runs)}."
    return f"Runs: {len(runs)}, set {digest(runs)}, listed in {beside}."


def by_row(tables: Iterable[Table]) -> dict[str, Any]:
    """Run ids by table, group and row; `compared` names the columns that also rest on the other rows of their group."""
    listed: dict[str, Any] = {}
    for table in tables:
        rows = [
            {"group": group, "row": line.label, "runs": list(line.runs)}
            for group, lines in table.groups
            for line in lines
        ]
        compared = [column.key for column in table.columns if column.compared]
        headings = {column.heading: column.key for column in table.columns}
        listed[table.name] = {"set": digest(table.runs), "headings": headings, "compared": compared, "rows": rows}
    return listed


def of_tables(size: Collected, tables: Iterable[Table]) -> str:
    """`sources.json` of a folder of tables: the run ids of every row, and where each run's files are."""
    content = {
        "size": size.size,
        "tests": {test.title: test.name for pair in size.pairs.values() for test in pair.tests},
        "runs": {run.run: {"row": run.name, "seed": run.seed, "evaluation": run.evaluation} for run in size.runs},
        "tables": by_row(tables),
    }
    return written(content)


def written(content: dict[str, Any]) -> str:
    """`sources.json` as text."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
