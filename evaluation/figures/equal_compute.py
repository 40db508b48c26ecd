"""Training curves over the operations spent, the common budget drawn in."""

from __future__ import annotations

from functools import partial

from evaluation.captions import caption, setting, several
from evaluation.collected import Collected, Row, counts
from evaluation.equal_compute import flops_per_step, limits
from evaluation.figures.curves import panels
from evaluation.figures.style import D_LINE, Drawn, about_d, captioned

TITLE = "Training curves at equal compute"


def draw(size: Collected) -> Drawn:
    """The panels of the training curves, over cumulative operations of student and teacher."""
    drawn = panels(size, "TFLOPs, student and teacher", partial(_per_step, size))
    for line, name in zip(drawn.axes, size.pairs, strict=True):
        common = limits(size, name)
        if common is not None:
            for axis in line:
                axis.axvline(common.flops / 1e12, **{**D_LINE, "linestyle": ":"})
    text = _caption(size, drawn.seeds, drawn.responses)
    return captioned(size, "equal_compute", TITLE, drawn.figure, drawn.axes, text, "method", entries=len(drawn.labels))


def _per_step(size: Collected, row: Row) -> float | None:
    """Operations per update in units of 1e12, mean over the row's seeds."""
    known = flops_per_step(size)
    found = [known[run.run] for run in row.finished if run.run in known]
    return sum(found) / len(found) / 1e12 if found else None


def _caption(size: Collected, seeds: set[int], responses: set[int]) -> str:
    if not seeds:
        return f"No training curve with a cost was recorded. {setting(size)}"
    what = (
        "The training curves over the operations spent (student and teacher, generation included). Dotted: the "
        f"largest budget that every run reached, where the methods are compared. {about_d(size)}Line: mean over seeds; "
        f"band: lowest to highest seed. n = {counts(responses)} responses per point; {several(counts(seeds))}."
    )
    return caption(size, what, ())
