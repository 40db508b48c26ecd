"""Reasoning win and loss rates with intervals (the paper's Fig. 4)."""

from __future__ import annotations

from matplotlib.axes import Axes

from evaluation.captions import caption, row_label
from evaluation.collected import Collected, Row, Test
from evaluation.figures.style import Drawn, captioned, error_bars, grid, looks, name_panels
from evaluation.pairwise import judge_name, overall
from evaluation.statistics import Estimate

TITLE = "Reasoning win rates"
WHAT = (
    "Reasoning win rate (filled) and loss rate (open) by {judge}, mean over the other trained "
    "rows; the rest are ties. Bars: 95 % intervals over seeds, prompts and samples."
)
BESIDE = 0.12  # of a line: so that two long intervals do not become one


def draw(size: Collected) -> Drawn:
    """One panel per pair and test set, one line per row, trained rows and references."""
    longest = max(len(size.rows(name, "method", "reference")) for name in size.pairs)
    columns = max(len(pair.tests) for pair in size.pairs.values())
    figure, axes = grid(size, columns, height=1.1 + 0.32 * longest)
    shown: list[Estimate] = []
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        rows = size.rows(name, "method", "reference")
        for axis, test in zip(line, pair.tests, strict=False):
            shown += _panel(axis, size, rows, test)
            axis.set(title=test.title, xlabel="% of comparisons", xlim=(-3, 103))
        line[0].set_yticks(range(len(rows)), [row_label(row) for row in rows])
        line[0].set_ylim(len(rows) - 0.5, -0.5)
    name_panels(axes, size, "")
    text = caption(size, WHAT.format(judge=judge_name(size)), shown)
    return captioned(size, "win_rates", TITLE, figure, axes, text, "method", "reference")


def _panel(axis: Axes, size: Collected, rows: list[Row], test: Test) -> list[Estimate]:
    look = looks(rows)
    shown = []
    for place, row in enumerate(rows):
        match = None if row.gap else overall(size, row, test.name)
        if match is None:
            axis.annotate(row.runs[0].status if row.gap else "not defined", (2, place), va="center", fontsize="small")
            continue
        style = look[row.label]
        for rate, fill, shift in ((match.win, style.colour, -BESIDE), (match.loss, "white", BESIDE)):
            axis.errorbar(
                100 * rate.mean,
                place + shift,
                xerr=error_bars(rate, 100),
                color=style.colour,
                marker=style.marker,
                markersize=9 if style.marker == "*" else 6.5,
                markerfacecolor=fill,
                elinewidth=1.3,
                capsize=2,
            )
            shown.append(rate)
    return shown
