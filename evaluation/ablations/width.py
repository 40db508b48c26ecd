"""How wide the range of a setting is that works: a measure of how hard it is to tune.

A point i of the grid with constraint (reading_i, d_i), its own or for a method without one the pair's, works where

    it lands within d_i:   share of responses within d_i >= 95 %     ("most")   or   mean cost <= d_i   ("mean")
    and its FAC is high:   FAC_i >= max { FAC_j : j lands within d_i } - 2 points

with j of the method's own grid (how hard is it to tune?) or of every grid of the ablation (and is it worth it?),
so a weak threshold is compared with the best that the weak threshold allows. The range is the widest run of
neighbouring grid points that work; its width is log10(last / first), in decades. Nothing is interpolated, so one point
alone has width 0, and a range that ends inside the grid may reach up to the next point. The value 0 has no place on a
logarithmic axis: such a point can be the best, but not part of a range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.ablations.points import Axis, Point
from evaluation.bootstrap import bootstrap_interval
from evaluation.certify import TARGET
from evaluation.collected import Collected
from evaluation.measures import within
from evaluation.statistics import Array, Estimate

SLACK = 0.02
Rule = Literal["most", "mean"]
RULES: tuple[Rule, ...] = ("most", "mean")
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Width:
    """The working range of an axis (empty: none works), its grid, how many points of it work, how many lost runs,
    and the decades that the range spans."""

    range: tuple[Point, ...]
    grid: tuple[Point, ...]
    working: int
    lost: int
    decades: Estimate


def width(size: Collected, rivals: list[Axis], axis: Axis, test: str, rule: Rule) -> Width | None:
    """The range of `axis` that works, with a bootstrap interval over common seeds and prompts.

    `rivals` are the grids that it is compared with, itself among them. None where fewer than two points are numbers
    above 0 with all their runs, or no training seed is common to all such points. A point that lost runs ends a range.
    """
    points = [p for a in rivals for p in a.points if p.row.complete and p.within(size, p, test) is not None]
    grid = sorted((p for p in axis.points if p.value is not None and p.value > 0), key=lambda p: p.value or 0.0)
    own = [p for p in grid if p in points]
    seeds = sorted(set.intersection(*({run.seed for run in p.row.finished} for p in points))) if points else []
    if len(own) < 2 or not seeds:
        return None
    scores, levels = _scores(size, points, own, test, rule, seeds)
    at, known = [points.index(p) for p in own], np.array([p in own for p in grid])
    values = np.log10([p.value or 0.0 for p in grid])
    span = (0.0, float(values[-1] - values[0]))

    def works(means: Array) -> Truth:
        """Of each point of the grid in each draw; one that lost runs is not known to."""
        found = np.zeros((len(grid), means.shape[1]), dtype=np.bool_)
        found[known] = _works(means, levels, at)
        return found

    decades = bootstrap_interval(scores, lambda means: _decades(works(means), values), within=span)
    estimated = works(np.stack([np.mean(score) for score in scores])[:, None])[:, 0]
    first, last = _widest(estimated, values)
    return Width(tuple(grid[first:last]), tuple(grid), int(estimated.sum()), len(grid) - len(own), decades)


def _scores(
    size: Collected, points: list[Point], own: list[Point], test: str, rule: Rule, seeds: list[int]
) -> tuple[list[Array], Array]:  # fmt: skip
    """FAC of all points, then for each own point what all points land at under its constraint; and the levels to reach.

    Each score is (seeds, prompts, samples) over these seeds; levels (len(own),). Costs are negated, so that landing
    within is always `score >= level`.
    """

    def common(point: Point, metric: str) -> Array:
        by_seed = size.scores(point.row, test, metric)
        return np.stack([by_seed[seed] for seed in seeds])

    scores = [common(p, "correct") for p in points]
    for limit in own:
        costs = [common(p, f"kl_{limit.reading}") for p in points]
        scores += [within(cost, limit.d) if rule == "most" else -cost for cost in costs]
    levels = [TARGET if rule == "most" else -limit.d for limit in own]
    return scores, np.array(levels)


def _works(means: Array, levels: Array, at: list[int]) -> Truth:
    """Truth of each own point in each draw, (len(own), N), from means (points + own * points, N)."""
    many = len(means) // (len(at) + 1)
    fac, landed = means[:many], means[many:].reshape(len(at), many, -1) >= levels[:, None, None]
    best = np.where(landed, fac, -np.inf).max(axis=1)
    mine = landed[np.arange(len(at)), at]
    return np.asarray(mine & (fac[at] >= best - SLACK - 1e-9))


def _widest(works: Truth, values: Array) -> tuple[int, int]:
    """First and last + 1 of the run of neighbours that spans most; (0, 0) where none works."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], works.astype(int), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return max(runs, key=lambda run: values[run[1] - 1] - values[run[0]], default=(0, 0))


def _decades(works: Truth, values: Array) -> Array:
    """Width of the widest run in each draw; works (k, N), values (k,) ascending, in decades."""
    runs = [_widest(draw, values) for draw in works.T]
    return np.array([values[last - 1] - values[first] if last else 0.0 for first, last in runs])
