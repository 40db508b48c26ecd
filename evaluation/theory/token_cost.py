"""Exact solutions for a fixed cost c(s, a) = -log mu(a|s) (arXiv 2610.00332; any fixed cost behaves alike).

With a fixed cost the set F of feasible trajectories does not depend on the policy, so all problems are
linear in the distribution over trajectories (a flow through the prefix tree) and a deterministic policy is
optimal:

    constrained            V_c   = max_{y in F} R(y)                       (-inf if F is empty)
    modified reward, any n V*_n  = max( V_c, -n )                          (already V_c for every n >= 0)
    fixed lambda           argmax_y R(y) - lambda c(y): vertices of the upper concave hull of {(c(y), R(y))}

The linear programme (HiGHS) and the recursion over (s, z) are two independent routes to the same numbers.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import lil_matrix

from evaluation.theory.problem import Array, Problem, feasible, trajectory_costs


def penalised_reward(problem: Problem, n: float) -> Array:
    """(k**T,): the modified reward, R where the constraint holds and -n elsewhere."""
    return np.where(feasible(problem, problem.teacher), problem.reward, -n)


def flow_programme(problem: Problem, leaf_values: Array, allowed: Array) -> tuple[float, Array]:
    """Maximise the expected leaf value over all policies: a linear programme over flows on the tree.

    ``leaf_values``: (k**T,); ``allowed``: (k**T,) of 0/1, 0 forbids a trajectory. Returns the optimal value
    and the trajectory distribution (k**T,); (-inf, zeros) when no policy avoids the forbidden trajectories.
    """
    k, depth = problem.tokens, problem.horizon
    starts = np.cumsum([0] + [k**t for t in range(depth + 1)])
    conservation = lil_matrix((starts[depth] + 1, starts[-1]))
    for t in range(depth):
        for i in range(k**t):
            conservation[starts[t] + i, starts[t] + i] = -1.0
            conservation[starts[t] + i, starts[t + 1] + i * k + np.arange(k)] = 1.0
    conservation[starts[depth], 0] = 1.0  # the root carries probability one
    demand = np.zeros(starts[depth] + 1)
    demand[-1] = 1.0
    objective = np.concatenate([np.zeros(starts[depth]), -leaf_values])
    upper = np.concatenate([np.ones(starts[depth]), allowed])
    bounds = np.stack([np.zeros_like(upper), upper], axis=1)
    found = linprog(objective, A_eq=conservation.tocsr(), b_eq=demand, bounds=bounds, method="highs")
    if found.status != 0:
        return -np.inf, np.zeros(k**depth)
    return float(-found.fun), found.x[starts[depth] :]


def constrained_value(problem: Problem) -> float:
    """Largest E[R] over policies that are feasible almost surely, by linear programming."""
    return flow_programme(problem, problem.reward, feasible(problem, problem.teacher).astype(float))[0]


def unaugmented_value(problem: Problem, n: float) -> float:
    """V*_n with policies of the prefix alone: linear programme with the modified reward at the leaves."""
    return flow_programme(problem, penalised_reward(problem, n), np.ones(problem.reward.size))[0]


def augmented_value(problem: Problem, n: float) -> float:
    """V*_n of the Sauté problem: recursion over (s, z), z being what is left of the budget.

    The recursion tracks z itself and never looks at the feasible set: a step to z < 0 yields -n for good.
    """

    def best(t: int, state: int, spent: float) -> float:
        if t > 0 and spent > problem.caps[t] + 1e-12:
            return -n
        if t == problem.horizon:
            return float(problem.reward[state])
        costs = -np.log(problem.teacher[t][state])
        return max(best(t + 1, state * problem.tokens + a, spent + c) for a, c in enumerate(costs))

    return best(0, 0, 0.0)


def largest_violation(problem: Problem, n: float) -> float:
    """Largest violation probability among all optimal policies of V*_n (1 if some optimum is infeasible)."""
    values = penalised_reward(problem, n)
    optimal = values >= values.max() - 1e-12
    return float((optimal & ~feasible(problem, problem.teacher)).any())


def relaxed_trajectories(problem: Problem, weight: float) -> NDArray[np.intp]:
    """Indices (m,) of all m trajectories that maximise R(y) - weight * cost(y), cost in the unit of d (nats)."""
    values = problem.reward - weight * trajectory_costs(problem, problem.teacher)
    return np.flatnonzero(values >= values.max() - 1e-12)


def weights_reaching(problem: Problem, trajectory: int) -> tuple[float, float]:
    """Interval [low, high] of the lambda >= 0 for which ``trajectory`` is optimal; empty when low > high.

    Exact: lambda >= (R' - R) / (c' - c) against a dearer y', <= (R - R') / (c - c') against a cheaper one.
    """
    costs = trajectory_costs(problem, problem.teacher)
    gain, extra = problem.reward - problem.reward[trajectory], costs - costs[trajectory]
    if (gain[np.abs(extra) < 1e-12] > 0).any():
        return np.inf, -np.inf
    dearer, cheaper = extra > 1e-12, extra < -1e-12
    low = max(0.0, (gain[dearer] / extra[dearer]).max(initial=0.0))
    return float(low), float((gain[cheaper] / extra[cheaper]).min(initial=np.inf))
