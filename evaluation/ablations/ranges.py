"""The table of working ranges: over how many decades each numeric setting of an ablation may be chosen."""

from __future__ import annotations

from evaluation.ablations.points import Ablation, Axis, axes_of
from evaluation.ablations.width import RULES, SLACK, Rule, width
from evaluation.captions import group_title
from evaluation.certify import TARGET
from evaluation.collected import Collected, Test
from evaluation.lineage import union
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import Group, table

NAMES: dict[Rule, str] = {"most": f"{100 * TARGET:.0f} % of the responses within d", "mean": "mean cost within d"}
COLUMNS = (
    Column("grid", "Grid"),
    Column("working", "Points that work"),
    Column("range", "Working range"),
    Column("ratio", "Ratio"),
    Column("decades", "Decades", "log10", 2),
)
WHAT = (
    "How wide a setting may be chosen. A grid point works where it lands within its constraint (its own d; the pair's "
    f"d for a method without one), by the rule named, and its FAC is at most {100 * SLACK:g} points below the best FAC "
    "of the points that land within that same constraint: those of its own grid (how hard is it to tune?), or of every "
    "grid of this ablation (and is it worth it?). Working range: the widest run of neighbouring grid points that work, "
    "with the ratio of its ends and its width in decades; nothing is interpolated, a single point has width 0, and "
    "(edge) marks a range that reaches the end of its grid and may go on beyond. A value of 0 counts for the best but "
    "not for a range; points that lost runs are left out and end a range, which may go on beyond them. Judged by the "
    "estimates over the seeds that the others have in common; 95 % bootstrap interval of the decades over those seeds "
    "and the prompts."
)


def ranges_table(size: Collected, ablation: Ablation) -> Table | None:
    """One group per pair and test set, a line per numeric setting and rule; None where no setting is numeric."""
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        axes = axes_of(size, ablation, pair)
        for test in content.tests:
            asked = [(axis, rivals, rule) for axis in axes for rivals in _rivals(axis, axes) for rule in RULES]
            lines = [line for axis, rivals, rule in asked if (line := _line(size, rivals, axis, test, rule))]
            groups.append((group_title(test.title, pair), tuple(lines)))
    if not any(lines for _, lines in groups):
        return None
    return table(size, f"{ablation.name}_range", f"Working ranges: {ablation.title}", WHAT, COLUMNS, groups)


def _rivals(axis: Axis, axes: list[Axis]) -> list[list[Axis]]:
    return [[axis], axes] if len(axes) > 1 else [[axis]]


def _line(size: Collected, rivals: list[Axis], axis: Axis, test: Test, rule: Rule) -> Line | None:
    found = width(size, rivals, axis, test.name, rule)
    if found is None:
        return None
    values = [p.value or 0.0 for p in found.grid]
    best = "best of its own grid" if rivals == [axis] else "best of all"
    label = f"{axis.setting} of {axis.label}; {NAMES[rule]}; {best}"
    cells: dict[str, Cell] = {
        "grid": f"{values[0]:g} to {values[-1]:g}, {len(values)} points",
        "working": f"{found.working} of {len(values)}" + (f", {found.lost} lost" if found.lost else ""),
        "range": "none",
        "ratio": "",
        "decades": found.decades,
    }
    if found.range:
        ends = [p.value or 0.0 for p in (found.range[0], found.range[-1])]
        edge = " (edge)" if ends[0] == values[0] or ends[1] == values[-1] else ""
        cells["range"] = (f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g}") + edge
        cells["ratio"] = f"{ends[1] / ends[0]:.3g}"
    return Line(label, cells, runs=union(p.row.ids for a in rivals for p in a.points))
