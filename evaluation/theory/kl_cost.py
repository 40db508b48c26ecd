"""Certified solutions for the policy-dependent cost C_pi(s) = KL(pi(.|s) || mu(.|s)) (arXiv 2509.22921).

A step costs the same whichever token is sampled, so all children of s inherit one remaining budget. The
constrained problem is therefore a recursion over (s, spent) whose *action is the whole distribution* pi(.|s):

    W(s, x) = max_{0 <= k <= cap - x}  g( W(s., x + k), k ),     g(v, k) = max { <pi, v> : KL(pi || mu) <= k }

(<= instead of = is allowed since W does not increase in x). The inner problem is convex with solution
pi ~ mu exp(v theta) and dual bound g(v, k) <= min_theta ( k + log <mu, exp(v theta)> ) / theta, for any
theta > 0. With ``levels`` steps h of the budget:

- lower bound: spend multiples of h only; the maximiser is an actual policy, evaluated by enumeration;
- upper bound: a step that costs k in [i h, (i+1) h) is charged i h but allowed (i+1) h, with the dual bound
  for g.

The true value lies between the two. Violating is an option at every (s, spent), worth -n.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.theory.problem import Array, Outcome, Policy, Problem, evaluate

BISECTIONS = 34
Levels = NDArray[np.int_]  # numbers of budget steps h


@dataclass(frozen=True, eq=False)
class Bracket:
    """Bounds lower <= V <= upper, the policy that attains ``lower``, and its exact outcome."""

    lower: float
    upper: float
    policy: Policy
    outcome: Outcome


def tilt(values: Array, teacher: Array, theta: Array) -> tuple[Array, Array, Array]:
    """pi ~ mu exp(theta v), rows of (N, k) values, theta (N,): pi, KL(pi || mu), log <mu, exp(theta v)>."""
    scores = values * theta[:, None]
    top = scores.max(1, keepdims=True)
    weights = teacher * np.exp(scores - top)
    total = weights.sum(1, keepdims=True)
    policy = weights / total
    log_mean = (np.log(total) + top)[:, 0]
    return policy, np.maximum((policy * scores).sum(1) - log_mean, 0.0), log_mean


def best_in_ball(values: Array, teacher: Array, radius: NDArray[np.floating]) -> tuple[Array, Array]:
    """g(v, k) for N rows: distributions (N, k) with KL <= radius (primal), and an upper bound (N,) (dual).

    The tilt theta is bisected on a logarithmic scale; the primal uses its feasible end,
    the dual the other.
    """
    base, spread = values.min(1), np.ptp(values, axis=1)
    flat = spread < 1e-14
    unit = (values - base[:, None]) / np.where(flat, 1.0, spread)[:, None]
    low, high = np.full(len(values), -9.0), np.full(len(values), 6.0)  # log10 of theta
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        inside = tilt(unit, teacher, 10.0**middle)[1] <= radius
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    policy, divergence, _ = tilt(unit, teacher, 10.0**low)
    policy = np.where((flat | (divergence > radius))[:, None], teacher, policy)
    theta = 10.0**high
    bound = np.minimum((radius + tilt(unit, teacher, theta)[2]) / theta, 1.0)
    return policy, base + np.where(flat, 0.0, spread * bound)


def _backup(
    children: tuple[Array, Array], teacher: Array, starts: Levels, cap: int, h: float, n: float
) -> tuple[Array, Array, Levels]:
    """One state: bounds and best spends (len(starts),) from the children's bounds (k, L + 1) by level.

    From level j every spend i with j + i <= cap is tried; to exceed the cap is worth -n (spend -1).
    """
    row, i = np.nonzero(starts[:, None] + np.arange(cap + 1) <= cap)
    below, above = (bound[:, starts[row] + i].T for bound in children)
    worth, limit = (np.full((len(starts), cap + 1), -np.inf) for _ in range(2))
    worth[row, i] = (best_in_ball(below, teacher, i * h)[0] * below).sum(1)
    limit[row, i] = best_in_ball(above, teacher, (i + 1) * h)[1]
    spend = np.where(worth.max(1) >= -n, worth.argmax(1), -1)
    return np.maximum(worth.max(1), -n), np.maximum(limit.max(1), -n), spend


def solve(problem: Problem, levels: int, n: float = np.inf) -> Bracket:
    """Bracket the optimum of the augmented problem with penalty n (``inf``: the constrained problem).

    ``levels`` must be a multiple of the horizon, so that every cap of the prefix reading is a level.
    """
    k, depth = problem.tokens, problem.horizon
    if levels % depth:
        raise ValueError(f"levels must be a multiple of the horizon {depth}, got {levels}")
    h = problem.caps[-1] / levels
    caps = np.rint(problem.caps / h).astype(int)
    low = [np.repeat(problem.reward[:, None], levels + 1, axis=1)]
    high, spends = [low[0]], []
    for t in reversed(range(depth)):
        starts = np.arange(levels + 1) if t else np.zeros(1, dtype=np.int_)
        rows = [
            _leaf_backup(problem, i, h, levels, n)
            if t == depth - 1
            else _backup(
                (low[-1][i * k : (i + 1) * k], high[-1][i * k : (i + 1) * k]),
                problem.teacher[t][i : i + 1],
                starts,
                int(caps[t + 1]),
                h,
                n,
            )
            for i in range(k**t)
        ]
        low.append(np.stack([r[0] for r in rows]))
        high.append(np.stack([r[1] for r in rows]))
        spends.append(np.stack([r[2] for r in rows]))
    policy = _unroll(problem, low[::-1], spends[::-1], h, levels)
    return Bracket(float(low[-1][0, 0]), float(high[-1][0, 0]), policy, evaluate(problem, policy))


def _leaf_backup(problem: Problem, state: int, h: float, cap: int, n: float) -> tuple[Array, Array, Levels]:
    """Last step: all that is left of the budget is spent at once, so one evaluation per level suffices."""
    k, left = problem.tokens, cap - np.arange(cap + 1)
    values = np.repeat(problem.reward[None, state * k : (state + 1) * k], cap + 1, axis=0)
    teacher = problem.teacher[-1][state : state + 1]
    policies, bound = best_in_ball(values, teacher, left * h)
    return np.maximum((policies * values).sum(1), -n), np.maximum(bound, -n), left


def _unroll(problem: Problem, low: list[Array], spends: list[Levels], h: float, levels: int) -> Policy:
    """Policy of the prefix alone: on its own trajectories z is a function of the prefix, so put it in."""
    k, steps = problem.tokens, []
    level = np.zeros(1, dtype=int)
    for t, mu in enumerate(problem.teacher):
        spend = spends[t][np.arange(len(mu)), np.minimum(level, spends[t].shape[1] - 1)]
        after = np.minimum(level + np.maximum(spend, 0), levels)
        values = np.stack([low[t + 1][i * k : (i + 1) * k, after[i]] for i in range(len(mu))])
        steps.append(best_in_ball(values, mu, np.maximum(spend, 0) * h)[0])
        level = np.repeat(after, k)
    return tuple(steps)
