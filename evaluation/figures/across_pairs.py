"""Constraint satisfaction and final answers over pairs of models: every pair as a line, the estimate over pairs."""

from __future__ import annotations

from matplotlib.axes import Axes

from evaluation import measures
from evaluation.captions import caption, row_label
from evaluation.certify import TARGET
from evaluation.collected import Collected, Row, Test
from evaluation.figures.style import D_LINE, Drawn, Look, captioned, error_bars, grid, looks
from evaluation.statistics import Array, Estimate, proportion_interval

TITLE = "Over pairs of models"
WHAT = (
    "CS: sampled responses within d (dashed: 95 %); FAC: final answer correct. A grey line is one pair of models with "
    "one training seed, through all rows: where lines run side by side, what a pair does it does to every row. "
    "Markers: mean over pairs with 95 % intervals over pairs, prompts and samples."
)
MEASURES = (("CS %", "cs"), ("FAC %", "correct"))


def draw(whole: Collected) -> Drawn:
    """`whole` is the view of evaluation/across.py: one panel per measure and test set, one line of rows."""
    ((name, pair),) = whole.pairs.items()
    rows = [row for row in whole.rows(name, "method", "reference") if row.finished]
    figure, axes = grid(whole, len(pair.tests), height=1.0 + 0.3 * len(rows), rows=len(MEASURES))
    look, shown = looks(whole.rows(name, "method", "reference")), list[Estimate]()
    for line, (label, metric) in zip(axes, MEASURES, strict=True):
        for axis, test in zip(line, pair.tests, strict=True):
            found = {place: y for place, row in enumerate(rows) if (y := _values(whole, row, test, metric)) is not None}
            _lines(axis, found)
            shown += [_estimate(axis, place, y, look[rows[place].label]) for place, y in found.items()]
            axis.set(title=test.title, xlabel=label, xlim=(-3, 103))
            if metric == "cs":
                axis.axvline(100 * TARGET, **D_LINE)
        line[0].set_yticks(range(len(rows)), [row_label(row) for row in rows])
        line[0].set_ylim(len(rows) - 0.5, -0.5)
    return captioned(whole, "across_pairs", TITLE, figure, axes, caption(whole, WHAT, shown), "method", "reference")


def _values(whole: Collected, row: Row, test: Test, metric: str) -> Array | None:
    """Scores in [0, 1], (pairs, prompts, samples)."""
    return measures.satisfied(whole, row, test.name) if metric == "cs" else whole.stacked(row, test.name, metric)


def _lines(axis: Axes, found: dict[int, Array]) -> None:
    """Every pair through the rows that all pairs have."""
    most = max((len(y) for y in found.values()), default=0)
    places = [place for place, y in found.items() if len(y) == most]
    for pair in range(most):
        points = [100 * float(found[place][pair].mean()) for place in places]
        axis.plot(points, places, color="#b0b0b0", linewidth=0.8, marker=".", markersize=4, zorder=2)


def _estimate(axis: Axes, place: int, y: Array, look: Look) -> Estimate:
    rate = proportion_interval(y)
    axis.errorbar(
        100 * rate.mean, place, xerr=error_bars(rate, 100), color=look.colour, marker=look.marker,
        markersize=9 if look.marker == "*" else 6.5, elinewidth=1.5, capsize=2.5, zorder=3,
    )  # fmt: skip
    return rate
