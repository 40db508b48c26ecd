"""The un-augmented problem with KL cost, searched over policies of the prefix alone (no budget in the state).

The modified reward jumps where a trajectory becomes infeasible, so the search fixes which prefixes must stay
within their caps (a pattern), solves the smooth rest, and takes the best over all patterns:

    max_pi  sum_{y kept} pi(y) R(y) - n (1 - pi(kept))   subject to   S_t(y) <= cap_t for all kept y.

Each is non-convex in pi; it is solved by SLSQP with exact gradients from several starts, and the result is
re-evaluated by enumeration. The value is therefore attained by an actual policy, i.e. a *lower* bound (best
found); that nothing better exists is certified by the upper bound of ``kl_cost.solve``.
"""

from itertools import product

import numpy as np
from scipy.optimize import minimize

from evaluation.theory.problem import TOLERANCE, Array, Mask, Policy, Problem, evaluate

FLOOR = 1e-12  # smallest probability during the search, so that logarithms stay finite
STARTS = 3  # starting points of each climb


class _Tree:
    """Index arrays of a problem's prefix tree for a flat policy vector x of length E = sum_t k**(t+1)."""

    def __init__(self, problem: Problem) -> None:
        k, depth = problem.tokens, problem.horizon
        starts = np.cumsum([0] + [k**t for t in range(depth)])
        leaves = np.arange(k**depth)
        prefixes = np.stack([leaves // k ** (depth - t) for t in range(depth + 1)], axis=1)
        self.tokens = k
        self.states = starts[:-1] + prefixes[:, :-1]  # (k**T, T): state visited at each step
        self.edges = (starts[:-1] + prefixes[:, :-1]) * k + prefixes[:, 1:] % k
        self.teacher = np.concatenate([mu.reshape(-1) for mu in problem.teacher])

    def kl(self, x: Array) -> tuple[Array, Array]:
        """KL per state (S,) and its derivative by x (E,)."""
        log_ratio = np.log(x / self.teacher)
        return (x * log_ratio).reshape(-1, self.tokens).sum(1), log_ratio + 1.0

    def split(self, x: Array) -> Policy:
        """Flat vector (E,) -> Policy, rows renormalised."""
        rows = x.reshape(-1, self.tokens)
        rows = rows / rows.sum(1, keepdims=True)
        sizes = [len(np.unique(column)) for column in self.states.T]
        return tuple(np.split(rows, np.cumsum(sizes)[:-1]))


def _constraints(problem: Problem, tree: _Tree, kept: Mask) -> tuple[Array, Array]:
    """Distinct constraints of the kept trajectories: (C, S) which states add up, and their caps (C,)."""
    times = range(1, problem.horizon + 1) if problem.reading == "prefix" else [problem.horizon]
    rows = {}
    for t in times:
        for path in tree.states[kept][:, :t]:
            rows[tuple(path)] = problem.caps[t]
    matrix = np.zeros((len(rows), len(tree.teacher) // tree.tokens))
    for row, path in enumerate(rows):
        matrix[row, list(path)] = 1.0
    return matrix, np.array(list(rows.values()))


def _climb(problem: Problem, tree: _Tree, kept: Mask, worth: Array, start: Array) -> Array:
    """One SLSQP run from ``start``: maximise sum_y pi(y) worth(y) within the kept trajectories' caps."""
    matrix, caps = _constraints(problem, tree, kept)
    one_each = np.kron(np.eye(len(start) // tree.tokens), np.ones(tree.tokens))

    def loss(x: Array) -> tuple[float, Array]:
        chosen = x[tree.edges]
        gains = chosen.prod(1) * worth
        slope: Array = np.bincount(tree.edges.ravel(), (gains[:, None] / chosen).ravel(), len(x)).astype(float)
        return -float(gains.sum()), -slope

    def room_slope(x: Array) -> Array:
        return -np.repeat(matrix, tree.tokens, axis=1) * tree.kl(x)[1]

    rules = [{"type": "eq", "fun": lambda x: one_each @ x - 1.0, "jac": lambda x: one_each}]
    if len(caps):
        rules.append({"type": "ineq", "fun": lambda x: caps - matrix @ tree.kl(x)[0], "jac": room_slope})
    found = minimize(
        loss,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(FLOOR, 1.0)] * len(start),
        constraints=rules,
        options={"maxiter": 300, "ftol": 1e-13},
    )
    return np.clip(found.x, FLOOR, 1.0)


def _patterns(problem: Problem) -> list[Mask]:
    """Every set of last states whose trajectories are to be kept, as masks over trajectories."""
    last = problem.tokens ** (problem.horizon - 1)
    return [np.repeat(np.array(bits, dtype=bool), problem.tokens) for bits in product([True, False], repeat=last)]


def unaugmented_search(problem: Problem, penalties: list[float]) -> dict[float, tuple[float, Policy]]:
    """Best value and policy found for every penalty n, over all patterns and ``STARTS`` starting points.

    All policies found for any n compete for every n, so that one missed optimum is not repeated.
    """
    tree, rng = _Tree(problem), np.random.default_rng(0)
    rows = len(tree.teacher) // tree.tokens
    found: list[Policy] = []
    for kept in _patterns(problem):
        for n in penalties if not kept.all() else penalties[:1]:
            worth = np.where(kept, problem.reward, -n)
            for attempt in range(STARTS):
                noise = rng.dirichlet(np.ones(tree.tokens), size=rows).reshape(-1)
                mix = 0.0 if attempt == 0 else rng.uniform(0.1, 0.9)
                x = _climb(problem, tree, kept, worth, (1 - mix) * tree.teacher + mix * noise)
                found.append(_pull_in(problem, tree.split(x)))
    outcomes = [evaluate(problem, policy) for policy in found]
    best = {n: int(np.argmax([o.objective(n) for o in outcomes])) for n in penalties}
    return {n: (outcomes[i].objective(n), found[i]) for n, i in best.items()}


def _pull_in(problem: Problem, policy: Policy) -> Policy:
    """Undo solver round-off: mix in just enough teacher (cost 0) that no trajectory exceeds its cap."""
    excess = evaluate(problem, policy).worst_cost - problem.d
    if not TOLERANCE / 10 < excess < 1e-4:
        return policy
    share = min(1.0, 2 * excess / problem.d)
    return tuple((1 - share) * pi + share * mu for pi, mu in zip(policy, problem.teacher, strict=True))
