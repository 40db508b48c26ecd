"""All numbers of the theory table: every problem, every penalty n, every lambda. No sampling, hence no
interval; where a number is not closed-form its certified lower and upper bound stand beside it."""

from dataclasses import dataclass

import numpy as np

from evaluation.theory import blind, instances, kl_cost, relaxation, search, token_cost
from evaluation.theory.problem import Outcome, Problem, evaluate, feasible, trajectory_costs

PENALTIES = (0.0, 1.0, 5.0, 20.0, 100.0, 1000.0)
WEIGHTS = (0.001, 0.01, 0.1, 1.0)  # the grid of the soft Lagrangian baseline
LEVELS = {1: 600, 2: 1200, 3: 240}  # budget steps of the certified recursion, per horizon


@dataclass(frozen=True)
class Row:
    """One problem, one student class, one penalty. NaN where a quantity does not apply."""

    problem: str
    cost: str  # kl | token
    student: str  # full: any function of the prefix; blind: one distribution for all prefixes
    n: float
    feasible_value: float  # optimum of the constrained problem, -inf if it has no solution
    augmented_low: float  # the state-augmented (Sauté) problem
    augmented_high: float
    unaugmented: float  # policies of the prefix alone, modified reward
    violation: float  # at the un-augmented optimum

    @property
    def bound(self) -> float:
        """(1 - V_feasible) / (1 + n); NaN when nothing is feasible."""
        return (1 - self.feasible_value) / (1 + self.n) if np.isfinite(self.feasible_value) else np.nan


@dataclass(frozen=True)
class WeightRow:
    """One problem under the fixed-lambda relaxation."""

    problem: str
    cost: str
    weight: float
    kind: str  # grid | best: the best lambda whose optimum satisfies the constraint
    reward: float
    violation: float
    mean_cost: float
    worst_cost: float
    d: float
    feasible_value: float


@dataclass(frozen=True)
class Results:
    """Everything the table, the statements and the figure are made from."""

    rows: tuple[Row, ...]
    weights: tuple[WeightRow, ...]

    def of(self, problem: str, student: str = "full") -> list[Row]:
        """Rows of one problem in order of n."""
        return [row for row in self.rows if (row.problem, row.student) == (problem, student)]


def token_rows(problem: Problem) -> list[Row]:
    """Fixed cost: recursion over (s, z) against linear programmes."""
    best = token_cost.constrained_value(problem)
    rows = []
    for n in PENALTIES:
        augmented = token_cost.augmented_value(problem, n)
        value, violation = token_cost.unaugmented_value(problem, n), token_cost.largest_violation(problem, n)
        rows.append(Row(problem.name, "token", "full", n, best, augmented, augmented, value, violation))
    return rows


def kl_rows(problem: Problem) -> list[Row]:
    """KL cost: certified recursion over (s, z) against a search over policies of the prefix alone."""
    found = search.unaugmented_search(problem, list(PENALTIES))
    best = max(o.reward for o in (evaluate(problem, p) for _, p in found.values()) if o.violation == 0)
    rows = []
    for n in PENALTIES:
        bracket, (value, policy) = kl_cost.solve(problem, LEVELS[problem.horizon], n), found[n]
        violation = evaluate(problem, policy).violation
        rows.append(Row(problem.name, "kl", "full", n, best, bracket.lower, bracket.upper, value, violation))
    return rows


def blind_rows(problem: Problem) -> list[Row]:
    """The blind student: exact within its class; the augmented problem is another class (see statements)."""
    best = blind.blind_constrained_value(problem)
    optima = [(n, blind.blind_optimum(problem, n)) for n in PENALTIES]
    return [
        Row(problem.name, problem.cost, "blind", n, best, np.nan, np.nan, optimum.value, optimum.violation)
        for n, optimum in optima
    ]


def _weight_row(problem: Problem, weight: float, kind: str, outcome: Outcome, best: float) -> WeightRow:
    return WeightRow(
        problem.name,
        problem.cost,
        weight,
        kind,
        outcome.reward,
        outcome.violation,
        outcome.mean_cost,
        outcome.worst_cost,
        problem.d,
        best,
    )


def kl_weight_rows(problem: Problem, best: float) -> list[WeightRow]:
    """The lambda grid and the best feasible lambda, KL cost."""
    kinds = [(w, "grid") for w in WEIGHTS] + [(relaxation.smallest_feasible_weight(problem), "best")]
    return [
        _weight_row(problem, w, kind, evaluate(problem, relaxation.relaxed_policy(problem, w)), best)
        for w, kind in kinds
    ]


def token_weight_rows(problem: Problem, best: float) -> list[WeightRow]:
    """The same for a fixed cost, where an optimum is a single trajectory (ties go to the dearest)."""
    costs, allowed = trajectory_costs(problem, problem.teacher), feasible(problem, problem.teacher)

    def row(y: int, weight: float, kind: str) -> WeightRow:
        cost = float(costs[y])
        outcome = Outcome(float(problem.reward[y]), 0.0, float(not allowed[y]), cost, cost)
        return _weight_row(problem, weight, kind, outcome, best)

    rows = []
    for weight in WEIGHTS:
        tied = token_cost.relaxed_trajectories(problem, weight)
        rows.append(row(int(tied[costs[tied].argmax()]), weight, "grid"))
    reached = [(y, *token_cost.weights_reaching(problem, y)) for y in np.flatnonzero(allowed).tolist()]
    reached = [(y, low, high) for y, low, high in reached if low < high]
    y, low, high = max(reached, key=lambda item: problem.reward[item[0]])
    return [*rows, row(y, (low + high) / 2 if np.isfinite(high) else low + 1.0, "best")]


def compute() -> Results:
    """Solve every problem; about ten seconds on one core, the same numbers each time."""
    rows: list[Row] = []
    weights: list[WeightRow] = []
    for problem in instances.FULL_POLICIES:
        solved = token_rows(problem) if problem.cost == "token" else kl_rows(problem)
        rows += solved
        best = solved[0].feasible_value
        if np.isfinite(best):
            relax = token_weight_rows if problem.cost == "token" else kl_weight_rows
            weights += relax(problem, best)
    for problem in instances.BLIND_STUDENTS:
        rows += blind_rows(problem)
    return Results(tuple(rows), tuple(weights))
