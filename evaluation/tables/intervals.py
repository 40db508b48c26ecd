"""Table `intervals`: the analytic intervals beside bootstrap ones, as a check of the former."""

from __future__ import annotations

import numpy as np

from evaluation import measures
from evaluation.bootstrap import DRAWS, bootstrap_interval
from evaluation.collected import Collected, Row, Test
from evaluation.statistics import positive_interval, proportion_interval
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.layout import by_test, percent

COLUMNS = (
    Column("fac", "FAC %", "%"),
    Column("fac_boot", "FAC bootstrap", "%"),
    Column("cs", "CS %", "%"),
    Column("cs_boot", "CS bootstrap", "%"),
    Column("kl", "KL", "nats per token", 3),
    Column("kl_boot", "KL bootstrap", "nats per token", 3),
)
WHAT = (
    "The intervals of the main table beside a bootstrap of the same responses "
    f"({DRAWS} draws of S - 1 training seeds and P - 1 prompts, a prompt's samples together, percentiles stretched by "
    "t / z of their degrees of freedom). At rates of 0 or 1 a bootstrap has no width: the tables print the analytic "
    "intervals."
)


def intervals_table(size: Collected) -> Table:
    """FAC, CS and KL with both kinds of interval."""
    return by_test(size, "intervals", "Intervals, checked by bootstrap", WHAT, COLUMNS, _cells)


def _cells(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    correct, inside = size.stacked(row, test.name, "correct"), measures.satisfied(size, row, test.name)
    for key, rates in (("fac", correct), ("cs", inside)):
        if rates is not None:
            cells[key] = percent(proportion_interval(rates))
            cells[f"{key}_boot"] = percent(bootstrap_interval([rates], within=(0.0, 1.0)))
    kl = size.stacked(row, test.name, "kl_mean")
    if kl is not None:
        cells |= {"kl": positive_interval(kl), "kl_boot": bootstrap_interval([kl], within=(0.0, np.inf))}
    return cells
