"""Score against divergence with the Pareto front drawn in."""

from __future__ import annotations

from matplotlib.axes import Axes

from evaluation.captions import caption
from evaluation.collected import Collected, Test
from evaluation.figures.score_vs_kl import points
from evaluation.figures.style import Drawn, finish, fold, grid, looks, mark_threshold
from evaluation.pareto import front
from evaluation.statistics import Estimate
from evaluation.tables.pareto import point_of

TITLE = "Pareto fronts"
WHAT = (
    "Final-answer correctness against mean reverse KL to the teacher of the trained rows. Grey steps: the Pareto "
    "front, all that is dominated lies below and right of it (judged by the estimates); the dashed line is d. Bars: "
    "95 % intervals over seeds, prompts and samples. The KL axis is linear to 2 d and logarithmic beyond where values "
    "lie far out."
)


def draw(size: Collected) -> Drawn:
    """One panel per pair and test set."""
    figure, axes = grid(size, max(len(pair.tests) for pair in size.pairs.values()))
    shown: list[Estimate] = []
    labels: set[str] = set()
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        rows = size.rows(name, "method")
        look = looks(size.rows(name, "method", "reference"))
        for axis, test in zip(line, pair.tests, strict=False):
            drawn = points(axis, size, rows, test, look)
            axis.set(title=test.title, xlabel="mean KL per token (nats)")
            axis.update_datalim([(pair.threshold.d, axis.dataLim.y0)])
            axis.autoscale_view()
            fold(axis, "x", pair.threshold.d)
            mark_threshold(axis, pair.threshold.d)
            shown += drawn.values()
            labels |= drawn.keys()
        for unused in line[len(pair.tests) :]:
            unused.set_axis_off()
        for axis, test in zip(line, pair.tests, strict=False):  # the panels share their scale, known only now
            _front(axis, size, name, test)
        line[0].set_ylabel(f"FAC %, pair {name}" if len(size.pairs) > 1 else "FAC %")
    text = caption(size, WHAT, shown)
    return Drawn("pareto", TITLE, text, finish(figure, axes, TITLE, text, len(labels)))


def _front(axis: Axes, size: Collected, pair: str, test: Test) -> None:
    """The front as steps, from the bottom of the panel to its right edge."""
    found = [point for row in size.rows(pair, "method") if (point := point_of(size, row, test))]
    values = [(kl.mean, 100.0 * fac.mean) for kl, fac in found]
    kept = [values[i] for i in front(values)]
    if not kept:
        return
    right, bottom = axis.get_xlim()[1], axis.get_ylim()[0]
    x, y = [kept[0][0], *(kl for kl, _ in kept), right], [bottom, *(fac for _, fac in kept), kept[-1][1]]
    axis.plot(x, y, drawstyle="steps-post", color="#8a8a8a", linewidth=1.4, zorder=1.5, scalex=False, scaley=False)
