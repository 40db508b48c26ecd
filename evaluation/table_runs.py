"""`sources.json`, which lies beside tables: the runs that every row rests on, and where each run's files are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from evaluation.collected import Collected
from evaluation.lineage import digest
from evaluation.table_files import Table


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
