"""Reward, KL and constraint satisfaction over training, on fixed validation prompts."""

from __future__ import annotations

import pandas as pd

from evaluation.captions import setting
from evaluation.collected import Collected, Row, counts
from evaluation.figures.style import Drawn, finish, fold, grid, looks, mark_level

TITLE = "Training curves"
PANELS = (("reward", "reward (share correct)"), ("kl", "mean KL per token (nats)"), ("satisfied", "satisfied %"))


def draw(size: Collected) -> Drawn:
    """A row of three panels per pair: mean over seeds, band from the lowest to the highest seed."""
    figure, axes = grid(size, len(PANELS), sharey=False)
    seeds, responses, labels = set(), set(), set()
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        rows = size.rows(name, "method")
        look = looks(rows)
        for row in rows:
            curves = by_seed(size, row)
            if curves.empty:
                continue
            seeds.add(curves["seed"].nunique())
            responses |= set(curves["responses"])
            labels.add(row.label)
            for axis, (key, _) in zip(line, PANELS, strict=True):
                steps = curves.groupby("step")[key]
                style = look[row.label]
                axis.plot(steps.mean(), color=style.colour, linestyle=style.line, linewidth=1.6, label=row.label)
                axis.fill_between(steps.mean().index, steps.min(), steps.max(), color=style.colour, alpha=0.13, lw=0)
        for axis, (_, title) in zip(line, PANELS, strict=True):
            axis.set(xlabel="step", title=title if len(size.pairs) == 1 else f"{title}, pair {name}")
        line[1].set_ylim(0, max(line[1].get_ylim()[1], 1.15 * pair.threshold.d))
        line[2].set_ylim(-3, 103)
        fold(line[1], "y", pair.threshold.d)
        mark_level(line[1], pair.threshold.d)
    text = _caption(size, seeds, responses)
    return Drawn("curves", TITLE, text, finish(figure, axes, TITLE, text, len(labels)))


def by_seed(size: Collected, row: Row) -> pd.DataFrame:
    """Means over the validation responses per (seed, step): reward, kl, satisfied %, and how many responses."""
    pair = size.pairs[row.pair]
    kl = "kl" if pair.reading == "mean" else f"kl_{pair.reading}"
    seed_of = {run.run: run.seed for run in row.finished}
    own = size.curves[size.curves["run"].isin(seed_of.keys())]
    own = own.assign(seed=own["run"].map(seed_of), satisfied=100.0 * (own[kl] <= pair.threshold.d))
    means = own.groupby(["seed", "step"])[["reward", "kl", "satisfied"]].mean()
    return means.assign(responses=own.groupby(["seed", "step"]).size()).reset_index()


def _caption(size: Collected, seeds: set[int], responses: set[int]) -> str:
    if not seeds:
        return f"No training curve was recorded. {setting(size)}"
    note = f" Note: {size.note.rstrip('.')}." if size.note else ""
    return (
        "Means over fixed validation prompts, one sampled response each, by the training monitor; satisfied: the "
        "response's KL, in the pair's reading, is at most d (dashed). Line: mean over seeds; band: lowest to "
        "highest seed. The KL axis is linear to 2 d and logarithmic beyond where values lie far out. "
        f"n = {counts(responses)} responses per point; seeds: {counts(seeds)}. {setting(size)}{note}"
    )
