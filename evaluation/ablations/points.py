"""The points of an ablation: rows along one varied setting, each with the constraint that it was trained for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation import measures
from evaluation.collected import Collected, Row
from evaluation.columns import Reading
from evaluation.statistics import Array
from training.errors import UserError
from training.inputs import read_threshold
from training.schema import Strict


class Constraint(Strict):
    """A threshold: the file of `study.threshold` that holds its d, and its reading."""

    file: Path
    reading: Reading


class Value(Strict):
    """One value of the varied setting: its runs of all pairs and seeds, and its constraint by pair."""

    value: Any
    runs: list[str]
    thresholds: dict[str, Constraint]


class Varied(Strict):
    """One method along the setting that it varies."""

    method: str
    setting: str
    points: list[Value]


class Ablation(Strict):
    """What the plan says of an ablation."""

    name: str
    title: str
    axes: list[Varied]


@dataclass(frozen=True)
class Point:
    """A row at one value of the varied setting; `value` is None where the values are no numbers."""

    label: str
    value: float | None
    row: Row
    d: float
    reading: Reading

    def within(self, size: Collected, other: Point, test: str) -> Array | None:
        """1 where a response of another point satisfies this point's constraint; (seeds, prompts, samples)."""
        return measures.satisfied(size, other.row, test, self.reading, self.d)


@dataclass(frozen=True)
class Axis:
    """The points of one method in a pair, in the order of the config."""

    label: str
    setting: str
    points: tuple[Point, ...]


def axes_of(size: Collected, ablation: Ablation, pair: str) -> list[Axis]:
    """The axes of a pair. Raises `UserError` where runs or a threshold that the plan names are not there."""
    return [_axis(size, line, pair) for line in ablation.axes]


def _axis(size: Collected, line: Varied, pair: str) -> Axis:
    by_run = {run.run: row for row in size.rows(pair, "method") for run in row.runs}
    readings = {point.thresholds[pair].reading for point in line.points}
    points = []
    for point in line.points:
        rows = [by_run[run] for run in point.runs if run in by_run]
        if not rows:
            raise UserError(
                f"runs of {line.method} {line.setting}={point.value} are not collected; run make ablations again"
            )
        constraint = point.thresholds[pair]
        d = read_threshold(constraint.file)
        label, value = _named(point.value, d, constraint.reading, len(readings) > 1)
        points.append(Point(label, value, rows[0], d, constraint.reading))
    own = {"threshold": "d" if len(readings) == 1 else "reading"}
    first = points[0].row
    label = first.label.removesuffix(first.setting).strip()
    return Axis(label, own.get(line.setting, line.setting), tuple(points))


def _named(value: Any, d: float, reading: Reading, readings_differ: bool) -> tuple[str, float | None]:
    """How a point is called on its axis, and its place where that is a number."""
    if isinstance(value, dict):  # a constraint of its own
        return (f"{reading}, d={d:.3g}", None) if readings_differ else (f"{d:.3g}", d)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value), None
    return f"{value:g}", float(value)
