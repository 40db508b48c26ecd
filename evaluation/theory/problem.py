"""Small token-generation problems in which every trajectory can be enumerated.

Source of the setting: arXiv 2509.22921, section 1 of its problem statement (state = prefix, action = next
token, deterministic transition by appending, reward at the end). A problem is a tree: the states of depth t
are the ``k**t`` prefixes of t tokens, numbered in base k with the first token most significant, so that the
child of state i by token a is ``i * k + a``. Everything below is a reshape of that numbering.

Two costs of a step:

- ``kl``     C_pi(s)  = KL(pi(.|s) || mu(.|s))   depends on the policy, not on the sampled token (2509.22921)
- ``token``  c(s, a)  = -log mu(a|s)             fixed, does not depend on the policy           (2610.00332)

Three readings of "the divergence of the trajectory stays below d". With S_t the cost of the first t steps
each is ``S_t <= cap_t`` for all t: ``mean`` cap_t = T d, ``sum`` cap_t = d, ``prefix`` cap_t = t d (costs are
non-negative, so for the first two only t = T binds). The length is fixed at T, hence ``sum`` with T d is the
same constraint as ``mean`` with d.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.columns import Reading

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Policy = tuple[Array, ...]  # Policy[t] has shape (k**t, k): one distribution per prefix of t tokens

TOLERANCE = 1e-7  # nats by which a trajectory may exceed its cap and still count as feasible (solver round-off)


@dataclass(frozen=True, eq=False)
class Problem:
    """A teacher mu > 0 on a tree, a reward in [0, 1] per complete trajectory, and a threshold d in nats.

    ``teacher[t]``: (k**t, k); ``reward``: (k**T,). Raises ValueError when shapes or ranges do not fit.
    """

    name: str
    cost: Literal["kl", "token"]
    teacher: Policy
    reward: Array
    d: float
    reading: Reading = "mean"

    def __post_init__(self) -> None:
        k = self.tokens
        if any(step.shape != (k**t, k) for t, step in enumerate(self.teacher)):
            raise ValueError(f"problem {self.name}: teacher[t] must have shape (k**t, k) with k = {k}")
        if any(step.min() <= 0 or not np.allclose(step.sum(1), 1) for step in self.teacher):
            raise ValueError(f"problem {self.name}: the teacher's rows must be positive and sum to 1")
        if self.reward.shape != (k**self.horizon,) or self.reward.min() < 0 or self.reward.max() > 1:
            raise ValueError(f"problem {self.name}: reward must be {k**self.horizon} values within [0, 1]")
        if self.d <= 0:
            raise ValueError(f"problem {self.name}: d must be positive, got {self.d}")

    @property
    def tokens(self) -> int:
        """Size k of the alphabet."""
        return int(self.teacher[0].shape[1])

    @property
    def horizon(self) -> int:
        """Number T of tokens in every trajectory."""
        return len(self.teacher)

    @property
    def caps(self) -> Array:
        """(T + 1,): largest admissible cost of the first t steps, in nats."""
        steps = np.arange(self.horizon + 1.0)
        per_reading = {"mean": np.full_like(steps, self.horizon), "sum": np.ones_like(steps), "prefix": steps}
        return self.d * per_reading[self.reading]


@dataclass(frozen=True)
class Outcome:
    """Exact expectations under one policy; costs in the unit of d (mean per token, sum, or worst prefix)."""

    reward: float  # E[R]
    kept: float  # E[R 1{feasible}]
    violation: float  # probability of an infeasible trajectory
    mean_cost: float
    worst_cost: float  # over trajectories of positive probability

    def objective(self, n: float) -> float:
        """Value of the modified reward: R on feasible trajectories, -n on the others."""
        return self.kept - n * self.violation


def kl_per_state(policy: Array, teacher: Array) -> Array:
    """(S, k), (S, k) -> (S,): reverse KL(pi || mu) in nats, with 0 log 0 = 0."""
    ratio = np.divide(policy, teacher, out=np.ones_like(policy), where=policy > 0)
    return (policy * np.log(ratio)).sum(1)


def cumulative_costs(problem: Problem, policy: Policy) -> list[Array]:
    """Cost S_t of the first t steps for each prefix of t tokens: T + 1 arrays of shape (k**t,), in nats."""
    spent = [np.zeros(1)]
    for pi, mu in zip(policy, problem.teacher, strict=True):
        step = kl_per_state(pi, mu)[:, None] if problem.cost == "kl" else -np.log(mu)
        spent.append((spent[-1][:, None] + np.broadcast_to(step, mu.shape)).reshape(-1))
    return spent


def feasible(problem: Problem, policy: Policy) -> Mask:
    """(k**T,): which complete trajectories keep S_t <= cap_t at every t."""
    return _within(problem, cumulative_costs(problem, policy))


def trajectory_costs(problem: Problem, policy: Policy) -> Array:
    """(k**T,): cost of each trajectory in the unit of d, ``max_t d S_t / cap_t``; feasible means <= d."""
    return _in_units_of_d(problem, cumulative_costs(problem, policy))


def _within(problem: Problem, spent: list[Array]) -> Mask:
    kept = np.ones(1, dtype=bool)
    for so_far, cap in list(zip(spent, problem.caps, strict=True))[1:]:
        kept = np.repeat(kept, problem.tokens) & (so_far <= cap + TOLERANCE)
    return kept


def _in_units_of_d(problem: Problem, spent: list[Array]) -> Array:
    ratios = [
        np.repeat(s * problem.d / cap, problem.tokens ** (problem.horizon - t))
        for t, (s, cap) in enumerate(zip(spent, problem.caps, strict=True))
        if t > 0
    ]
    return np.maximum.reduce(ratios)


def trajectory_probabilities(policy: Policy) -> Array:
    """(k**T,): probability of each complete trajectory."""
    reach = np.ones(1)
    for step in policy:
        reach = (reach[:, None] * step).reshape(-1)
    return reach


def evaluate(problem: Problem, policy: Policy) -> Outcome:
    """Enumerate all trajectories of ``policy`` and return its exact expectations."""
    probability = trajectory_probabilities(policy)
    spent = cumulative_costs(problem, policy)
    allowed, costs = _within(problem, spent), _in_units_of_d(problem, spent)
    return Outcome(
        reward=float(probability @ problem.reward),
        kept=float(probability @ (problem.reward * allowed)),
        violation=float(probability @ ~allowed),
        mean_cost=float(probability @ costs),
        worst_cost=float(costs[probability > 0].max()),
    )
