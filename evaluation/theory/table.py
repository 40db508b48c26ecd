"""The theory as three tables: values and violations, the fixed-lambda relaxation, and the verdicts."""

import numpy as np

from evaluation.table_files import Cell, Column, Line, Table
from evaluation.theory.results import PENALTIES, Results, Row
from evaluation.theory.statements import Statement

COSTS = {"kl": "KL cost, depends on the policy", "token": "fixed cost -log teacher"}
DIGITS = 4


def number(value: float) -> str | None:
    """A computed number as text; None where it does not apply, "none" where nothing is feasible."""
    if np.isnan(value):
        return None
    if np.isinf(value):
        return "none"
    if 1e-9 < abs(value) < 0.5 * 10**-DIGITS:
        return f"{value:.1e}"
    return f"{round(value, DIGITS) + 0.0:.{DIGITS}f}"


def _values(rows: list[Row]) -> dict[str, Cell]:
    """Cells of one problem from its rows in order of n."""
    cells: dict[str, Cell] = {"feasible": number(rows[0].feasible_value)}
    for row in rows:
        cells[f"v{row.n:g}"] = number(row.unaugmented)
        cells[f"low{row.n:g}"], cells[f"high{row.n:g}"] = (
            number(row.augmented_low),
            number(row.augmented_high),
        )
        cells[f"p{row.n:g}"], cells[f"bound{row.n:g}"] = number(row.violation), number(row.bound)
    return cells


def value_table(results: Results) -> Table:
    """V_feasible, V*_n and violation per problem; the CSV holds the augmented bounds and every n."""
    columns = [Column("feasible", "V feasible")]
    columns += [Column(f"v{n:g}", f"V* n={n:g}") for n in PENALTIES]
    for n in PENALTIES:
        shown = n in (1.0, 20.0)
        columns += [
            Column(f"p{n:g}", f"violation n={n:g}", printed=shown),
            Column(f"bound{n:g}", f"bound n={n:g}", printed=shown),
            Column(f"low{n:g}", f"augmented low n={n:g}", printed=n == 20.0),
            Column(f"high{n:g}", f"augmented high n={n:g}", printed=n == 20.0),
        ]
    groups = []
    for student, title in (("full", "any function of the prefix"), ("blind", "student blind to the prefix")):
        for cost, meaning in COSTS.items():
            names = dict.fromkeys(r.problem for r in results.rows if (r.student, r.cost) == (student, cost))
            lines = tuple(Line(name, _values(results.of(name, student))) for name in names)
            groups.append((f"{meaning}; {title}", lines))
    caption = (
        "Computed by enumeration, no sampling. V feasible: best policy whose every trajectory satisfies the "
        "constraint. V* n: un-augmented problem with reward -n on infeasible trajectories. Augmented: certified "
        "bounds on the same value with the remaining budget in the state. Violation: probability at the optimum; "
        "bound: (1 - V feasible)/(1 + n). KL values are attained by a policy found by search; that none is "
        "better by more than the bracket is certified by its upper end."
    )
    return Table("theory", "Exact optima of small problems", caption, tuple(columns), tuple(groups))


def weight_table(results: Results) -> Table:
    """What each fixed lambda reaches."""
    columns = (
        Column("weight", "λ"),
        Column("reward", "E[R]"),
        Column("violation", "violation"),
        Column("mean", "mean cost"),
        Column("worst", "worst cost"),
        Column("d", "d"),
        Column("feasible", "V feasible"),
    )
    groups = []
    for cost, meaning in COSTS.items():
        lines = tuple(
            Line(
                f"{w.problem}, {'best feasible λ' if w.kind == 'best' else 'grid'}",
                {
                    "weight": number(w.weight),
                    "reward": number(w.reward),
                    "violation": number(w.violation),
                    "mean": number(w.mean_cost),
                    "worst": number(w.worst_cost),
                    "d": number(w.d),
                    "feasible": number(w.feasible_value),
                },
            )
            for w in results.weights
            if w.cost == cost
        )
        groups.append((meaning, lines))
    caption = (
        "Optimum of E[R] - λ E[cost], exact; best feasible λ: the most rewarding one whose optimum "
        "satisfies the constraint on every trajectory."
    )
    return Table("theory_lambda", "What a fixed λ reaches", caption, columns, tuple(groups))


def statement_table(lines: list[Statement]) -> Table:
    """Which statement holds for which cost, with its evidence."""
    columns = (
        Column("text", "statement"),
        Column("source", "source"),
        Column("token", "fixed cost"),
        Column("kl", "KL cost"),
        Column("evidence", "evidence"),
    )
    body = tuple(
        Line(s.key, {"text": s.text, "source": s.source, "token": s.token, "kl": s.kl, "evidence": s.evidence})
        for s in lines
    )
    caption = (
        "Holds: on every instance solved here; fails: refuted by the named instance. Theorem numbers as "
        "paraphrased from arXiv 2509.22921; proofs in docs/theory.md."
    )
    return Table("theory_statements", "Statements and verdicts", caption, columns, (("", body),))
