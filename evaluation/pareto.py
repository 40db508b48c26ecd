"""Reward against divergence: which rows nothing dominates, and how much of the plane a method's settings cover.

A point is (KL, FAC): small KL and large FAC are better. The hypervolume of a set of points is the share of the box
KL in [0, 2 d] x FAC in [0, 1] that is dominated by at least one of them (Zitzler and Thiele, 1999): 100 % is a policy
that is always right and equals its teacher.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation import measures
from evaluation.bootstrap import bootstrap_interval
from evaluation.collected import Collected, Row
from evaluation.statistics import Array, Estimate

BOX = 2.0  # times d: where the box ends on the KL axis


def point_of(size: Collected, row: Row, test: str) -> tuple[Estimate, Estimate] | None:
    """KL and FAC of a row with their intervals, None where one is undefined."""
    kl, fac = measures.divergence(size, row, test), measures.fac(size, row, test)
    return (kl, fac) if kl and fac else None


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (KL, FAC) points that no other dominates, by rising KL; equal points are all kept."""

    def dominated(kl: float, fac: float) -> bool:
        return any(k <= kl and f >= fac and (k < kl or f > fac) for k, f in points)

    kept = [i for i, point in enumerate(points) if not dominated(*point)]
    return sorted(kept, key=lambda i: points[i])


def hypervolume(kl: Array, fac: Array, right: float) -> Array:
    """Share of the box [0, right] x [0, 1] that M points dominate, for N sets at once; kl and fac (M, N)."""
    kl = np.clip(kl, 0.0, right)
    order = np.argsort(kl, axis=0)
    kl, fac = np.take_along_axis(kl, order, 0), np.take_along_axis(fac, order, 0)
    best = np.maximum.accumulate(fac, axis=0)
    edges = np.concatenate([kl, np.full((1, kl.shape[1]), right)])
    return np.asarray((best * np.diff(edges, axis=0)).sum(axis=0) / right)


def covered(size: Collected, rows: Sequence[Row], test: str) -> Estimate | None:
    """Hypervolume of the rows of one method (its settings), bootstrapped over their common seeds and the prompts.

    None where that is not defined: no common seed, or a d of another reading than the mean KL of the box.
    """
    kl = [size.scores(row, test, "kl_mean") for row in rows]
    fac = [size.scores(row, test, "correct") for row in rows]
    seeds = sorted(set.intersection(*(set(scores) for scores in (*kl, *fac)))) if rows else []
    d = size.pairs[rows[0].pair].d_per_token if rows else None
    if not seeds or d is None:
        return None
    many, right = len(rows), BOX * d
    scores = [np.stack([by_seed[seed] for seed in seeds]) for by_seed in (*kl, *fac)]
    return bootstrap_interval(scores, lambda means: hypervolume(means[:many], means[many:], right), within=(0.0, 1.0))
