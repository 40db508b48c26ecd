"""Training curves over the operations spent, the common budget drawn in."""

from __future__ import annotations

from evaluation.captions import setting
from evaluation.collected import Collected, Row, counts
from evaluation.equal_compute import flops_per_step, limits
from evaluation.figures.curves import PANELS, by_seed
from evaluation.figures.style import D_LINE, Drawn, finish, fold, grid, looks, mark_level

TITLE = "Training curves at equal compute"


def draw(size: Collected) -> Drawn:
    """The panels of the training curves, over cumulative operations of student and teacher."""
    figure, axes = grid(size, len(PANELS), sharey=False)
    seeds, responses, labels = set(), set(), set()
    for line, (name, pair) in zip(axes, size.pairs.items(), strict=True):
        rows = size.rows(name, "method")
        look = looks(rows)
        for row in rows:
            curves, per_step = by_seed(size, row), _per_step(size, row)
            if curves.empty or per_step is None:
                continue
            seeds.add(curves["seed"].nunique())
            responses |= set(curves["responses"])
            labels.add(row.label)
            style = look[row.label]
            for axis, (key, _) in zip(line, PANELS, strict=True):
                steps = curves.groupby("step")[key]
                x = steps.mean().index * per_step / 1e12
                axis.plot(x, steps.mean(), color=style.colour, linestyle=style.line, linewidth=1.6, label=row.label)
                axis.fill_between(x, steps.min(), steps.max(), color=style.colour, alpha=0.13, lw=0)
        common = limits(size, name)
        for axis, (_, title) in zip(line, PANELS, strict=True):
            axis.set(xlabel="TFLOPs, student and teacher", title=title if len(size.pairs) == 1 else f"{title}, {name}")
            if common is not None:
                axis.axvline(common.flops / 1e12, **{**D_LINE, "linestyle": ":"})
        line[1].set_ylim(0, max(line[1].get_ylim()[1], 1.15 * pair.threshold.d))
        line[2].set_ylim(-3, 103)
        fold(line[1], "y", pair.threshold.d)
        mark_level(line[1], pair.threshold.d)
    text = _caption(size, seeds, responses)
    return Drawn("equal_compute", TITLE, text, finish(figure, axes, TITLE, text, len(labels)))


def _per_step(size: Collected, row: Row) -> float | None:
    """Operations per update, mean over the row's seeds."""
    known = flops_per_step(size)
    found = [known[run.run] for run in row.finished if run.run in known]
    return sum(found) / len(found) if found else None


def _caption(size: Collected, seeds: set[int], responses: set[int]) -> str:
    if not seeds:
        return f"No training curve with a cost was recorded. {setting(size)}"
    note = f" Note: {size.note.rstrip('.')}." if size.note else ""
    return (
        "The training curves over the operations spent (student and teacher, generation included). Dotted: the "
        "largest budget that every run reached, where the methods are compared; dashed: d. Line: mean over seeds; "
        f"band: lowest to highest seed. n = {counts(responses)} responses per point; seeds: {counts(seeds)}. "
        f"{setting(size)}{note}"
    )
