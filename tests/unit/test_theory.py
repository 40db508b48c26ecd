"""Exact theory: hand-computed instances and independent solvers against each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from evaluation.theory import instances, kl_cost, relaxation, search, token_cost
from evaluation.theory.problem import (
    Policy,
    Problem,
    cumulative_costs,
    evaluate,
    feasible,
    kl_per_state,
    trajectory_probabilities,
)
from evaluation.theory.results import PENALTIES
from evaluation.theory.stationary import single_state_gain

KL_PROBLEMS = [p for p in instances.FULL_POLICIES if p.cost == "kl"]
TOKEN_PROBLEMS = [p for p in instances.FULL_POLICIES if p.cost == "token"]


def named(problem: Problem) -> str:
    return problem.name.replace(" ", "-")


def random_policy(problem: Problem, rng: np.random.Generator) -> Policy:
    """Between the teacher and a random policy, so that some trajectories are feasible and some are not."""
    mix = rng.uniform()
    return tuple((1 - mix) * mu + mix * rng.dirichlet(np.ones(problem.tokens), size=len(mu)) for mu in problem.teacher)


# Enumeration


def test_enumeration_by_hand() -> None:
    """Two steps, two tokens: probabilities, both costs and the three readings, worked by hand."""
    policy = (instances.coin(0.75), instances.coin(0.5, 0.25))
    problem = Problem("hand", "kl", (instances.coin(0.5), instances.coin(0.5, 0.5)), np.array([1, 0, 0, 0.5]), 0.1)
    quarter = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # KL((3/4, 1/4) || (1/2, 1/2)) = 0.1308
    assert trajectory_probabilities(policy) == pytest.approx([0.375, 0.375, 0.0625, 0.1875])
    assert cumulative_costs(problem, policy)[2] == pytest.approx([quarter, quarter, 2 * quarter, 2 * quarter])
    outcome = evaluate(problem, policy)
    assert outcome.reward == pytest.approx(0.375 + 0.5 * 0.1875)
    assert outcome.kept == pytest.approx(0.375)  # mean KL 0.065 after token 0, 0.131 after token 1
    assert outcome.violation == pytest.approx(0.25)
    assert outcome.objective(20) == pytest.approx(0.375 - 20 * 0.25)
    assert evaluate(replace(problem, reading="sum"), policy).violation == 1.0
    assert evaluate(replace(problem, reading="prefix"), policy).violation == 1.0
    token = replace(problem, cost="token")
    assert cumulative_costs(token, policy)[2] == pytest.approx([2 * math.log(2)] * 4)


def test_mean_is_the_sum_divided_by_the_length() -> None:
    summed = replace(instances.THREE_STEPS, reading="sum", d=3 * instances.THREE_STEPS.d)
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(50):
        policy = random_policy(summed, rng)
        masks.append(feasible(summed, policy))
        assert np.array_equal(masks[-1], feasible(instances.THREE_STEPS, policy))
    assert 0 < np.mean(masks) < 1


def test_unreachable_trajectories_do_not_count() -> None:
    """A zero probability frees the subtree behind it: almost surely, not for every trajectory."""
    policy = (instances.coin(1.0), instances.coin(0.5, 0.0))
    problem = replace(instances.EARLY_OR_LATE, d=0.5)
    outcome = evaluate(problem, policy)
    assert not feasible(problem, policy).all()
    assert outcome.violation == 0.0
    assert outcome.worst_cost == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize(("d", "reward"), [(0.0, [0, 0.5, 1]), (0.1, [0, 1, 2]), (0.1, [-1, 0, 1]), (0.1, [0, 1])])
def test_a_problem_out_of_range_is_refused(d: float, reward: list[float]) -> None:
    with pytest.raises(ValueError, match="one step"):
        replace(instances.ONE_STEP, d=d, reward=np.array(reward, dtype=float))


# Fixed cost


@pytest.mark.parametrize("problem", TOKEN_PROBLEMS, ids=named)
@pytest.mark.parametrize("n", PENALTIES)
def test_linear_programme_equals_recursion_equals_enumeration(problem: Problem, n: float) -> None:
    augmented = token_cost.augmented_value(problem, n)
    assert token_cost.unaugmented_value(problem, n) == pytest.approx(augmented, abs=1e-9)
    best = problem.reward[feasible(problem, problem.teacher)].max(initial=-np.inf)
    assert augmented == max(best, -n)
    assert token_cost.constrained_value(problem) == pytest.approx(best, abs=1e-9)


def test_no_weight_reaches_the_answer_below_the_hull() -> None:
    """Costs -log of 0.6, 0.3, 0.1; rewards 0.2, 0.4, 1: slopes 0.2/log 2 = 0.289 and 0.6/log 3 = 0.546."""
    low, high = token_cost.weights_reaching(instances.HULL, 1)
    assert low == pytest.approx(0.6 / math.log(3))
    assert high == pytest.approx(0.2 / math.log(2))
    assert token_cost.constrained_value(instances.HULL) == pytest.approx(0.4)
    reached = {
        int(y) for w in np.geomspace(1e-3, 1e3, 4001) for y in token_cost.relaxed_trajectories(instances.HULL, w)
    }
    assert reached == {0, 2}


# KL cost


def test_one_step_two_tokens_by_hand() -> None:
    """One fair coin, reward for token 0: the optimum is the p with KL((p, 1-p) || fair) = d."""
    problem = Problem("coin", "kl", (instances.coin(0.5),), np.array([1.0, 0.0]), 0.2)
    p = brentq(lambda q: q * math.log(2 * q) + (1 - q) * math.log(2 - 2 * q) - 0.2, 0.5, 0.999, xtol=1e-14)
    bracket = kl_cost.solve(problem, 100)
    assert bracket.lower == pytest.approx(p, abs=1e-7)
    assert bracket.upper == pytest.approx(p, abs=1e-7)
    weight = relaxation.smallest_feasible_weight(problem)
    assert evaluate(problem, relaxation.relaxed_policy(problem, weight)).reward == pytest.approx(p, abs=1e-9)


def test_budget_beyond_the_best_token_buys_certainty() -> None:
    problem = replace(instances.ONE_STEP, d=2.0)  # a point mass on token 2 costs log 5 = 1.61
    assert kl_cost.solve(problem, 50).lower == pytest.approx(1.0, abs=1e-6)


def test_best_in_ball_primal_meets_dual() -> None:
    rng = np.random.default_rng(1)
    teacher, values = rng.dirichlet(np.ones(4), size=200), rng.uniform(size=(200, 4))
    radius = rng.uniform(0, 0.5, size=200)
    policy, bound = kl_cost.best_in_ball(values, teacher, radius)
    attained = (policy * values).sum(1)
    assert (kl_per_state(policy, teacher) <= radius + 1e-12).all()
    assert (attained <= bound + 1e-12).all()
    assert bound == pytest.approx(attained, abs=1e-6)


def brute_force(problem: Problem, n: float, points: int = 801) -> float:
    """Best of a grid over all three probabilities of a two-step, two-token problem; nothing is assumed."""
    grid = np.linspace(0, 1, points)

    def divergence(q: float) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = (
                np.nan_to_num(grid * np.log(grid / q)),
                np.nan_to_num((1 - grid) * np.log((1 - grid) / (1 - q))),
            )
        return terms[0] + terms[1]

    first = divergence(problem.teacher[0][0, 0])
    total = np.zeros(points)
    for room, share in ((0, grid), (1, 1 - grid)):
        spent = first[:, None] + divergence(problem.teacher[1][room, 0])[None, :]
        reward = problem.reward[2 * room] * grid + problem.reward[2 * room + 1] * (1 - grid)
        total += share * np.where(spent <= problem.caps[2], reward[None, :], -n).max(axis=1)
    return float(total.max())


@pytest.mark.parametrize("problem", [p for p in KL_PROBLEMS if p.tokens == 2 and p.horizon == 2], ids=named)
@pytest.mark.parametrize("n", [0.0, 1.0, 20.0])
def test_recursion_search_and_brute_force_agree(problem: Problem, n: float) -> None:
    """Three routes: certified recursion over (s, z), SLSQP over policies of the prefix, brute force."""
    bracket = kl_cost.solve(problem, 600, n)
    found, _ = search.unaugmented_search(problem, [n])[n]
    forced = brute_force(problem, n)
    assert bracket.upper - bracket.lower < 5e-4
    assert bracket.lower - 1e-7 <= found <= bracket.upper + 1e-7
    assert found - 3e-3 < forced <= bracket.upper + 1e-7


@pytest.mark.parametrize("problem", KL_PROBLEMS, ids=named)
def test_the_augmented_optimum_is_a_policy_of_the_prefix(problem: Problem) -> None:
    """Theorem 3.1: z unrolled along its own trajectories gives an un-augmented policy of equal value."""
    bracket = kl_cost.solve(problem, 60, 20.0)
    assert bracket.outcome.objective(20.0) == pytest.approx(bracket.lower, abs=1e-9)
    assert bracket.outcome.violation == 0.0


@pytest.mark.parametrize("problem", KL_PROBLEMS, ids=named)
def test_no_random_policy_beats_the_upper_bound(problem: Problem) -> None:
    upper, rng = kl_cost.solve(problem, 60, 1.0).upper, np.random.default_rng(2)
    values = [evaluate(problem, random_policy(problem, rng)).objective(1.0) for _ in range(500)]
    assert max(values) <= upper
    assert min(values) < 0


def test_following_the_teacher_after_the_budget_is_spent_never_hurts() -> None:
    """The exchange behind exactness for every n >= 0: undo the first overspending step and all after it."""
    problem, rng, raised = instances.THREE_STEPS, np.random.default_rng(3), 0
    for _ in range(200):
        policy = random_policy(problem, rng)
        steps = [step.copy() for step in policy]
        for t, spent in enumerate(cumulative_costs(problem, policy)[1:]):
            overspent = spent.reshape(-1, 2)[:, 0] > problem.caps[t + 1]
            steps[t][overspent] = problem.teacher[t][overspent]
        mended = evaluate(problem, tuple(steps))
        before = evaluate(problem, policy)
        assert mended.violation == 0.0
        assert mended.objective(0.0) >= before.objective(0.0) - 1e-12
        raised += mended.objective(1.0) > before.objective(1.0)
    assert raised > 20


def test_no_single_state_improves_yet_not_optimal() -> None:
    """All of the budget spent at the first step: 0.2 * 0.9 + 0.8 / 2 = 0.58, a dead end without z."""
    problem, policy = instances.EARLY_OR_LATE, instances.ALL_SPENT_EARLY
    assert evaluate(problem, policy).objective(20.0) == pytest.approx(0.58)
    assert single_state_gain(problem, policy, 20.0) < 1e-9
    late = (instances.coin(0.5), instances.coin(0.9, 0.9))
    assert evaluate(problem, late).objective(20.0) == pytest.approx(0.1 + 0.8 * 0.9)
    assert kl_cost.solve(problem, 600).lower > 0.833
    assert single_state_gain(problem, problem.teacher, 20.0) > 0.1  # the search does find gains where there are any


def test_the_optimum_lies_on_the_edge() -> None:
    """All trajectories cost exactly d, so a step away from the teacher makes every one of them infeasible."""
    problem = instances.UNEQUAL_BRANCHES
    optimum = kl_cost.solve(problem, 600).policy
    further = tuple(pi + 0.001 * (pi - mu) for pi, mu in zip(optimum, problem.teacher, strict=True))
    assert evaluate(problem, optimum).violation == 0.0
    assert evaluate(problem, further).violation == pytest.approx(1.0)
