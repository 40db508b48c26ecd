"""The table of an ablation: what each value of the varied setting gives, judged by the row's own constraint."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from evaluation import measures
from evaluation.ablations.points import Ablation, Axis, Point, axes_of
from evaluation.captions import group_title, missing_runs
from evaluation.collected import Collected, Test
from evaluation.statistics import mean_interval, not_negative, proportion_interval
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import INTERVALS, Group, percent, table

WHAT = (
    "Rows of one method that differ in one setting. Constraint: reading and d that the row was trained for (the "
    "pair's where its method uses none). CS, own: responses within that constraint. CS, pair: within the pair's. KL: "
    "mean reverse KL to the teacher per token; cost, own: mean cost under the row's reading. Length: tokens of a "
    f"response with its end. All on responses sampled at temperature 1. {INTERVALS}"
)


def ablation_table(size: Collected, ablation: Ablation) -> Table:
    """One group per pair, test set and method, a line per value of the setting."""
    groups = groups_by_axis(size, ablation, lambda axis, test: [_line(size, p, test, axis) for p in axis.points])
    return table(size, ablation.name, ablation.title, WHAT, _columns(ablation), groups)


def groups_by_axis(size: Collected, ablation: Ablation, lines: Callable[[Axis, Test], list[Line]]) -> list[Group]:
    """One group per pair, test set and method, with the lines of that axis."""
    return [
        (f"{group_title(test.title, pair)}, {axis.label}", tuple(lines(axis, test)))
        for pair, content in size.pairs.items()
        for test, axis in product(content.tests, axes_of(size, ablation, pair))
    ]


def _columns(ablation: Ablation) -> tuple[Column, ...]:
    other = any(own.reading != "mean" for axis in ablation.axes for p in axis.points for own in p.thresholds.values())
    return (
        Column("constraint", "Constraint"),
        Column("fac", "FAC %", "%"),
        Column("cs", "CS, own %", "%"),
        Column("cs_pair", "CS, pair %", "%"),
        Column("kl", "KL", "nats per token", 3),
        Column("cost", "Cost, own", "nats", 3, printed=other),
        Column("length", "Length", "tokens"),
    )


def _line(size: Collected, point: Point, test: Test, axis: Axis) -> Line:
    label = f"{axis.setting}={point.label}{missing_runs(point.row)}"
    shown = {} if point.row.gap else cells(size, point, test.name)
    return Line(label, shown, point.row.gap, runs=point.row.ids)


def cells(size: Collected, point: Point, test: str) -> dict[str, Cell]:
    """The cells of a point on a test set, by column key; None where a score is not defined."""
    inside, length = point.within(size, point, test), size.stacked(point.row, test, "tokens")
    return {
        "constraint": f"{point.reading} ≤ {point.d:.3g}",
        "fac": percent(measures.fac(size, point.row, test)),
        "cs": None if inside is None else percent(proportion_interval(inside)),
        "cs_pair": percent(measures.satisfaction(size, point.row, test)),
        "kl": measures.divergence(size, point.row, test),
        "cost": measures.divergence(size, point.row, test, point.reading),
        "length": None if length is None else not_negative(mean_interval(length)),
    }
