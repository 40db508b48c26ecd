"""The theory in four panels: convergence in n, violation and its bound, what no fixed lambda reaches (2)."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.figures.style import laid_out, use_style
from evaluation.theory import instances
from evaluation.theory.problem import evaluate, trajectory_costs
from evaluation.theory.relaxation import relaxed_policy
from evaluation.theory.results import Results, Row

TITLE = "The theory, computed exactly"
CAPTION = (
    "Small problems solved by enumeration. Top: value and violation probability of the optimum under the modified "
    "reward against the penalty n; dotted, the bound of Theorem 3.3. Bottom: what fixed multipliers reach, against the "
    "constrained optimum; in both problems no single λ gives it. Exact, so no intervals."
)
SHOWN = (
    ("one slip", "blind", "C0", "o"),
    ("two rooms", "blind", "C1", "s"),
    ("unequal branches", "full", "C2", "^"),
)


def _label(row: Row) -> str:
    cost = "KL" if row.cost == "kl" else "fixed cost"
    return f"{row.problem} ({row.student} student, {cost})"


def _convergence(axes: Axes, results: Results) -> None:
    """V*_n - V_feasible against n."""
    for name, student, colour, marker in SHOWN:
        rows = results.of(name, student)
        gaps = [max(row.unaugmented - row.feasible_value, 0.0) for row in rows]
        axes.plot([row.n for row in rows], gaps, marker + "-", color=colour, label=_label(rows[0]))
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("symlog", linthresh=1e-4)
    axes.set(xlabel="penalty n", ylabel="$V^*_n - V_{feasible}$", title="Values fall to the feasible optimum")
    axes.set_ylim(-3e-5, 30)  # room for the legend above the curves
    axes.legend(fontsize=7, loc="upper right")


def _violations(axes: Axes, results: Results) -> None:
    """Violation probability at the optimum and its bound, against n."""
    for name, student, colour, marker in SHOWN:
        rows = results.of(name, student)
        n = [row.n for row in rows]
        axes.plot(n, [row.violation for row in rows], marker + "-", color=colour)
        axes.plot(n, [row.bound for row in rows], ":", color=colour)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("symlog", linthresh=1e-6)
    axes.set(xlabel="penalty n", ylabel="violation probability", title="Violation; dotted: $(1-V)/(1+n)$")


def _relaxation(axes: Axes, results: Results) -> None:
    """Expected reward against the worst trajectory's cost along all lambda, and the constrained optimum."""
    problem = instances.UNEQUAL_BRANCHES
    path = [evaluate(problem, relaxed_policy(problem, w)) for w in np.geomspace(0.05, 50, 200)]
    axes.plot([o.worst_cost for o in path], [o.reward for o in path], color="C3", label="fixed λ, worst trajectory")
    axes.plot([o.mean_cost for o in path], [o.reward for o in path], "--", color="C3", label="fixed λ, expected")
    best = results.of(problem.name)[0].feasible_value
    axes.plot(problem.d, best, "k*", markersize=11, label="constrained optimum")
    axes.axvline(problem.d, color="grey", linewidth=1)
    axes.set(xlabel="KL per token in nats (grey: d)", ylabel="E[R]", title="KL cost: unequal branches")
    axes.legend(fontsize=7)


def _hull(axes: Axes) -> None:
    """A fixed cost: the upper hull, all that any lambda reaches, and the feasible optimum below it."""
    problem = instances.HULL
    costs = trajectory_costs(problem, problem.teacher)
    axes.plot(costs[[0, 2]], problem.reward[[0, 2]], "o-", color="C3", label="reached by some fixed λ")
    axes.plot(costs[1], problem.reward[1], "k*", markersize=11, label="constrained optimum")
    axes.axvline(problem.d, color="grey", linewidth=1)
    axes.set(xlabel="cost of the answer in nats (grey: d)", ylabel="R", title="Fixed cost: below the hull")
    axes.legend(fontsize=7)


def theory_figure(results: Results) -> Figure:
    """The four panels as one figure with title and caption, 9 inches wide."""
    use_style()
    plt.rcParams["text.parse_math"] = True
    figure = Figure(figsize=(9, 7))
    panels = figure.subplots(2, 2)
    _convergence(panels[0, 0], results)
    _violations(panels[0, 1], results)
    _relaxation(panels[1, 0], results)
    _hull(panels[1, 1])
    return laid_out(figure, panels, TITLE, CAPTION)
