"""Table `cost`: what training one run cost."""

from __future__ import annotations

from evaluation.collected import Collected
from evaluation.significance import cost_resolution
from evaluation.statistics import not_negative, seed_interval
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.layout import Group, row_line, table

COSTS: tuple[tuple[Column, float], ...] = (
    (Column("wall_s", "Wall s", "s"), 1.0),
    (Column("generate_s", "Generation s", "s"), 1.0),
    (Column("token_ms", "Sampling ms/token", "ms per generated token", 2), 1.0),
    (Column("teacher_s", "Teacher s", "s"), 1.0),
    (Column("student_s", "Student s", "s"), 1.0),
    (Column("tokens_generated", "Generated ktok", "thousand tokens", 0), 1e-3),
    (Column("student_tokens", "Student ktok", "thousand tokens", 0), 1e-3),
    (Column("teacher_tokens", "Teacher ktok", "thousand tokens", 0), 1e-3),
    (Column("flops", "TFLOPs", "10^12 operations", 2), 1e-12),
    (Column("peak_memory_bytes", "Peak MiB", "MiB", 0), 2.0**-20),
)
WHAT = (
    "Cost of training one run (evaluation not included): mean over seeds, 95 % t interval over seeds cut at 0. "
    "FLOPs are estimated from parameters and tokens. Sampling is what a policy needs in use too, with Sauté's teacher."
)


def cost_table(size: Collected) -> Table:
    """What training cost, per run."""
    costs = size.costs.set_index("run")
    generated = costs["tokens_generated"].where(costs["tokens_generated"] > 0)
    costs = costs.assign(token_ms=1e3 * costs["generate_s"] / generated)
    groups: list[Group] = []
    for pair in size.pairs:
        lines = []
        for row in size.rows(pair, "method"):
            runs = [run.run for run in row.finished if run.run in costs.index]
            cells: dict[str, Cell] = {}
            for column, unit in COSTS:
                values = costs.loc[runs, column.key].dropna().to_numpy(dtype=float) * unit
                cells[column.key] = not_negative(seed_interval(values)) if len(values) else None
            lines.append(row_line(row, cells, row.gap))
        groups.append((f"Pair {pair}", tuple(lines)))
    what, columns = f"{WHAT} {cost_resolution(size)}", tuple(column for column, _ in COSTS)
    return table(size, "cost", "Training cost", what, columns, groups)
