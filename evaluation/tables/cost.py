"""Table `cost`: what training one run cost."""

from __future__ import annotations

from evaluation.captions import row_label
from evaluation.collected import Collected
from evaluation.statistics import seed_interval
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import Group, table

COSTS: tuple[tuple[Column, float], ...] = (
    (Column("wall_s", "Wall s", "s"), 1.0),
    (Column("generate_s", "Generation s", "s"), 1.0),
    (Column("teacher_s", "Teacher s", "s"), 1.0),
    (Column("student_s", "Student s", "s"), 1.0),
    (Column("tokens_generated", "Generated ktok", "thousand tokens", 0), 1e-3),
    (Column("student_tokens", "Student ktok", "thousand tokens", 0), 1e-3),
    (Column("teacher_tokens", "Teacher ktok", "thousand tokens", 0), 1e-3),
    (Column("flops", "TFLOPs", "10^12 operations", 2), 1e-12),
    (Column("peak_memory_bytes", "Peak MiB", "MiB", 0), 2.0**-20),
)
WHAT = (
    "Cost of training one run (evaluation not included): mean over seeds with a 95 % t interval over seeds. "
    "FLOPs are estimated from parameters and tokens."
)


def cost_table(size: Collected) -> Table:
    """What training cost, per run."""
    costs = size.costs.set_index("run")
    groups: list[Group] = []
    for pair in size.pairs:
        lines = []
        for row in size.rows(pair, "method"):
            runs = [run.run for run in row.finished if run.run in costs.index]
            cells: dict[str, Cell] = {}
            for column, unit in COSTS:
                values = costs.loc[runs, column.key].dropna().to_numpy(dtype=float) * unit
                cells[column.key] = seed_interval(values) if len(values) else None
            lines.append(Line(row_label(row), cells, row.gap))
        groups.append((f"Pair {pair}", tuple(lines)))
    return table(size, "cost", "Training cost", WHAT, tuple(column for column, _ in COSTS), groups)
