"""Score against divergence with the Pareto front drawn in."""

from __future__ import annotations

from matplotlib.axes import Axes

from evaluation.captions import caption
from evaluation.collected import Collected, Test
from evaluation.figures.score_vs_kl import panels
from evaluation.figures.style import Drawn, about_d, captioned
from evaluation.pareto import front, point_of

TITLE = "Pareto fronts"
WHAT = (
    "Final-answer correctness against mean reverse KL to the teacher of the trained rows. Grey steps: the Pareto "
    "front, all that is dominated lies below and right of it (judged by the estimates). {d}Bars: 95 % "
    "intervals over seeds, prompts and samples."
)


def draw(size: Collected) -> Drawn:
    """One panel per pair and test set."""
    figure, axes, shown, labels = panels(size, "method")
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        for axis, test in zip(line, pair.tests, strict=False):  # the panels share their scale, known only now
            _front(axis, size, name, test)
    text = caption(size, WHAT.format(d=about_d(size)), shown)
    return captioned(size, "pareto", TITLE, figure, axes, text, "method", entries=labels)


def _front(axis: Axes, size: Collected, pair: str, test: Test) -> None:
    """The front as steps, from the bottom of the panel to its right edge."""
    found = [point for row in size.rows(pair, "method") if (point := point_of(size, row, test.name))]
    values = [(kl.mean, 100.0 * fac.mean) for kl, fac in found]
    kept = [values[i] for i in front(values)]
    if not kept:
        return
    right, bottom = axis.get_xlim()[1], axis.get_ylim()[0]
    x, y = [kept[0][0], *(kl for kl, _ in kept), right], [bottom, *(fac for _, fac in kept), kept[-1][1]]
    axis.plot(x, y, drawstyle="steps-post", color="#8a8a8a", linewidth=1.4, zorder=1.5, scalex=False, scaley=False)
