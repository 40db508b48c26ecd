"""Reward, KL and constraint satisfaction over training, on fixed validation prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from evaluation.captions import caption, row_label, setting, several
from evaluation.collected import Collected, Row, counts
from evaluation.figures.style import Drawn, about_d, captioned, fold, grid, looks, mark_level
from evaluation.measures import within

TITLE = "Training curves"
PANELS = (("reward", "reward (share correct)"), ("kl_mean", "mean KL per token (nats)"), ("satisfied", "satisfied %"))


@dataclass(frozen=True)
class Panels:
    """What `panels` drew: the figure, its axes, and the counts that its caption names."""

    figure: Figure
    axes: Any
    seeds: set[int]
    responses: set[int]
    labels: set[str]


def draw(size: Collected) -> Drawn:
    """A row of three panels per pair: mean over seeds, band from the lowest to the highest seed."""
    drawn = panels(size, "step", lambda row: 1.0)
    text = _caption(size, drawn.seeds, drawn.responses)
    return captioned(size, "curves", TITLE, drawn.figure, drawn.axes, text, "method", entries=len(drawn.labels))


def panels(size: Collected, over: str, per_step: Callable[[Row], float | None]) -> Panels:
    """The curves `over` something of which a step takes `per_step` of the row (None: the row is left out)."""
    figure, axes = grid(size, len(PANELS), sharey=False)
    drawn = Panels(figure, axes, set(), set(), set())
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        rows = size.rows(name, "method")
        look = looks(rows)
        for row in rows:
            curves, unit = by_seed(size, row), per_step(row)
            if curves.empty or unit is None:
                continue
            drawn.seeds.add(curves["seed"].nunique())
            drawn.responses.update(curves["responses"])
            drawn.labels.add(row_label(row))
            style = look[row.label]
            for axis, (key, _) in zip(line, PANELS, strict=True):
                steps = curves.groupby("step")[key]
                x = steps.mean().index * unit
                axis.plot(
                    x, steps.mean(), color=style.colour, linestyle=style.line, linewidth=1.6, label=row_label(row)
                )
                axis.fill_between(x, steps.min(), steps.max(), color=style.colour, alpha=0.13, lw=0)
        for axis, (_, title) in zip(line, PANELS, strict=True):
            axis.set(xlabel=over, title=title if len(size.pairs) == 1 else f"{title}, pair {name}")
        line[2].set_ylim(-3, 103)
        line[1].set_ylim(bottom=0)
        if pair.d_per_token is not None:
            line[1].set_ylim(top=max(line[1].get_ylim()[1], 1.15 * pair.d_per_token))
            fold(line[1], "y", pair.d_per_token)
            mark_level(line[1], pair.d_per_token)
    return drawn


def by_seed(size: Collected, row: Row) -> pd.DataFrame:
    """Means over the validation responses per (seed, step): reward, mean KL, satisfied %, and how many responses."""
    pair = size.pairs[row.pair]
    seed_of = {run.run: run.seed for run in row.finished}
    own = size.curves[size.curves["run"].isin(seed_of.keys())]
    inside = within(own[f"kl_{pair.reading}"].to_numpy(), pair.threshold.d)
    own = own.assign(seed=own["run"].map(seed_of), satisfied=100.0 * inside)
    means = own.groupby(["seed", "step"])[["reward", "kl_mean", "satisfied"]].mean()
    return means.assign(responses=own.groupby(["seed", "step"]).size()).reset_index()


def _caption(size: Collected, seeds: set[int], responses: set[int]) -> str:
    if not seeds:
        return f"No training curve was recorded. {setting(size)}"
    what = (
        "Means over fixed validation prompts, one sampled response each, by the training monitor; satisfied: the "
        f"response's KL, in the pair's reading, is at most d. {about_d(size)}Line: mean over seeds; band: lowest to "
        "highest seed. "
        f"n = {counts(responses)} responses per point; {several(counts(seeds))}."
    )
    return caption(size, what, ())
