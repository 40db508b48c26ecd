"""What the tables share: a group per pair and test set, a line per row, captions, percent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evaluation import lineage
from evaluation.captions import caption, group_title, row_label
from evaluation.collected import Collected, Row, Test
from evaluation.statistics import Estimate
from evaluation.table_files import Cell, Column, Line, Table

INTERVALS = "95 % intervals over training seeds, prompts and samples."
REFERENCES = f"{INTERVALS} References are not trained: one seed."

Cells = Callable[[Collected, Row, Test], dict[str, Cell]]
Group = tuple[str, tuple[Line, ...]]


def by_test(
    size: Collected, name: str, title: str, what: str, columns: tuple[Column, ...], cells: Cells
) -> Table:  # fmt: skip
    """A table with one group per pair and test set and a line per method and reference."""

    def line(row: Row, test: Test) -> Line:
        return row_line(row, {} if row.gap else cells(size, row, test), row.gap)

    return table(size, name, title, what, columns, groups_by_test(size, line))


def row_line(
    row: Row, cells: dict[str, Cell], gap: str = "", marks: dict[str, str] | None = None, beside: Row | None = None
) -> Line:
    """The line of a row, with its label and the runs it rests on: its own, and those of the row `beside` it."""
    return Line(row_label(row), cells, gap, marks or {}, lineage.union([row.ids, beside.ids if beside else ()]))


def groups_by_test(size: Collected, line: Callable[[Row, Test], Line]) -> list[Group]:
    """One group per pair and test set, with the line of each method and reference."""
    return [
        (group_title(test.title, pair), tuple(line(row, test) for row in size.rows(pair, "method", "reference")))
        for pair, content in size.pairs.items()
        for test in content.tests
    ]


def table(
    size: Collected, name: str, title: str, what: str, columns: tuple[Column, ...], groups: list[Group],
    of: str = "per test set",
) -> Table:  # fmt: skip
    """The table with its full caption: `what`, the setting, n (prompts `of` what) and seeds of its cells, the note.

    A line that names no runs may rest on any: it is given all that the size trained and referred to.
    """
    cells = (cell for _, lines in groups for line in lines for cell in line.cells.values())
    text = caption(size, what, [cell for cell in cells if isinstance(cell, Estimate)], of)
    every = lineage.union(row.ids for pair in size.pairs for row in size.rows(pair, "method", "reference"))
    named = [(group, tuple(ln if ln.runs else replace(ln, runs=every) for ln in lines)) for group, lines in groups]
    return Table(name, f"{title}, size {size.size}", text, columns, tuple(named))


def percent(estimate: Estimate | None) -> Estimate | None:
    """A rate in percent."""
    return None if estimate is None else estimate.scaled(100.0)
