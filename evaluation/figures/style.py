"""What all figures share: one colour and marker per method, sizes, captions, and byte-stable saving.

Colours are Okabe and Ito's, made to be told apart with any colour vision. A method keeps its colour in every
figure; its settings (a lambda grid) are shades of that colour and differ in marker as well.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from evaluation.collected import Collected, Row
from evaluation.statistics import Estimate

COLOURS = {
    "cmdp": "#D55E00",
    "soft_lagrangian": "#0072B2",
    "gkd": "#009E73",
    "grpo": "#CC79A7",
    "minillm": "#E69F00",
    "teacher": "#000000",
    "student": "#7F7F7F",
}
SPARE = ("#56B4E9", "#8C564B", "#F0E442", "#5D3A9B", "#40B0A6")
MARKERS = {"cmdp": "o", "gkd": "s", "grpo": "D", "minillm": "P", "teacher": "*", "student": "X"}
SETTING_MARKERS = ("v", "^", "<", ">", "p", "h")
SPARE_MARKERS = ("d", "H", "8", "p", "h")
D_LINE: dict[str, Any] = {"color": "#444444", "linestyle": (0, (5, 3)), "linewidth": 1.2, "zorder": 1}
D_NAME: dict[str, Any] = {
    "textcoords": "offset points", "fontsize": "small", "zorder": 4,
    "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
}  # fmt: skip
PANEL = 3.6  # inches


@dataclass(frozen=True)
class Look:
    """Colour, marker and line style of one row, the same in every figure."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Drawn:
    """A finished figure with what must be said about it."""

    name: str
    title: str
    caption: str
    figure: Figure


def use_style() -> None:
    """Legible type on white; text in PDFs stays text."""
    sns.set_theme(style="ticks", context="notebook", font_scale=0.85)
    plt.rcParams.update(
        {
            "axes.grid": True,
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "axes.linewidth": 0.9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.major.width": 0.9,
            "ytick.major.width": 0.9,
            "legend.frameon": False,
            "pdf.fonttype": 42,
            "font.family": "DejaVu Sans",
        }
    )


def looks(rows: Sequence[Row]) -> dict[str, Look]:
    """Look of every row by label. Unknown methods take spare colours in the order of their names."""
    strangers = sorted({row.method for row in rows} - set(COLOURS))
    spare = {name: SPARE[i % len(SPARE)] for i, name in enumerate(strangers)}
    shapes = {name: SPARE_MARKERS[i % len(SPARE_MARKERS)] for i, name in enumerate(strangers)}
    found = {}
    for row in rows:
        settings = list(dict.fromkeys(r.setting for r in rows if r.method == row.method))
        base = COLOURS.get(row.method) or spare[row.method]
        if len(settings) == 1:
            found[row.label] = Look(base, MARKERS.get(row.method) or shapes.get(row.method, "o"), "-")
            continue
        place = settings.index(row.setting)
        marker = SETTING_MARKERS[place % len(SETTING_MARKERS)]
        dashes = ("-", (0, (6, 2)), (0, (3, 2)), (0, (1, 1)))[place % 4]
        found[row.label] = Look(_shade(base, place, len(settings)), marker, dashes)
    return found


def _shade(base: str, place: int, many: int) -> str:
    """Light for the first setting, dark for the last, always the same hue."""
    amount = 0.55 - 1.0 * place / (many - 1)
    target = 1.0 if amount > 0 else 0.0
    red, green, blue = (channel + (target - channel) * abs(amount) for channel in to_rgb(base))
    return to_hex((red, green, blue))


def grid(size: Collected, columns: int, sharey: bool = True, height: float = PANEL) -> tuple[Figure, Any]:
    """A figure with a row of panels per pair; axes as an array (pairs, columns)."""
    use_style()
    rows = len(size.pairs)
    figure, axes = plt.subplots(
        rows, columns, figsize=(PANEL * columns, height * rows), sharey="row" if sharey else False, squeeze=False
    )
    return figure, axes


def error_bars(estimate: Estimate, scale: float = 1.0) -> list[list[float]] | None:
    """Distances to both bounds as matplotlib wants them, None where there is no interval."""
    if not estimate.has_interval:
        return None
    return [[scale * (estimate.mean - estimate.low)], [scale * (estimate.high - estimate.mean)]]


def mark_threshold(axis: Axes, d: float, label_at: float = 0.99) -> None:
    """The threshold d as a dashed vertical line, named beside it at a height in axes fractions.

    Call it when the axis has its limits: the name stands on the side that has room for it.
    """
    axis.axvline(d, **D_LINE)
    inside = axis.transAxes.inverted().transform(axis.transData.transform((d, 0.0)))[0]
    side, shift = ("left", 4) if inside < 0.7 else ("right", -4)
    place: dict[str, Any] = {"ha": side, "va": "top" if label_at > 0.5 else "bottom", "xytext": (shift, 0)}
    axis.annotate(f"d = {d:.3g}", (d, label_at), xycoords=("data", "axes fraction"), **place, **D_NAME)


def mark_level(axis: Axes, d: float) -> None:
    """The threshold d as a dashed horizontal line, named at its right end."""
    axis.axhline(d, **D_LINE)
    axis.annotate(f"d = {d:.3g}", (1.0, d), xycoords=("axes fraction", "data"), xytext=(-3, 3), ha="right", **D_NAME)


def fold(axis: Axes, which: Literal["x", "y"], d: float) -> None:
    """Linear up to 2 d, logarithmic beyond, where a divergence lies so far out that d would be squeezed to 0."""
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    if high > 8 * d:
        scale = axis.set_xscale if which == "x" else axis.set_yscale
        scale("symlog", linthresh=2 * d, linscale=2.0)
        ticks = [0.0, d, 2 * d, *(t for t in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if 2 * d * 1.5 < t <= high)]
        (axis.set_xticks if which == "x" else axis.set_yticks)(ticks, [f"{tick:.3g}" for tick in ticks])
        (axis.set_xlim if which == "x" else axis.set_ylim)(max(low, -0.2 * d), 1.3 * high)


def finish(figure: Figure, axes: Any, title: str, caption: str, entries: int = 0) -> Figure:
    """Title above; a shared legend (if `entries` > 0) and the caption below, outside the panels."""
    width, height = figure.get_size_inches()
    text = textwrap.fill(caption, int(width * 15.5))
    lines = text.count("\n") + 1
    columns = max(1, min(entries, int(width / 1.9)))
    legend = 0.27 * -(-entries // columns) if entries else 0.0
    below, above = 0.17 * lines + 0.1, 0.4
    total = height + below + above + legend
    figure.set_size_inches(width, total)
    figure.text(0.01, 1 - 0.08 / total, title, ha="left", va="top", fontsize="large", fontweight="bold")
    figure.text(0.01, 0.06 / total, text, ha="left", va="bottom", fontsize=8, color="#333333")
    if entries:
        handles, labels = _legend_entries(axes)
        figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, below / total), ncols=columns,
                      fontsize="small")  # fmt: skip
    figure.tight_layout(rect=(0, (below + legend) / total, 1, 1 - above / total))
    return figure


def _legend_entries(axes: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def save(drawn: Drawn, out: Path) -> None:
    """`<name>.png` and `<name>.pdf` without dates or versions, so that equal input gives equal bytes."""
    drawn.figure.savefig(out / f"{drawn.name}.png", dpi=150, metadata={"Software": None})
    drawn.figure.savefig(out / f"{drawn.name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    plt.close(drawn.figure)


def save_captions(drawn: Sequence[Drawn], out: Path) -> None:
    """`captions.json`: title and caption of every figure, for the report."""
    content = {d.name: {"title": d.title, "caption": d.caption} for d in drawn}
    (out / "captions.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
