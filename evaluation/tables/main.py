"""Table `main`: the paper's five columns."""

from __future__ import annotations

from evaluation import measures
from evaluation.collected import Collected, Row, Test
from evaluation.pairwise import judge_name, overall
from evaluation.significance import resolution
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.layout import REFERENCES, by_test, percent

MAIN_COLUMNS = (
    Column("fac", "FAC %", "%"),
    Column("rwr", "RWR %", "%", compared=True),
    Column("rlr", "RLR %", "%", compared=True),
    Column("cs", "CS %", "%"),
    Column("kl", "KL", "nats per token", 3),
)
WHAT = (
    "FAC: final answer correct. RWR, RLR: reasoning win and loss rate by {judge}, mean over the "
    "other trained rows. CS: responses within d. KL: mean reverse KL to the teacher per token. All on responses "
    f"sampled at temperature 1. {REFERENCES}"
)


def main_table(size: Collected) -> Table:
    """FAC, RWR, RLR, CS and KL of every method and reference on every test set."""
    return by_test(
        size,
        "main",
        "Main results",
        f"{WHAT.format(judge=judge_name(size))} {resolution(size)}",
        MAIN_COLUMNS,
        main_cells,
    )


def main_cells(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    """The cells of the main table for one row and test set, by column key."""
    match = overall(size, row, test.name)
    return {
        "fac": percent(measures.fac(size, row, test.name)),
        "rwr": percent(match.win if match else None),
        "rlr": percent(match.loss if match else None),
        "cs": percent(measures.satisfaction(size, row, test.name)),
        "kl": measures.divergence(size, row, test.name),
    }
