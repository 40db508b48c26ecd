"""The problems of the theory table. Each is there for one statement; docs/theory.md says which."""

import numpy as np
from numpy.typing import ArrayLike

from evaluation.theory.problem import Array, Policy, Problem


def coin(*probabilities: float) -> Array:
    """Two-token distributions (N, 2), one row for each of N probabilities of token 0."""
    first = np.array(probabilities)
    return np.stack([first, 1.0 - first], axis=1)


def rewards(values: ArrayLike) -> Array:
    """Rewards as float64."""
    return np.asarray(values, dtype=float)


def drawn_teacher(tokens: int, horizon: int, seed: int) -> Policy:
    """A teacher without structure: Dirichlet(2, ..., 2) rows from a fixed seed, rounded, floor about 0.02."""
    rng = np.random.default_rng(seed)
    steps = [rng.dirichlet(np.full(tokens, 2.0), size=tokens**t).round(2) + 0.02 for t in range(horizon)]
    return tuple(step / step.sum(1, keepdims=True) for step in steps)


def drawn_reward(tokens: int, horizon: int, seed: int) -> Array:
    """Rewards (k**T,) in [0, 1] without structure, two decimals; k = ``tokens``, T = ``horizon``."""
    return np.random.default_rng(seed).uniform(size=tokens**horizon).round(2)


ONE_STEP = Problem("one step", "kl", (np.array([[0.5, 0.3, 0.2]]),), rewards([0.0, 0.5, 1.0]), d=0.1)

NINE_TO_ONE = 0.9 * np.log(1.8) + 0.1 * np.log(0.2)  # KL of (0.9, 0.1) to a fair coin, in nats
EARLY_OR_LATE = Problem(
    "early or late", "kl", (coin(0.5), coin(0.5, 0.5)), rewards([1.0, 0.2, 0.8, 0.0]), d=NINE_TO_ONE / 2
)  # R = 0.2 [first token is 0] + 0.8 [second token is 0]: most of the budget belongs to the second step
ALL_SPENT_EARLY = (coin(0.9), coin(0.5, 0.5))  # feasible, reaches every state, and earns 0.58

UNEQUAL_BRANCHES = Problem(
    "unequal branches", "kl", (coin(0.1), coin(0.5, 0.5)), rewards([1.0, 0.0, 0.5, 0.25]), d=0.2
)  # a nudge is worth 1 in the rare branch and 0.25 in the common one: one lambda cannot fill both budgets

THREE_TOKENS = Problem("three tokens", "kl", drawn_teacher(3, 2, 1), drawn_reward(3, 2, 2), d=0.3, reading="sum")

THREE_STEPS = Problem("three steps", "kl", drawn_teacher(2, 3, 14), drawn_reward(2, 3, 15), d=0.1)

THREE_PREFIXES = Problem(
    "every prefix", "kl", drawn_teacher(2, 3, 14), drawn_reward(2, 3, 15), d=0.1, reading="prefix"
)  # the same teacher and reward under the stricter reading

HULL = Problem(
    "below the hull", "token", (np.array([[0.6, 0.3, 0.1]]),), rewards([0.2, 0.4, 1.0]), d=1.3
)  # costs 0.51, 1.20, 2.30: the best feasible answer lies under the line between its neighbours

ONE_SLIP = Problem(
    "one slip", "token", (coin(0.8), coin(0.8, 0.8), coin(*[0.8] * 4)), rewards([0] + [1] * 7), d=0.7
)  # token 1 earns the reward; once is affordable, twice is not

FOUR_TOKENS = Problem("four tokens", "token", drawn_teacher(4, 4, 5), drawn_reward(4, 4, 6), d=1.0, reading="prefix")

NO_ANSWER = Problem(
    "no feasible answer", "token", (coin(0.5), coin(0.5, 0.5)), rewards([1.0, 0.5, 0.5, 0.0]), d=0.5
)  # every token costs log 2 = 0.69

TWO_ROOMS = Problem(
    "two rooms", "kl", (coin(0.5), coin(0.5, 0.05)), rewards([1.0, 0.0, 0.0, 0.0]), d=0.2
)  # after token 1 the teacher insists on token 1, which a student blind to the prefix cannot follow

FULL_POLICIES = (
    ONE_STEP,
    EARLY_OR_LATE,
    UNEQUAL_BRANCHES,
    TWO_ROOMS,
    THREE_TOKENS,
    THREE_STEPS,
    THREE_PREFIXES,
    HULL,
    ONE_SLIP,
    FOUR_TOKENS,
    NO_ANSWER,
)
BLIND_STUDENTS = (ONE_SLIP, TWO_ROOMS)
