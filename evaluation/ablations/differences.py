"""The table of differences within an ablation: each value of the varied setting against the first one of its grid."""

from __future__ import annotations

from evaluation import paired
from evaluation.ablations.points import Ablation, Axis, Point
from evaluation.ablations.table import groups_by_axis
from evaluation.captions import missing_runs
from evaluation.collected import Collected, Test
from evaluation.lineage import union
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import INTERVALS, table

COLUMNS = (
    Column("FAC", "FAC", "percentage points"),
    Column("CS", "CS, pair", "percentage points"),
    Column("KL", "KL", "nats per token", 3),
    Column("wins - losses", "Wins - losses", "percentage points"),
)
WHAT = (
    "Each value of the setting minus the first one of its grid, response by response on the same prompts and training "
    "seeds: what makes a prompt hard for both cancels. CS is within the pair's constraint, whatever the rows were "
    f"trained for. {INTERVALS}"
)


def differences_table(size: Collected, ablation: Ablation) -> Table:
    """One group per pair, test set and method, a line per value but the first."""
    groups = groups_by_axis(size, ablation, lambda axis, test: [_line(size, p, test, axis) for p in axis.points[1:]])
    return table(size, f"{ablation.name}_differences", f"Differences: {ablation.title}", WHAT, COLUMNS, groups)


def _line(size: Collected, point: Point, test: Test, axis: Axis) -> Line:
    first = axis.points[0]
    one, other = (p.label + missing_runs(p.row) for p in (point, first))
    label, runs = f"{axis.setting}: {one} minus {other}", union([point.row.ids, first.row.ids])
    if gap := point.row.gap or first.row.gap:
        return Line(label, {}, gap, runs=runs)
    found = paired.differences(size, point.row, first.row, test.name)
    cells: dict[str, Cell] = {name: difference.estimate() for name, difference in found.items()}
    return Line(label, cells, runs=runs)
