"""The real loop and losses on problems whose constrained optimum is known exactly.

A tabular softmax policy starts at the teacher and trains through `training.loop.Trainer`; after every update all
responses are enumerated. What is compared with the exact optimum is the mean over the second half of the updates,
since the constrained method crosses its threshold back and forth. Every statement on it holds for each of three seeds.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.theory.instances import coin, rewards
from evaluation.theory.kl_cost import solve
from evaluation.theory.problem import Outcome, Policy, Problem, evaluate
from evaluation.theory.relaxation import relaxed_policy
from tests.enumerable import Space, Tabular
from training.folders import find_folders
from training.loop import Trainer
from training.settings import TrainSettings

ONE_STEP = Problem("one step", "kl", (np.array([[0.5, 0.3, 0.2]]),), rewards([0.0, 0.0, 1.0]), d=0.1)
TWO_STEPS = Problem("two steps", "kl", (coin(0.5), coin(0.5, 0.3)), rewards([1.0, 0.0, 0.0, 0.0]), d=0.2)
LATE = Problem("late", "kl", (coin(0.5), coin(0.5, 0.5)), rewards([1.0, 0.0, 1.0, 0.0]), d=0.2)  # token 0 last
PENALTY, GROUP = 20.0, 8
SEEDS = (0, 1, 2)
FOLDERS = find_folders()


class Answers:
    """A tokenizer that reads a response as the answer 1 where the problem rewards it, else 0."""

    pad_token_id = eos_token_id = 9  # outside the vocabulary: every response has its full length
    chat_template = None

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [0]}

    def batch_decode(self, rows: list[list[int]], **_: Any) -> list[str]:
        k = self.problem.tokens
        leaves = [sum(a * k ** (len(row) - 1 - t) for t, a in enumerate(row)) for row in rows]
        return [f"#### {self.problem.reward[leaf]:.0f}" for leaf in leaves]


def tabular(problem: Problem, teacher: Policy) -> Tabular:
    return Tabular(Space(problem.tokens, problem.horizon), torch.tensor(np.log(np.concatenate(teacher)))[None])


def as_policy(model: Tabular) -> Policy:
    """The trained table as `evaluation.theory` writes policies."""
    sizes = [model.space.tokens**t for t in range(model.space.horizon)]
    return tuple(np.split(model.table.detach().softmax(-1)[0].numpy(), np.cumsum(sizes)[:-1]))


@cache
def trained(
    problem: Problem, name: str, seed: int, lr: float = 0.01, steps: int = 400, weight: float = 0.0
) -> list[Outcome]:
    """Exact outcome after every update: 8 groups of 8 responses each."""
    student, teacher = tabular(problem, problem.teacher), tabular(problem, problem.teacher).requires_grad_(False)
    folder = FOLDERS[name]
    settings = folder.grid({"lambda": weight} if name == "soft_lagrangian" else {}, "test")[0]
    budget = TrainSettings(steps=steps, lr=lr, questions=8, samples=GROUP, max_new_tokens=problem.horizon)
    needed = teacher if folder.declares.needs.teacher else None
    method = folder.load()(settings, problem.d, budget.clip)
    trainer = Trainer(method, student, needed, Answers(problem), [{"prompt": "", "answer": "1"}], budget, seed)
    return [evaluate(problem, as_policy(student)) for _ in trainer.steps()]


def settled(outcomes: list[Outcome], quantity: str) -> float:
    """Mean over the second half of the updates."""
    return float(np.mean([getattr(o, quantity) for o in outcomes[len(outcomes) // 2 :]]))


def test_grpo_reaches_the_unconstrained_optimum() -> None:
    """E[R] = 1 at the price of the constraint: every response violates it."""
    outcomes = trained(TWO_STEPS, "grpo", 0, lr=0.03, steps=300)
    assert settled(outcomes, "reward") > 0.98
    assert outcomes[-1].violation == pytest.approx(1.0)


def test_soft_lagrangian_solves_the_relaxation_of_another_weight() -> None:
    """Dividing by the group's deviation turns λ into λ / c(p): the exact relaxation at that weight agrees.

    c(p) is the mean gap in advantage between right and wrong at the success probability p that is reached (1.74 at
    0.52). With λ = 1.2 itself the exact relaxation would earn 0.365 at a KL of 0.073.
    """
    outcomes = trained(ONE_STEP, "soft_lagrangian", 0, lr=0.03, steps=300, weight=1.2)
    reached, cost = settled(outcomes, "reward"), settled(outcomes, "mean_cost")
    exact = evaluate(ONE_STEP, relaxed_policy(ONE_STEP, 1.2 / advantage_gap(reached)))
    assert (reached, cost) == pytest.approx((exact.reward, exact.mean_cost), abs=0.01)
    assert evaluate(ONE_STEP, relaxed_policy(ONE_STEP, 1.2)).reward == pytest.approx(0.365, abs=1e-3)


def test_soft_lagrangian_of_two_steps_misses_the_effect_of_sampling() -> None:
    """With more than one step the KL's dependence on the sampling is missing too: 0.629, not the 0.594 of λ / c(p)."""
    outcomes = trained(TWO_STEPS, "soft_lagrangian", 0, lr=0.03, steps=300, weight=1.2)
    reached = settled(outcomes, "reward")
    exact = evaluate(TWO_STEPS, relaxed_policy(TWO_STEPS, 1.2 * TWO_STEPS.horizon / advantage_gap(reached)))
    assert reached == pytest.approx(0.629, abs=0.01)
    assert exact.reward == pytest.approx(0.594, abs=0.01)


def advantage_gap(p: float) -> float:
    """E[A | right] - E[A | wrong] for groups of GROUP responses that are right with probability p."""
    total = 0.0
    for k in range(GROUP):
        chance = math.comb(GROUP - 1, k) * p**k * (1 - p) ** (GROUP - 1 - k)
        for own in (0, 1):
            right = k + own
            deviation = math.sqrt(right * (GROUP - right) / (GROUP * (GROUP - 1)))
            total += (2 * own - 1) * chance * (own - right / GROUP) / (deviation + 1e-4)
    return total


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("problem", [ONE_STEP, TWO_STEPS, LATE], ids=lambda p: p.name)
def test_no_update_of_cmdp_beats_the_exact_optimum(problem: Problem, seed: int) -> None:
    """Loop and theory agree on what is possible, and the optimum is met on the way to 2 %."""
    bracket = solve(problem, 400, PENALTY)
    best = max(o.objective(PENALTY) for o in trained(problem, "cmdp", seed))
    assert 0.98 * bracket.lower < best <= bracket.upper + 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_cmdp_settles_at_the_optimum_of_one_step(seed: int) -> None:
    """Reward and cost are the optimum's (0.395, d); of the policies on the way two thirds lie just outside."""
    outcomes = trained(ONE_STEP, "cmdp", seed)
    assert settled(outcomes, "reward") == pytest.approx(solve(ONE_STEP, 400, PENALTY).lower, abs=0.005)
    assert settled(outcomes, "worst_cost") == pytest.approx(ONE_STEP.d, rel=0.02)
    assert max(o.worst_cost for o in outcomes) < 1.25 * ONE_STEP.d
    assert 0.5 < settled(outcomes, "violation") < 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_cmdp_spends_the_budget_on_the_wrong_step(seed: int) -> None:
    """Feasible to 1 %, but 0.60 of 0.648: the penalty of a dear last step is charged to the step before it."""
    outcomes = trained(TWO_STEPS, "cmdp", seed)
    assert settled(outcomes, "worst_cost") == pytest.approx(TWO_STEPS.d, rel=0.01)
    assert settled(outcomes, "reward") == pytest.approx(0.605, abs=0.015)
    assert 0.2 < settled(outcomes, "violation") < 0.4


@pytest.mark.parametrize("seed", SEEDS)
def test_cmdp_may_settle_outside_the_constraint(seed: int) -> None:
    """0.913 is reached and lost: then all responses violate (0.64 to 0.72 of reward, KL up to 1.5 d).

    Where all are infeasible the group's deviation blows the smallest difference in phi up to one, and the pull to
    the cheaper branch holds the reverse-KL descent in balance (see the estimators' test of this).
    """
    outcomes = trained(LATE, "cmdp", seed)
    assert settled(outcomes, "violation") > 0.7
    assert settled(outcomes, "reward") < 0.8 * solve(LATE, 400, PENALTY).lower
