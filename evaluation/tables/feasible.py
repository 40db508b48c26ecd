"""Table `feasible`: the best reward at each threshold."""

from __future__ import annotations

from evaluation import measures
from evaluation.captions import group_title, missing_runs
from evaluation.certify import TARGET
from evaluation.collected import Collected, Row, Test
from evaluation.significance import resolution
from evaluation.statistics import Estimate
from evaluation.table_files import Column, Line, Table
from evaluation.tables.layout import INTERVALS, Group, percent, table

THRESHOLDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # times d
WHAT = (
    f"Highest FAC in percent among a method's settings that keep at least {100 * TARGET:.0f} % of their sampled "
    "responses within the threshold (by the estimate, in the pair's reading), with the setting where the method has "
    "several; none: no setting does; failed or missing: all its runs are. All rows were trained for their own "
    "constraint, not for these thresholds, and the best of several settings is chosen on these very responses. "
    f"{INTERVALS}"
)


def feasible_table(size: Collected) -> Table:
    """Best FAC of each method among its settings that satisfy a threshold, for thresholds around d."""
    methods = dict.fromkeys(row.method for pair in size.pairs for row in size.rows(pair, "method"))
    labels = {run.method: run.label.removesuffix(run.setting).strip() for run in size.runs if run.method in methods}
    columns = tuple(Column(method, labels[method], "%") for method in methods)
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        for test in content.tests:
            lines = tuple(_at(size, pair, test, factor * content.threshold.d) for factor in THRESHOLDS)
            groups.append((group_title(test.title, pair), lines))
    what = f"{WHAT} {resolution(size)}"
    return table(size, "feasible", "Best feasible FAC per threshold", what, columns, groups)


def _at(size: Collected, pair: str, test: Test, d: float) -> Line:
    line = Line(f"d = {d:.3g}")
    for method in dict.fromkeys(row.method for row in size.rows(pair, "method")):
        rows = [row for row in size.rows(pair, "method") if row.method == method]
        scored = [(found, row) for row in rows if row.finished and (found := _feasible(size, row, test, d))]
        line.cells[method] = "none" if any(row.finished for row in rows) else rows[0].runs[0].status
        if scored:
            best, row = max(scored, key=lambda item: item[0].mean)
            line.cells[method] = percent(best)
            line.marks[method] = (f" ({row.setting})" if row.setting else "") + missing_runs(row)
    return line


def _feasible(size: Collected, row: Row, test: Test, d: float) -> Estimate | None:
    """FAC of a row, None where it does not keep enough responses within `d`."""
    inside = measures.satisfied(size, row, test.name, d=d)
    if inside is None or float(inside.mean()) < TARGET:
        return None
    return measures.fac(size, row, test.name)
