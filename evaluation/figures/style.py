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

from evaluation import lineage
from evaluation.captions import lost
from evaluation.collected import Collected, Row
from evaluation.statistics import Estimate

COLOURS = {
    "cmdp": "#D55E00",
    "soft_lagrangian": "#0072B2",
    "gkd": "#009E73",
    "grpo": "#CC79A7",
    "minillm": "#E69F00",
    "dual_lagrangian": "#56B4E9",
    "worst_case": "#7A0177",
    "sft": "#B5A400",
    "seqkd": "#8C564B",
    "trl_grpo": "#40B0A6",
    "trl_distillation": "#5D3A9B",
    "saute": "#A6761D",
    "teacher": "#000000",
    "student": "#7F7F7F",
}
SPARE = ("#66A61E", "#E7298A", "#1B4F72", "#999933")
Marker = str | tuple[int, int, int]  # a name, or (points of a star, 1, angle)
MARKERS: dict[str, Marker] = {
    "cmdp": "o", "gkd": "s", "grpo": "D", "minillm": "P", "teacher": "*", "student": "X", "dual_lagrangian": "d",
    "sft": "8", "seqkd": "H", "trl_grpo": "h", "trl_distillation": "p", "saute": (3, 1, 0),
    "worst_case": (3, 1, 60),
}  # fmt: skip
SETTING_MARKERS: tuple[Marker, ...] = ("v", "^", "<", ">", (4, 1, 0), (5, 1, 36), (4, 1, 45), (6, 1, 0))
SPARE_MARKERS: tuple[Marker, ...] = ((7, 1, 0), (8, 1, 0), (3, 1, 30), (3, 1, 90))  # of no row that is named above
D_LINE: dict[str, Any] = {"color": "#444444", "linestyle": (0, (5, 3)), "linewidth": 1.2, "zorder": 1}
D_NAME: dict[str, Any] = {
    "textcoords": "offset points", "fontsize": "small", "zorder": 4,
    "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
}  # fmt: skip
PANEL = 3.6  # inches
LINE = 0.17  # inches, of small type
CAPTIONS = "captions.json"


@dataclass(frozen=True)
class Look:
    """Colour, marker and line style of one row, the same in every figure."""

    colour: str
    marker: Marker
    line: str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Drawn:
    """A finished figure with what must be said about it; `runs` are the ids of the runs it shows."""

    name: str
    title: str
    caption: str
    figure: Figure
    runs: tuple[str, ...] = ()

    @property
    def sources(self) -> str:
        """The line that ends the figure."""
        return lineage.line(self.runs, CAPTIONS)


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
            "text.parse_math": False,  # a `$` in a label or in the reason of a failure is a dollar
        }
    )


def shown_runs(size: Collected, *kinds: str) -> tuple[str, ...]:
    """Ids of the runs behind the rows of these kinds, as far as they finished."""
    return lineage.union(row.ids for pair in size.pairs for row in size.rows(pair, *kinds) if row.finished)


def looks(rows: Sequence[Row]) -> dict[str, Look]:
    """Look of every row by label. Unknown methods take spare colours in the order of their names."""
    strangers = sorted({row.method for row in rows} - set(COLOURS))
    spare = {name: SPARE[i % len(SPARE)] for i, name in enumerate(strangers)}
    shapes = {name: SPARE_MARKERS[i % len(SPARE_MARKERS)] for i, name in enumerate(strangers)}
    found, several = {}, list(dict.fromkeys(row.method for row in rows if row.setting))
    for row in rows:
        settings = list(dict.fromkeys(r.setting for r in rows if r.method == row.method))
        base = COLOURS.get(row.method) or spare[row.method]
        if len(settings) == 1:
            found[row.label] = Look(base, MARKERS.get(row.method) or shapes.get(row.method, "o"), "-")
            continue
        place = settings.index(row.setting)
        first = 4 * several.index(row.method) if row.setting else 0  # the second such method has markers of its own
        marker = SETTING_MARKERS[(first + place) % len(SETTING_MARKERS)]
        dashes = ("-", (0, (6, 2)), (0, (3, 2)), (0, (1, 1)))[place % 4]
        found[row.label] = Look(shade(base, place, len(settings)), marker, dashes)
    return found


def shade(base: str, place: int, many: int) -> str:
    """Light for the first setting, dark for the last, always the same hue."""
    amount = 0.55 - 1.0 * place / (many - 1)
    target = 1.0 if amount > 0 else 0.0
    red, green, blue = (channel + (target - channel) * abs(amount) for channel in to_rgb(base))
    return to_hex((red, green, blue))


def grid(
    size: Collected, columns: int, sharey: bool = True, height: float = PANEL, rows: int = 0
) -> tuple[Figure, Any]:  # fmt: skip
    """A figure with a row of panels per pair, or `rows` rows; axes as an array (rows, columns)."""
    use_style()
    rows = rows or len(size.pairs)
    figure, axes = plt.subplots(
        rows, columns, figsize=(PANEL * columns, height * rows), sharey="row" if sharey else False, squeeze=False
    )
    return figure, axes


def name_panels(axes: Any, size: Collected, label: str) -> None:
    """Each pair's panels: `label` and, of several pairs, its name at the left; none beyond its last test set."""
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        for unused in line[len(pair.tests) :]:
            unused.set_axis_off()
        parts = (label, f"pair {name}" if len(size.pairs) > 1 else "")
        line[0].set_ylabel(", ".join(part for part in parts if part))


def error_bars(estimate: Estimate, scale: float = 1.0) -> list[list[float]] | None:
    """Distances to both bounds as matplotlib wants them, None where there is no interval."""
    if not estimate.has_interval:
        return None
    return [[scale * (estimate.mean - estimate.low)], [scale * (estimate.high - estimate.mean)]]


def mark_threshold(axis: Axes, d: float) -> None:
    """The threshold d as a dashed vertical line, named beside its upper end.

    Call it when the axis has its limits: the name stands on the side that has room for it.
    """
    axis.axvline(d, **D_LINE)
    inside = axis.transAxes.inverted().transform(axis.transData.transform((d, 0.0)))[0]
    side, shift = ("left", 4) if inside < 0.7 else ("right", -4)
    place: dict[str, Any] = {"ha": side, "va": "top", "xytext": (shift, 0)}
    axis.annotate(f"d = {d:.3g}", (d, 0.99), xycoords=("data", "axes fraction"), **place, **D_NAME)


def mark_level(axis: Axes, d: float) -> None:
    """The threshold d as a dashed horizontal line, named outside the panel, where no curve runs."""
    axis.axhline(d, **D_LINE)
    place: dict[str, Any] = {"ha": "left", "va": "center", "rotation": 90, "xytext": (3, 0)}
    axis.annotate(f"d = {d:.3g}", (1.0, d), xycoords=("axes fraction", "data"), **place, **D_NAME)


def about_d(size: Collected) -> str:
    """What a caption says of the line at d on an axis of mean KL; "" where d bounds another reading and has none."""
    if all(pair.d_per_token is None for pair in size.pairs.values()):
        return ""
    return "Dashed: d; the KL axis is linear to 2 d and logarithmic beyond where values lie far out. "


def fold(axis: Axes, which: Literal["x", "y"], d: float) -> None:
    """Linear up to 2 d, logarithmic beyond, where a divergence lies so far out that d would be squeezed to 0."""
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    if high > 8 * d:
        scale = axis.set_xscale if which == "x" else axis.set_yscale
        scale("symlog", linthresh=2 * d, linscale=2.0)
        ticks = [0.0, d, 2 * d, *(t for t in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if 2 * d * 1.5 < t <= high)]
        (axis.set_xticks if which == "x" else axis.set_yticks)(ticks, [f"{tick:.3g}" for tick in ticks])
        (axis.set_xlim if which == "x" else axis.set_ylim)(max(low, -0.2 * d), 1.3 * high)


def laid_out(figure: Figure, axes: Any, title: str, caption: str, entries: int = 0) -> Figure:
    """Title above; a shared legend (if `entries` > 0) and the caption below, outside the panels.

    Below the caption there is room for one line, which `save` fills with the names of the runs.
    """
    width, height = figure.get_size_inches()
    text = textwrap.fill(caption.replace(" %", "\N{NO-BREAK SPACE}%"), int(width * 15.5), break_on_hyphens=False)
    lines = text.count("\n") + 1
    columns = max(1, min(entries, int(width / 1.9)))
    legend = 0.27 * -(-entries // columns) if entries else 0.0
    below, above = LINE * (lines + 1) + 0.1, 0.4
    total = height + below + above + legend
    figure.set_size_inches(width, total)
    figure.text(0.01, 1 - 0.08 / total, title, ha="left", va="top", fontsize="large", fontweight="bold")
    figure.text(0.01, (0.06 + LINE) / total, text, ha="left", va="bottom", fontsize=8, color="#333333")
    if entries:
        handles, labels = _legend_entries(axes)
        figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, below / total), ncols=columns,
                      fontsize="small")  # fmt: skip
    figure.tight_layout(rect=(0, (below + legend) / total, 1, 1 - above / total))
    return figure


def captioned(
    size: Collected, name: str, title: str, figure: Figure, axes: Any, text: str, *kinds: str, entries: int = 0
) -> Drawn:
    """The figure of a size's rows of these kinds: its caption `text` ends with the rows that lost runs, if any did."""
    absent = dict.fromkeys(lost(row for pair in size.pairs for row in size.rows(pair, *kinds)))
    text += f" Runs are missing: {', '.join(absent)}." if absent else ""
    return Drawn(name, title, text, laid_out(figure, axes, title, text, entries), shown_runs(size, *kinds))


def _legend_entries(axes: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def save(drawn: Drawn, out: Path) -> None:
    """`<name>.png` and `<name>.pdf` without dates or versions, so that equal input gives equal bytes.

    The last line says what runs the figure comes from; where that is a number, `captions.json` lists them.
    """
    width, height = drawn.figure.get_size_inches()
    said = textwrap.shorten(drawn.sources, int(width * 19), placeholder=f" ..., listed in {CAPTIONS}.")
    drawn.figure.text(0.01, 0.05 / height, said, ha="left", va="bottom", fontsize=6.5, color="#555555")
    drawn.figure.savefig(out / f"{drawn.name}.png", dpi=150, metadata={"Software": None, "Source": drawn.sources})
    drawn.figure.savefig(out / f"{drawn.name}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    plt.close(drawn.figure)


def save_captions(drawn: Sequence[Drawn], out: Path) -> None:
    """`captions.json`: title, caption and runs of every figure, for the report."""
    content = {
        d.name: {"title": d.title, "caption": d.caption, "sources": d.sources, "runs": list(d.runs)} for d in drawn
    }
    (out / CAPTIONS).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
