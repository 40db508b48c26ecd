"""Training curves at equal steps and at equal budget.

The budget of a step is the run's floating-point operations (student and teacher: generation, forward, backward) per
update, from `costs.parquet`. A policy counts at the last monitored step within the budget; the budget is the largest
that every trained run of the pair reached, the steps likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from evaluation import measures
from evaluation.collected import Collected, Row
from evaluation.paired import Difference
from evaluation.pairwise import meetings
from evaluation.significance import resolved_sentence
from evaluation.statistics import Array, Estimate, positive_interval, proportion_interval


@dataclass(frozen=True)
class Point:
    """A row on the monitor's prompts: the steps it had made (by seed) and what it reached."""

    steps: tuple[int, ...]
    reward: Estimate
    kl: Estimate
    satisfied: Estimate


@dataclass(frozen=True)
class Limits:
    """What every finished run of a pair reached: monitored steps, and operations."""

    steps: int
    flops: float


def flops_per_step(size: Collected) -> dict[str, float]:
    """Operations of one update by run id, for the runs whose cost and steps are known."""
    known = size.costs.dropna(subset=["flops", "steps"])
    known = known[(known["steps"] > 0) & (known["flops"] > 0)]
    return dict(zip(known["run"], known["flops"] / known["steps"], strict=True))


def limits(size: Collected, pair: str) -> Limits | None:
    """The common limits of a pair's trained rows; None where no run has both a curve and a cost."""
    per_step = flops_per_step(size)
    runs = {run.run for row in size.rows(pair, "method") for run in row.finished} & per_step.keys()
    last = size.curves[size.curves["run"].isin(runs)].groupby("run")["step"].max()
    if last.empty or last.max() == 0:
        return None
    return Limits(int(last.min()), min(float(step) * per_step[str(run)] for run, step in last.items()))


def at_steps(size: Collected, row: Row, steps: int) -> Point | None:
    """The row at the last monitored step that is at most `steps`."""
    return _point(size, row, {run.run: float(steps) for run in row.finished})


def at_budget(size: Collected, row: Row, flops: float) -> Point | None:
    """The row at the last monitored step within `flops` operations."""
    per_step = flops_per_step(size)
    return _point(size, row, {r.run: flops / per_step[r.run] + 1e-9 for r in row.finished if r.run in per_step})


def steps_resolution(size: Collected) -> str:
    """The smallest paired differences at equal steps that the monitor's prompts and the seeds can resolve."""
    found: dict[str, list[float]] = {}
    for pair in size.pairs:
        common = limits(size, pair)
        if common is None:
            continue
        for one, other in pairwise(row for row in size.rows(pair, "method") if row.complete):
            blocks = [[monitored(size, run.run, common.steps) for run in two] for _, *two in meetings(one, other)]
            both = [two for two in blocks if not any(block.empty for block in two)]
            for name, column, rate in (("reward", "reward", True), ("KL", "kl_mean", False)):
                if both:
                    mine, theirs = (_stacked(list(side), column) for side in zip(*both, strict=True))
                    found.setdefault(name, []).append(Difference(mine - theirs, rate).resolved())
    return resolved_sentence(found)


def monitored(size: Collected, run: str, most: float = np.inf) -> pd.DataFrame:
    """A run's responses at its last monitored step that is at most `most`, in one order; empty where there is none."""
    own = size.curves[(size.curves["run"] == run) & (size.curves["step"] <= most)]
    return own[own["step"] == own["step"].max()].sort_values("response")


def _point(size: Collected, row: Row, allowed: dict[str, float]) -> Point | None:
    """The row's runs, each at the last monitored step within what it is allowed."""
    pair = size.pairs[row.pair]
    found = (monitored(size, run, most) for run, most in sorted(allowed.items()))
    blocks = [block for block in found if not block.empty]
    if not blocks:
        return None
    steps = tuple(int(block["step"].iloc[0]) for block in blocks)
    inside = measures.within(_stacked(blocks, f"kl_{pair.reading}"), pair.threshold.d)
    reward, kl = _stacked(blocks, "reward"), _stacked(blocks, "kl_mean")
    return Point(steps, proportion_interval(reward), positive_interval(kl), proportion_interval(inside))


def _stacked(blocks: list[pd.DataFrame], column: str) -> Array:
    """(seeds, responses, 1): each validation response is of a prompt of its own."""
    return np.stack([block[column].to_numpy(dtype=np.float64)[:, None] for block in blocks])
