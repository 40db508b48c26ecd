"""Each statement about the method, its verdict for both costs, and the numbers the verdict follows from.

Theorem numbers are those of arXiv 2509.22921 as paraphrased in the project's notes (its full text was not at
hand); [inferred] marks statements that are ours. docs/theory.md holds the proofs. A verdict is computed from
the numbers: ``holds`` means on every instance solved here, ``fails`` means the named instance refutes it.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from evaluation.theory import instances, kl_cost, relaxation, token_cost
from evaluation.theory.problem import Policy, Problem, evaluate, kl_per_state
from evaluation.theory.results import Results
from evaluation.theory.stationary import single_state_gain

AGREE = 1e-6
N = 20.0  # the paper's penalty


@dataclass(frozen=True)
class Statement:
    """One line of the table; ``token`` and ``kl``: verdicts for the fixed and the policy-dependent cost."""

    key: str
    text: str
    source: str
    token: str
    kl: str
    evidence: str


def verdict(holds: bool) -> str:
    """The word printed."""
    return "holds" if holds else "fails"


def small(value: float) -> str:
    """A difference as text; round-off is not printed, so that the table is the same on every machine."""
    return "below 1e-06" if value < AGREE else f"{value:.1e}"


def backward_induction_error(results: Results) -> float:
    """Fixed cost: the best single trajectory against the linear programme over all policies."""
    problems = [p for p in instances.FULL_POLICIES if p.cost == "token"]
    return max(
        abs(token_cost.penalised_reward(p, r.n).max() - r.unaugmented) for p in problems for r in results.of(p.name)
    )


def budget_aware_slip() -> Policy:
    """One slip, a student that sees only z: token 1 while the budget is untouched, token 0 afterwards."""
    first, zero = np.array([[0.0, 1.0]]), np.array([1.0, 0.0])
    return (first, np.tile(zero, (2, 1)), np.tile(zero, (4, 1)))


def budget_aware_rooms() -> tuple[float, Policy]:
    """Two rooms, a student that sees only z, here as good as the time: the best of 45 such policies."""
    problem, found = instances.TWO_ROOMS, []
    for p in np.linspace(0.51, 0.95, 45):
        left = problem.caps[-1] - kl_per_state(np.array([[p, 1 - p]]), problem.teacher[0])
        if left[0] >= 0:
            room = kl_cost.best_in_ball(np.array([[1.0, 0.0]]), problem.teacher[1][1:2], left)[0]
            policy = (np.array([[p, 1 - p]]), np.tile(room, (2, 1)))
            found.append((evaluate(problem, policy).objective(N), policy))
    return max(found, key=lambda pair: pair[0])


def augmentation(results: Results) -> Statement:
    """Theorem 3.1 for all policies of the prefix."""
    full = [r for r in results.rows if r.student == "full"]
    token = max(abs(r.augmented_low - r.unaugmented) for r in full if r.cost == "token")
    outside = max(
        max(r.augmented_low - r.unaugmented, r.unaugmented - r.augmented_high, 0.0) for r in full if r.cost == "kl"
    )
    width = max(r.augmented_high - r.augmented_low for r in full if r.cost == "kl")
    text = (
        f"fixed: largest difference {small(token)}; KL: outside its certified bounds {small(outside)}; "
        f"bounds at most {width:.4f} apart"
    )
    return Statement(
        "3.1",
        "augmented and un-augmented optimum have equal value",
        "stated",
        verdict(token < AGREE),
        verdict(outside < AGREE),
        text,
    )


def augmentation_blind(results: Results) -> Statement:
    """Theorem 3.1 within a class that does not see the whole prefix."""
    slip = next(r.unaugmented for r in results.of("one slip", "blind") if r.n == N)
    rooms = next(r.unaugmented for r in results.of("two rooms", "blind") if r.n == N)
    slip_z = evaluate(instances.ONE_SLIP, budget_aware_slip()).objective(N)
    rooms_z, _ = budget_aware_rooms()
    text = (
        f"n = 20: one slip {slip_z:.4f} with z, {slip:.4f} without; "
        f"two rooms >= {rooms_z:.4f} with, {rooms:.4f} without"
    )
    return Statement(
        "3.1 blind",
        "the same for a student that does not see the whole prefix",
        "inferred",
        verdict(slip_z < slip + AGREE),
        verdict(rooms_z < rooms + AGREE),
        text,
    )


def convergence(results: Results) -> Statement:
    """Theorem 3.2: V*_n does not increase in n, stays above V_feasible and approaches it."""
    verdicts, gaps = {}, []
    for cost in ("token", "kl"):
        rows = [r for r in results.rows if r.cost == cost and np.isfinite(r.feasible_value)]
        falls = all(b.unaugmented <= a.unaugmented + AGREE for a, b in pairwise(rows) if b.n > a.n)
        above = all(r.unaugmented >= r.feasible_value - AGREE for r in rows)
        gaps.append(max(r.unaugmented - r.feasible_value for r in rows if r.n == 1000))
        verdicts[cost] = verdict(falls and above and gaps[-1] < 1e-3)
    text = f"largest distance from the limit at n = 1000: fixed {small(gaps[0])}, KL {small(gaps[1])}"
    return Statement("3.2", "V*_n falls monotonically to V_feasible", "stated", verdicts["token"], verdicts["kl"], text)


def exactness(results: Results) -> Statement:
    """Already n = 0 gives V_feasible when the student may be any function of the prefix."""
    gaps = {
        cost: max(
            r.unaugmented - r.feasible_value
            for r in results.rows
            if r.cost == cost and r.student == "full" and np.isfinite(r.feasible_value)
        )
        for cost in ("token", "kl")
    }
    text = f"largest V*_n - V_feasible over n >= 0: fixed {small(gaps['token'])}, KL {small(gaps['kl'])}"
    return Statement(
        "3.2 exact",
        "V*_n = V_feasible for every n >= 0, any function of the prefix",
        "inferred",
        verdict(gaps["token"] < AGREE),
        verdict(gaps["kl"] < AGREE),
        text,
    )


def bellman(results: Results) -> Statement:
    """Optimality state by state, without z in the state."""
    problem, policy = instances.EARLY_OR_LATE, instances.ALL_SPENT_EARLY
    gain = single_state_gain(problem, policy, N)
    value, best = evaluate(problem, policy).objective(N), results.of(problem.name)[0].feasible_value
    text = (
        f"early or late: largest gain of a single state {small(gain)}, yet the value is {value:.4f} and not {best:.4f}"
    )
    return Statement(
        "3.2 Bellman",
        "a policy that reaches every prefix and that no prefix alone can improve is optimal",
        "stated, for a state space that is not known",
        verdict(backward_induction_error(results) < AGREE),
        verdict(gain > AGREE or best - value < AGREE),
        text,
    )


def deterministic(results: Results) -> Statement:
    """Whether a maximum over tokens suffices in the Bellman equation."""
    problem = instances.ONE_STEP
    twin = replace(problem, cost="token")  # a deterministic policy has KL(pi || mu) = -log mu(a)
    best, stochastic = token_cost.constrained_value(twin), results.of(problem.name)[0].feasible_value
    text = f"one step: stochastic {stochastic:.4f}; " + (
        f"deterministic {best:.4f}" if np.isfinite(best) else "no deterministic policy is feasible"
    )
    fixed = verdict(backward_induction_error(results) < AGREE)
    return Statement(
        "3.2 tokens",
        "some deterministic policy is optimal",
        "inferred",
        fixed,
        verdict(best > stochastic - AGREE),
        text,
    )


def violation_bound(results: Results) -> Statement:
    """Theorem 3.3 with a rate."""
    rows = [r for r in results.rows if np.isfinite(r.feasible_value)]
    token, kl = (all(r.violation <= r.bound + AGREE for r in rows if r.cost == c) for c in ("token", "kl"))
    tightest = max((r for r in rows if r.bound > AGREE), key=lambda r: r.violation / r.bound)
    last = max(r.violation for r in rows if r.n == 1000)
    text = (
        f"largest share of the bound used: {tightest.violation / tightest.bound:.2f} ({tightest.problem}, "
        f"{tightest.student} student, n = {tightest.n:g}); largest violation at n = 1000: {small(last)}"
    )
    return Statement(
        "3.3",
        "the optimum violates with probability <= (1 - V_feasible)/(1 + n), so 0 in the limit",
        "stated, rate inferred",
        verdict(token),
        verdict(kl),
        text,
    )


def finite_limit(results: Results) -> Statement:
    """The premise of 3.3: a finite limit, that is, a feasible policy."""
    rows = results.of("no feasible answer")
    runaway = max(abs(r.unaugmented + r.n) for r in rows)
    spent = max(evaluate(p, p.teacher).violation for p in instances.FULL_POLICIES if p.cost == "kl")
    text = f"no feasible answer: V*_n = -n, violation {rows[-1].violation:.0f} at every n; KL: pi = mu"
    return Statement(
        "3.3 premise",
        "a feasible policy exists, so the limit is finite",
        "inferred",
        verdict(runaway > AGREE),
        verdict(spent == 0),
        text,
    )


def softmax_violation(problem: Problem, best: int, gap: float) -> float:
    """Violation probability of a softmax policy that favours one trajectory by a logit ``gap`` at each step."""
    steps, k = [], problem.tokens
    for t, mu in enumerate(problem.teacher):
        logits = np.zeros_like(mu)
        logits[:, best // k ** (problem.horizon - 1 - t) % k] = gap
        steps.append(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    return evaluate(problem, tuple(steps)).violation


def softmax(results: Results) -> Statement:
    """Whether full-support policies, all that a softmax can express, can satisfy the constraint."""
    rates = [softmax_violation(instances.HULL, 1, gap) for gap in (2.0, 5.0, 10.0)]
    mixed = kl_cost.solve(instances.UNEQUAL_BRANCHES, 600).policy
    smallest = min(float(step.min()) for step in mixed)
    text = (
        f"below the hull, logit gap 2, 5, 10: violation {rates[0]:.3f}, {rates[1]:.4f}, {rates[2]:.1e}, "
        f"never 0; KL: the optimum of unequal branches gives every token >= {smallest:.3f}"
    )
    inside = smallest > 1e-3 and evaluate(instances.UNEQUAL_BRANCHES, mixed).violation == 0
    return Statement(
        "3.3 softmax",
        "a student with full support can satisfy the constraint almost surely",
        "inferred",
        verdict(min(rates) == 0),
        verdict(inside),
        text,
    )


def fixed_weight(results: Results) -> Statement:
    """The soft Lagrangian relaxation."""
    low, high = token_cost.weights_reaching(instances.HULL, 1)
    branches = instances.UNEQUAL_BRANCHES
    proved = relaxation.no_weight_is_optimal(branches, kl_cost.solve(branches, 600).lower)
    best = next(w for w in results.weights if w.problem == branches.name and w.kind == "best")
    text = (
        f"below the hull: needs λ >= {low:.3f} and <= {high:.3f}; unequal branches: best feasible λ "
        f"{best.weight:.3f} earns {best.reward:.4f} of {best.feasible_value:.4f}"
    )
    return Statement(
        "lambda",
        "some fixed λ gives the constrained optimum",
        "inferred",
        verdict(low <= high),
        verdict(not proved),
        text,
    )


def statements(results: Results) -> list[Statement]:
    """All lines, in the order of the paper's theorems."""
    makers = (
        augmentation,
        augmentation_blind,
        convergence,
        exactness,
        bellman,
        deterministic,
        violation_bound,
        finite_limit,
        softmax,
        fixed_weight,
    )
    return [make(results) for make in makers]
