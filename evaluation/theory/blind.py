"""A student of limited capacity: blind to the prefix, it plays token 0 with one probability p throughout.

A closed policy class smaller than all functions of the prefix, the situation of any finite network. Exact:
with two tokens the probability of a trajectory is p^(T-m) (1-p)^m (m = how often token 1 occurs), and each
trajectory is feasible on one interval of p (its cost is convex in p for ``kl`` and constant for ``token``).
Between the interval ends the value is a polynomial, maximised at its stationary points and at the ends.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial
from scipy.optimize import brentq, minimize_scalar

from evaluation.theory.problem import (
    Array,
    Policy,
    Problem,
    cumulative_costs,
    evaluate,
)


@dataclass(frozen=True)
class BlindOptimum:
    """Best p for one penalty, its value V*_n within the blind class, and its violation probability."""

    p: float
    value: float
    violation: float


def blind_policy(problem: Problem, p: float) -> Policy:
    """The policy that plays token 0 with probability p after every prefix."""
    return tuple(np.tile([p, 1.0 - p], (len(mu), 1)) for mu in problem.teacher)


def feasible_intervals(problem: Problem) -> Array:
    """(2**T, 2): the p in [low, high] for which each trajectory is feasible; low > high means none."""
    if problem.tokens != 2:
        raise ValueError(f"the blind student needs two tokens, problem {problem.name} has {problem.tokens}")
    intervals = np.tile([0.0, 1.0], (2**problem.horizon, 1))
    for t in range(1, problem.horizon + 1):
        for state in range(2**t):
            low, high = _interval(problem, t, state)
            leaves = slice(state * 2 ** (problem.horizon - t), (state + 1) * 2 ** (problem.horizon - t))
            intervals[leaves, 0] = np.maximum(intervals[leaves, 0], low)
            intervals[leaves, 1] = np.minimum(intervals[leaves, 1], high)
    return intervals


def _interval(problem: Problem, t: int, state: int) -> tuple[float, float]:
    """The p for which the cost of one prefix of t tokens stays within its cap (convex in p: one interval)."""

    def excess(p: float) -> float:
        return float(cumulative_costs(problem, blind_policy(problem, p))[t][state] - problem.caps[t])

    if problem.cost == "token":
        return (0.0, 1.0) if excess(0.5) <= 1e-12 else (1.0, 0.0)
    middle = float(minimize_scalar(excess, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-13}).x)
    if excess(middle) > 0:
        return 1.0, 0.0
    low = 0.0 if excess(0.0) <= 0 else float(brentq(excess, 0.0, middle, xtol=1e-14))
    high = 1.0 if excess(1.0) <= 0 else float(brentq(excess, middle, 1.0, xtol=1e-14))
    return low, high


def _leaf_polynomials(horizon: int) -> list[Polynomial]:
    """Probability of each trajectory as a polynomial in p."""
    ones = [bin(y).count("1") for y in range(2**horizon)]
    return [Polynomial([0, 1]) ** (horizon - m) * Polynomial([1, -1]) ** m for m in ones]


def _best_on(value: Polynomial, low: float, high: float) -> float:
    """Maximiser of a polynomial on [low, high]."""
    roots = np.asarray(value.deriv().roots() if value.degree() > 0 else [], dtype=complex)
    real = roots.real[np.abs(roots.imag) < 1e-9]
    points = np.array([low, high, *real[(real > low) & (real < high)]])
    return float(points[value(points).argmax()])


def blind_optimum(problem: Problem, n: float) -> BlindOptimum:
    """Exact V*_n within the blind class (to root-finding precision), with its p and violation probability."""
    intervals, leaves = feasible_intervals(problem), _leaf_polynomials(problem.horizon)
    cuts = np.unique(np.clip([0.0, 1.0, *intervals.reshape(-1)], 0, 1))
    candidates = [float(p) for p in cuts]
    for low, high in pairwise(cuts):
        inside = (intervals[:, 0] <= (low + high) / 2) & ((low + high) / 2 <= intervals[:, 1])
        worth = np.where(inside, problem.reward, -n)
        total = sum((w * leaf for w, leaf in zip(worth, leaves, strict=True)), Polynomial([0.0]))
        candidates.append(_best_on(total, low, high))
    outcomes = [(evaluate(problem, blind_policy(problem, p)), p) for p in candidates]
    outcome, p = max(outcomes, key=lambda pair: pair[0].objective(n))
    return BlindOptimum(p, outcome.objective(n), outcome.violation)


def blind_constrained_value(problem: Problem) -> float:
    """Largest E[R] of a blind policy all of whose trajectories are feasible; -inf when there is none."""
    intervals, leaves = feasible_intervals(problem), _leaf_polynomials(problem.horizon)
    low, high = intervals[:, 0].max(), intervals[:, 1].min()
    expected = sum((r * leaf for r, leaf in zip(problem.reward, leaves, strict=True)), Polynomial([0.0]))
    candidates = [0.0, 1.0] + ([_best_on(expected, low, high)] if low <= high else [])
    outcomes = [evaluate(problem, blind_policy(problem, p)) for p in candidates]
    return max((o.reward for o in outcomes if o.violation == 0.0), default=-np.inf)
