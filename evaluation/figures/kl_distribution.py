"""How the divergence of single responses is distributed around d."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evaluation.captions import caption, row_label
from evaluation.collected import Collected, Pair, Row, Test
from evaluation.figures.style import Drawn, Look, captioned, error_bars, grid, looks, mark_threshold, name_panels
from evaluation.measures import satisfaction
from evaluation.statistics import Estimate

TITLE = "Divergence of single responses"
WHAT = (
    "Share of sampled responses whose divergence is at most x, all seeds pooled; where a curve crosses the dashed "
    "line is the constraint satisfaction CS (point with its 95 % interval). Log axis; values below its left end "
    "are drawn there. The teacher, which is at 0 from itself, is left out."
)
FLOOR = 1e-3


def draw(size: Collected) -> Drawn:
    """One panel per pair and test set: the distribution function of the pair's reading, per row."""
    figure, axes = grid(size, max(len(pair.tests) for pair in size.pairs.values()))
    shown: list[Estimate] = []
    labels: set[str] = set()
    left_out = {run.run for run in size.runs if (run.kind, run.method) == ("reference", "teacher")}
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        every = size.rows(name, "method", "reference")
        rows, look = [row for row in every if row.method != "teacher"], looks(every)
        for axis, test in zip(line, pair.tests, strict=False):
            points = _panel(axis, size, rows, test, look)
            _label(axis, pair, test)
            shown += points.values()
            labels |= points.keys()
    name_panels(axes, size, "% of responses")
    text, kinds = caption(size, WHAT, shown), ("method", "reference")
    found = captioned(size, "kl_distribution", TITLE, figure, axes, text, *kinds, entries=len(labels))
    return replace(found, runs=tuple(run for run in found.runs if run not in left_out))


def _panel(axis: Axes, size: Collected, rows: list[Row], test: Test, look: dict[str, Look]) -> dict[str, Estimate]:
    drawn = {}
    for row in rows:
        pair = size.pairs[row.pair]
        kl, rate = size.stacked(row, test.name, f"kl_{pair.reading}"), satisfaction(size, row, test.name)
        if kl is None or rate is None:
            continue
        ordered = np.sort(np.maximum(kl.ravel(), FLOOR))
        share = 100.0 * np.arange(1, len(ordered) + 1) / len(ordered)
        style = look[row.label]
        axis.step(
            ordered, share, where="post", color=style.colour, linestyle=style.line, linewidth=1.5, label=row_label(row)
        )
        axis.errorbar(
            pair.threshold.d, 100 * rate.mean, yerr=error_bars(rate, 100), color=style.colour, marker=style.marker,
            markersize=6, markeredgecolor="white", markeredgewidth=0.6, elinewidth=1.3, zorder=3,
        )  # fmt: skip
        drawn[row_label(row)] = rate
    return drawn


def _label(axis: Axes, pair: Pair, test: Test) -> None:
    unit = {"mean": "mean KL per token", "sum": "KL of the response", "prefix": "largest running mean KL"}[pair.reading]
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 50 * low else (1.0,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(
        title=test.title, xlabel=f"{unit} (nats)", ylim=(-3, 113), yticks=range(0, 101, 20)
    )  # above 100 %: room for the name of d
    mark_threshold(axis, pair.threshold.d)
