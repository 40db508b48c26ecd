"""Final-answer correctness against mean KL, the threshold d drawn in (the paper's Figs 2 and 3)."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation import measures
from evaluation.captions import caption, row_label
from evaluation.collected import Collected, Row, Test
from evaluation.figures.style import (
    Drawn,
    Look,
    about_d,
    captioned,
    error_bars,
    fold,
    grid,
    looks,
    mark_threshold,
    name_panels,
)
from evaluation.statistics import Estimate

TITLE = "Score against divergence"
WHAT = (
    "Final-answer correctness against mean reverse KL to the teacher, sampled at temperature 1; up and left is "
    "better. {d}Bars: 95 % intervals over seeds, prompts and samples."
)


def draw(size: Collected) -> Drawn:
    """One panel per pair and test set, a point with both intervals per row."""
    kinds = ("method", "reference")
    figure, axes, shown, labels = panels(size, *kinds)
    text = caption(size, WHAT.format(d=about_d(size)), shown)
    return captioned(size, "score_vs_kl", TITLE, figure, axes, text, *kinds, entries=labels)


def panels(size: Collected, *kinds: str) -> tuple[Figure, Any, list[Estimate], int]:
    """The points of the rows of these kinds; with the FACs drawn, and how many labels there are."""
    figure, axes = grid(size, max(len(pair.tests) for pair in size.pairs.values()))
    shown: list[Estimate] = []
    labels: set[str] = set()
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        look = looks(size.rows(name, "method", "reference"))
        for axis, test in zip(line, pair.tests, strict=False):
            drawn = points(axis, size, size.rows(name, *kinds), test, look)
            axis.set(title=test.title, xlabel="mean KL per token (nats)")
            if pair.d_per_token is not None:
                axis.update_datalim([(pair.d_per_token, axis.dataLim.y0)])
                axis.autoscale_view()
                fold(axis, "x", pair.d_per_token)
                mark_threshold(axis, pair.d_per_token)
            shown += drawn.values()
            labels |= drawn.keys()
    name_panels(axes, size, "FAC %")
    return figure, axes, shown, len(labels)


def points(axis: Axes, size: Collected, rows: list[Row], test: Test, look: dict[str, Look]) -> dict[str, Estimate]:
    """Draw KL and FAC of the rows with both intervals; returns the FACs by label."""
    drawn = {}
    for row in rows:
        score, kl = measures.fac(size, row, test.name), measures.divergence(size, row, test.name)
        if score is None or kl is None:
            continue
        style = look[row.label]
        axis.errorbar(
            kl.mean,
            100 * score.mean,
            xerr=error_bars(kl),
            yerr=error_bars(score, 100),
            color=style.colour,
            marker=style.marker,
            markersize=11 if style.marker == "*" else 7,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linestyle="none",
            elinewidth=1.3,
            label=row_label(row),
        )
        drawn[row_label(row)] = score
    return drawn
