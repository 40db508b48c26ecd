"""The published statements on the small problems: what holds, what fails, and the numbers in the tables."""

import numpy as np
import pytest

from evaluation.theory import blind, instances, kl_cost, relaxation
from evaluation.theory.figure import theory_figure
from evaluation.theory.problem import Problem, evaluate, trajectory_probabilities
from evaluation.theory.results import PENALTIES, Results, compute
from evaluation.theory.statements import budget_aware_rooms, budget_aware_slip, statements
from evaluation.theory.table import statement_table, value_table, weight_table
from tests.unit.test_theory import KL_PROBLEMS, named, random_policy


@pytest.fixture(scope="module")
def results() -> Results:
    return compute()


# Fixed lambda


def test_no_weight_is_optimal_between_unequal_branches() -> None:
    problem = instances.UNEQUAL_BRANCHES
    best = kl_cost.solve(problem, 600).lower
    assert relaxation.no_weight_is_optimal(problem, best)
    outcomes = [evaluate(problem, relaxation.relaxed_policy(problem, w)) for w in np.geomspace(0.01, 100, 2000)]
    kept = max(o.reward for o in outcomes if o.violation == 0)
    assert kept < best - 0.07


def test_one_weight_suffices_for_one_step_and_for_equal_branches() -> None:
    for problem in (instances.ONE_STEP, instances.EARLY_OR_LATE):
        policy = relaxation.relaxed_policy(problem, relaxation.smallest_feasible_weight(problem))
        bracket = kl_cost.solve(problem, 600)
        assert bracket.lower - 1e-7 <= evaluate(problem, policy).reward <= bracket.upper + 1e-7
        assert not relaxation.no_weight_is_optimal(problem, bracket.lower)


@pytest.mark.parametrize("problem", KL_PROBLEMS[:5], ids=named)
def test_the_relaxation_is_the_tilted_teacher(problem: Problem) -> None:
    """p(y) ~ mu(y) exp(R(y) / w), and no random policy has a larger penalised value."""
    weight, rng = 0.4, np.random.default_rng(4)
    policy = relaxation.relaxed_policy(problem, weight)
    scale = weight if problem.reading == "sum" else weight / problem.horizon
    tilted = trajectory_probabilities(problem.teacher) * np.exp(problem.reward / scale)
    assert trajectory_probabilities(policy) == pytest.approx(tilted / tilted.sum())
    best = evaluate(problem, policy)
    others = [evaluate(problem, random_policy(problem, rng)) for _ in range(200)]
    assert all(best.reward - weight * best.mean_cost >= o.reward - weight * o.mean_cost for o in others)


# The blind student


def test_one_slip_by_hand() -> None:
    """q = probability of token 1: value 3 q (1-q)^2 - n (3 q^2 (1-q) + q^3), violation 3 q^2 (1-q) + q^3."""
    free = blind.blind_optimum(instances.ONE_SLIP, 0.0)
    assert (free.p, free.value, free.violation) == pytest.approx((2 / 3, 4 / 9, 7 / 27))
    q = np.linspace(0, 1, 200_001)
    violation = 3 * q**2 * (1 - q) + q**3
    for n in PENALTIES:
        curve = 3 * q * (1 - q) ** 2 - n * violation
        optimum = blind.blind_optimum(instances.ONE_SLIP, n)
        assert optimum.value == pytest.approx(curve.max(), abs=1e-7)
        assert optimum.violation == pytest.approx(violation[curve.argmax()], abs=1e-4)
    assert blind.blind_constrained_value(instances.ONE_SLIP) == 0.0


def test_blind_kl_optimum_against_a_grid() -> None:
    problem = instances.TWO_ROOMS
    grid = np.linspace(0, 1, 5001)
    outcomes = [evaluate(problem, blind.blind_policy(problem, p)) for p in grid]
    for n in (0.0, 2.0, 20.0):
        optimum = blind.blind_optimum(problem, n)
        assert max(o.objective(n) for o in outcomes) <= optimum.value + 1e-6
        assert max(o.objective(n) for o in outcomes) == pytest.approx(optimum.value, abs=2e-3)
    safe = max(o.reward for o in outcomes if o.violation == 0)
    assert blind.blind_constrained_value(problem) == pytest.approx(safe, abs=2e-4)


def test_a_blind_student_gains_from_the_budget_in_its_state() -> None:
    """Theorem 3.1 does not extend to students that do not see the whole prefix."""
    with_z = evaluate(instances.ONE_SLIP, budget_aware_slip())
    assert (with_z.reward, with_z.violation) == (1.0, 0.0)
    assert blind.blind_optimum(instances.ONE_SLIP, 20.0).value < 0.035
    value, policy = budget_aware_rooms()
    assert evaluate(instances.TWO_ROOMS, policy).violation == 0.0
    assert value > 2 * blind.blind_optimum(instances.TWO_ROOMS, 20.0).value


# The study as a whole


def test_values_fall_to_the_feasible_optimum(results: Results) -> None:
    """Theorem 3.2."""
    for problem, student in dict.fromkeys((r.problem, r.student) for r in results.rows):
        rows = results.of(problem, student)
        assert [r.n for r in rows] == list(PENALTIES)
        values = np.array([r.unaugmented for r in rows])
        assert (np.diff(values) <= 1e-7).all()
        if np.isfinite(rows[0].feasible_value):
            assert (values >= rows[0].feasible_value - 1e-7).all()
            assert values[-1] == pytest.approx(rows[0].feasible_value, abs=1e-3)


def test_violation_is_within_its_bound(results: Results) -> None:
    """Theorem 3.3 with the rate (1 - V)/(1 + n); without a feasible policy the violation stays at 1."""
    bounded = [r for r in results.rows if np.isfinite(r.feasible_value)]
    assert all(r.violation <= r.bound + 1e-9 for r in bounded)
    assert any(r.violation > 0.1 for r in bounded)
    assert all(r.violation == 1.0 for r in results.of("no feasible answer"))


@pytest.mark.parametrize("problem", KL_PROBLEMS, ids=named)
def test_any_policy_of_value_j_violates_at_most_one_minus_j_over_one_plus_n(problem: Problem) -> None:
    rng, violations = np.random.default_rng(5), []
    for _ in range(300):
        outcome = evaluate(problem, random_policy(problem, rng))
        violations.append(outcome.violation)
        for n in PENALTIES:
            assert outcome.violation <= (1 - outcome.objective(n)) / (1 + n) + 1e-12
    assert max(violations) > 0


def test_augmented_and_unaugmented_values_agree(results: Results) -> None:
    """Theorem 3.1 on every problem and penalty."""
    for row in (r for r in results.rows if r.student == "full"):
        assert row.augmented_low - 1e-7 <= row.unaugmented <= row.augmented_high + 1e-7
        assert row.augmented_high - row.augmented_low < 2e-3


def test_verdicts_and_tables(results: Results) -> None:
    lines = statements(results)
    assert {s.key: (s.token, s.kl) for s in lines} == {
        "3.1": ("holds", "holds"),
        "3.1 blind": ("fails", "fails"),
        "3.2": ("holds", "holds"),
        "3.2 exact": ("holds", "holds"),
        "3.2 Bellman": ("holds", "fails"),
        "3.2 tokens": ("holds", "fails"),
        "3.3": ("holds", "holds"),
        "3.3 premise": ("fails", "holds"),
        "3.3 softmax": ("fails", "holds"),
        "lambda": ("fails", "fails"),
    }
    tables = [value_table(results), weight_table(results), statement_table(lines)]
    for table in tables:
        keys = {column.key for column in table.columns}
        assert all(set(line.cells) <= keys for _, group in table.groups for line in group)
    cells = next(line.cells for _, group in tables[0].groups for line in group if line.label == "no feasible answer")
    assert (cells["feasible"], cells["v0"], cells["p20"]) == ("none", "0.0000", "1.0000")


def test_figure_has_four_filled_panels(results: Results) -> None:
    panels = theory_figure(results).axes
    assert len(panels) == 4
    assert all(panel.lines and panel.get_xlabel() and panel.get_ylabel() for panel in panels)
