"""Table `win_matrix`: reasoning wins of every row against every other, with Holm's correction."""

from __future__ import annotations

from evaluation.collected import Collected, Row, Test
from evaluation.pairwise import compare, judge_name, overall
from evaluation.significance import ALPHA, Tests, leaders, resolution, win_tests
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import REFERENCES, groups_by_test, percent, row_line, table

WHAT = (
    "Reasoning win rate in percent of the row against the column on the same seed and prompt, samples of other numbers "
    "({judge}; equal is a tie). The loss rate is the mirrored cell, ties are the rest; the CSV has all. "
    "An untrained row meets every seed of a trained one. RWR, RLR: means over the other trained rows. "
    f"* wins and losses differ (p < {ALPHA:g}, corrected by Holm over all pairs of a test set). Leads: the trained row "
    f"with the highest RWR, and those not shown to lose against it. Rows that lost runs are not tested. {REFERENCES}"
)
MARK = "*"


def win_table(size: Collected) -> Table:
    """Win, tie and loss rates of every ordered pair of rows; people read the win rates, the CSV has all three."""
    columns = [
        Column("rwr", "RWR %", "%", compared=True),
        Column("rlr", "RLR %", "%", compared=True),
        Column("leads", "Leads", compared=True),
    ]
    for label in _names(size):
        hidden = [Column(f"{kind} {label}", f"{kind} {label}", "%", 1, False, True) for kind in ("tie", "loss")]
        adjusted = Column(f"p {label}", f"Holm-adjusted p against {label}", "", 4, False, True)
        columns += [Column(f"win {label}", label, "%", compared=True), *hidden, adjusted]
    keys = [(pair, test.name) for pair, content in size.pairs.items() for test in content.tests]
    known = {key: win_tests(size, *key) for key in keys}
    leading = {key: leaders(size, *key, known[key]) for key in keys}

    def line(row: Row, test: Test) -> Line:
        return _line(size, row, test, known[row.pair, test.name], leading[row.pair, test.name])

    what = f"{WHAT.format(judge=judge_name(size))} {resolution(size)}"
    return table(size, "win_matrix", "Reasoning win matrix", what, tuple(columns), groups_by_test(size, line))


def _names(size: Collected) -> list[str]:
    labels = (row.label for pair in size.pairs for row in size.rows(pair, "method", "reference") if not row.gap)
    return list(dict.fromkeys(labels))


def _line(size: Collected, row: Row, test: Test, tests: Tests, leading: set[str]) -> Line:
    if row.gap:
        return row_line(row, {}, row.gap)
    mean = overall(size, row, test.name)
    cells: dict[str, Cell] = {"rwr": percent(mean.win if mean else None), "rlr": percent(mean.loss if mean else None)}
    cells["leads"] = "leads" if row.label in leading else ""
    marks = {}
    for other in size.rows(row.pair, "method", "reference"):
        match = None if other.runs == row.runs or other.gap else compare(size, row, other, test.name)
        for kind in ("win", "tie", "loss"):
            cells[f"{kind} {other.label}"] = percent(getattr(match, kind) if match else None)
        p = tests.get(frozenset((row.label, other.label)))
        cells[f"p {other.label}"] = p
        if p is not None and p < ALPHA:
            marks[f"win {other.label}"] = MARK
    return row_line(row, cells, marks=marks)
