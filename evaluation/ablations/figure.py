"""The figure of an ablation: correctness, satisfaction, divergence and length along the varied setting."""

from __future__ import annotations

from typing import Any

from evaluation.ablations.points import Ablation, Axis, axes_of
from evaluation.ablations.table import cells
from evaluation.captions import caption, missing_runs
from evaluation.certify import TARGET
from evaluation.collected import Collected, Test
from evaluation.figures import style
from evaluation.figures.style import Drawn, error_bars, grid, laid_out, shown_runs
from evaluation.statistics import Estimate

PANELS = (("fac", "FAC %"), ("cs", "CS, own d %"), ("kl", "mean KL per token (nats)"), ("length", "length (tokens)"))
WHAT = (
    "Rows of one method that differ in one setting (values in order, evenly spaced). Colour: the method; marker and "
    "shade: the test set. CS: responses "
    f"within the constraint that the row was trained for, or the pair's; dashed: {100 * TARGET:.0f} %. Dashes in the "
    "KL panel: the row's d, where it bounds the mean KL; linear to 2 d and logarithmic beyond where values "
    "lie far out. Bars: 95 % intervals over seeds, prompts and samples."
)
SPREAD = 0.3  # of the distance between two values: where the test sets stand beside each other


def draw(size: Collected, ablation: Ablation) -> Drawn:
    """A row of panels per pair and method."""
    lines = [(pair, axis) for pair in size.pairs for axis in axes_of(size, ablation, pair)]
    figure, axes = grid(size, len(PANELS), sharey=False, rows=len(lines))
    shown: list[Estimate] = []
    tests: set[str] = set()
    for panels, (pair, axis) in zip(axes, lines, strict=True):
        content = size.pairs[pair]
        for place, test in enumerate(content.tests):
            shown += _test_set(panels, size, axis, test, place, len(content.tests))
            tests.add(test.title)
        _finish_panels(panels, axis, f"{axis.label}, pair {pair}" if len(size.pairs) > 1 else axis.label)
    for column in axes.T:
        low, high = min(a.get_ylim()[0] for a in column), max(a.get_ylim()[1] for a in column)
        for panel in column:
            panel.set_ylim(low, high)
    for panel, (pair, _) in zip(axes[:, [key for key, _ in PANELS].index("kl")], lines, strict=True):
        if (d := size.pairs[pair].d_per_token) is not None:
            style.fold(panel, "y", d)
    gaps = [
        f"{axis.setting}={p.label}" + (f" ({p.row.gap})" if p.row.gap else missing_runs(p.row))
        for _, axis in lines for p in axis.points if not p.row.complete
    ]  # fmt: skip
    text = caption(size, f"{WHAT} Runs are missing: {', '.join(gaps)}." if gaps else WHAT, shown)
    drawn = laid_out(figure, axes, ablation.title, text, len(tests))
    return Drawn(ablation.name, ablation.title, text, drawn, shown_runs(size, "method"))


def _test_set(panels: Any, size: Collected, axis: Axis, test: Test, place: int, many: int) -> list[Estimate]:
    """Draw one test set in all panels; returns the estimates."""
    shift = 0.0 if many == 1 else SPREAD * (place / (many - 1) - 0.5)
    colour = style.COLOURS.get(axis.points[0].row.method, "#5D3A9B")
    look: dict[str, Any] = {
        "color": style.shade(colour, place, many) if many > 1 else colour, "marker": style.SETTING_MARKERS[place % 6],
        "linestyle": "none", "markersize": 7, "markeredgecolor": "white", "markeredgewidth": 0.6, "elinewidth": 1.3,
    }  # fmt: skip
    found = [{} if p.row.gap else cells(size, p, test.name) for p in axis.points]
    shown: list[Estimate] = []
    for panel, (key, _) in zip(panels, PANELS, strict=True):
        points = [(i + shift, e) for i, c in enumerate(found) if isinstance(e := c.get(key), Estimate)]
        if axis.points[0].value is not None:  # words have no order that a line could follow
            panel.plot([x for x, _ in points], [e.mean for _, e in points], color=look["color"], lw=1.0, alpha=0.6)
        for x, estimate in points:
            panel.errorbar(x, estimate.mean, yerr=error_bars(estimate), label=test.title, **look)
        shown += [estimate for _, estimate in points]
    return shown


def _finish_panels(panels: Any, axis: Axis, name: str) -> None:
    """Ticks, names, the target of CS and the d of every point."""
    for panel, (key, title) in zip(panels, PANELS, strict=True):
        panel.set(title=title, xlabel=f"{axis.setting} ({name})", xlim=(-0.5, len(axis.points) - 0.5))
        labels = [p.label.replace(", ", "\n") for p in axis.points]
        panel.set_xticks(range(len(axis.points)), labels, fontsize="small")
        if key == "cs":
            panel.axhline(100 * TARGET, **style.D_LINE)
        if key == "kl":
            bounded = [(x, point.d) for x, point in enumerate(axis.points) if point.reading == "mean"]
            for x, d in bounded:
                panel.hlines(d, x - 0.5, x + 0.5, **{**style.D_LINE, "linewidth": 1.6})
            for x, d in bounded[:1]:
                panel.annotate("d", (x - 0.5, d), xytext=(3, 4), **style.D_NAME)
            panel.set_ylim(bottom=0.0)
