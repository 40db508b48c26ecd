"""Table `equal_compute`: every method after equally many steps, and at an equal budget of operations."""

from __future__ import annotations

import numpy as np

from evaluation.collected import Collected, Row, counts
from evaluation.equal_compute import Limits, Point, at_budget, at_steps, flops_per_step, limits, steps_resolution
from evaluation.statistics import seed_interval
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import Group, percent, row_line, table

COLUMNS = (
    Column("per_step", "GFLOPs per step", "10^9 operations", 2),
    *(
        column
        for key, where in (("steps", "equal steps"), ("budget", "equal budget"))
        for column in (
            Column(f"{key}_at", f"Steps, {where}"),
            Column(f"{key}_reward", f"Reward %, {where}", "%"),
            Column(f"{key}_kl", f"KL, {where}", "nats per token", 3),
            Column(f"{key}_cs", f"Satisfied %, {where}", "%"),
        )
    ),
)
WHAT = (
    "Each trained row by the training monitor (fixed validation prompts, one sampled response each) at the last "
    "monitored step that every run of the pair reached, and at the last one within the budget that every run reached. "
    "Budget: operations of student and teacher together, generation included, estimated from parameters and tokens as "
    "in the cost table and spread evenly over a run's steps; evaluation not included. 95 % intervals over training "
    "seeds and prompts."
)


def equal_compute_table(size: Collected) -> Table:
    """Reward, KL and satisfaction of every method at equal steps and at equal budget."""
    groups: list[Group] = []
    for pair in size.pairs:
        common = limits(size, pair)
        if common is None:
            groups.append((f"Pair {pair}: no run has both curve and cost", ()))
            continue
        lines = tuple(_line(size, row, common) for row in size.rows(pair, "method"))
        group = f"Pair {pair}: {common.steps} steps; budget {common.flops / 1e12:.3g} TFLOPs"
        groups.append((group, lines))
    what = f"{WHAT} {steps_resolution(size)}"
    title = "Equal steps and equal compute"
    return table(size, "equal_compute", title, what, COLUMNS, groups, "of the validation set")


def _line(size: Collected, row: Row, common: Limits) -> Line:
    if row.gap:
        return row_line(row, {}, row.gap)
    known = flops_per_step(size)
    per_step = np.array([known[run.run] for run in row.finished if run.run in known])
    cells: dict[str, Cell] = {"per_step": seed_interval(per_step / 1e9) if len(per_step) else None}
    cells |= _cells("steps", at_steps(size, row, common.steps))
    cells |= _cells("budget", at_budget(size, row, common.flops))
    return row_line(row, cells)


def _cells(key: str, point: Point | None) -> dict[str, Cell]:
    if point is None:
        return {}
    return {
        f"{key}_at": counts(point.steps),
        f"{key}_reward": percent(point.reward),
        f"{key}_kl": point.kl,
        f"{key}_cs": percent(point.satisfied),
    }
