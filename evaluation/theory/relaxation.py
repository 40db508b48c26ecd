"""The fixed-lambda relaxation for KL cost: maximise E[R] - lambda E[cost], in closed form.

On a tree the expected total KL is the KL of the trajectory distributions (chain rule), so the maximiser is

    p_lambda(y) ~ mu(y) exp( R(y) / w ),     w = lambda / T for the mean per token, w = lambda for the sum,

and E[R] and the expected cost do not increase in lambda. It is the optimum of the problem whose *expected*
cost is bounded (a convex programme, strong duality); nothing ties the cost of single trajectories to one
value. The prefix reading is penalised by the mean per token as well (a maximum is not a sum of costs).
"""

import numpy as np
from scipy.optimize import brentq

from evaluation.theory.problem import (
    Policy,
    Problem,
    cumulative_costs,
    evaluate,
    trajectory_probabilities,
)

RANGE = (1e-3, 1e3)  # lambdas searched
POINTS = 1500  # of the grid


def relaxed_policy(problem: Problem, weight: float) -> Policy:
    """Unique optimum of E[R] - weight * E[cost] for weight > 0 (soft backward recursion, log-space)."""
    scale = weight if problem.reading == "sum" else weight / problem.horizon
    soft = problem.reward / scale
    steps = []
    for mu in reversed(problem.teacher):
        scores = np.log(mu) + soft.reshape(mu.shape)
        soft = np.logaddexp.reduce(scores, axis=1)
        steps.append(np.exp(scores - soft[:, None]))
    return tuple(steps[::-1])


def smallest_feasible_weight(problem: Problem) -> float:
    """Smallest lambda whose optimum satisfies the constraint on every trajectory.

    Found on a logarithmic grid over RANGE and refined by root finding; since E[R] falls with lambda, this is
    also the best feasible lambda. Raises ValueError when no lambda in RANGE is feasible.
    """

    def excess(log_weight: float) -> float:
        return evaluate(problem, relaxed_policy(problem, 10.0**log_weight)).worst_cost - problem.d

    grid = np.linspace(np.log10(RANGE[0]), np.log10(RANGE[1]), POINTS)
    fits = np.array([excess(x) <= 0 for x in grid])
    if not fits.any():
        raise ValueError(f"problem {problem.name}: no lambda up to {RANGE[1]} is feasible")
    first = int(fits.argmax())
    if first == 0:
        return RANGE[0]
    root = brentq(excess, grid[first - 1], grid[first], xtol=1e-13)
    return float(10.0 ** (root if excess(root) <= 0 else root + 1e-12))


def weight_for_reward(problem: Problem, target: float) -> float:
    """The lambda at which the relaxation's E[R] equals ``target``; every larger lambda earns less."""

    def surplus(log_weight: float) -> float:
        return evaluate(problem, relaxed_policy(problem, 10.0**log_weight)).reward - target

    return float(10.0 ** brentq(surplus, np.log10(RANGE[0]), np.log10(RANGE[1]), xtol=1e-13))


def no_weight_is_optimal(problem: Problem, feasible_value: float) -> bool:
    """Proof (True) that no lambda solves the constrained problem, given an attained ``feasible_value`` of it.

    Let l earn exactly ``feasible_value``. Larger lambdas earn less; at l, and so at every smaller lambda,
    one last step alone exceeds the whole cap. False means not proved.
    """
    weight = weight_for_reward(problem, feasible_value)
    return dearest_last_step(problem, weight) > problem.caps[-1]


def dearest_last_step(problem: Problem, weight: float) -> float:
    """Largest cost of one *last* step under the relaxation, in nats, over all last states.

    It falls with lambda (a one-parameter tilt of mu), so when it exceeds the cap at some lambda every smaller
    lambda is infeasible too.
    """
    policy = relaxed_policy(problem, weight)
    spent = cumulative_costs(problem, policy)
    last = spent[-1] - np.repeat(spent[-2], problem.tokens)
    return float(last[trajectory_probabilities(policy) > 0].max())
