"""Tables `across_pairs`, `across_pairs_differences` and `across_pairs_claims`: what holds over pairs of models.

Made where a size has three pairs or more that can be taken together (evaluation/across.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evaluation import measures
from evaluation.across import across_pairs
from evaluation.certify import TARGET, certify
from evaluation.collected import Collected, Row, Test
from evaluation.pairwise import judge_name
from evaluation.significance import resolution
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.claims import claims_table
from evaluation.tables.differences import differences_table
from evaluation.tables.layout import by_test
from evaluation.tables.main import MAIN_COLUMNS, main_cells
from evaluation.tables.satisfaction import verdict_of

NAME = "across_pairs"
TITLE = "Over pairs of models"
OVER = (
    "Over pairs of models, each a teacher and a student of its own with one training seed: the pairs stand where "
    "training seeds stand in other tables (the CSV's column 'seeds' counts them), so that the 95 % intervals are over "
    "pairs, prompts and samples, and hold for another pair of the same making."
)
COLUMNS = (
    *MAIN_COLUMNS,
    Column("range", "CS of the pairs %", "%"),
    Column("low", "CS at least %", "%"),
    Column("verdict", f"{100 * TARGET:.0f} % satisfied?"),
)
WHAT = (
    "FAC: final answer correct. RWR, RLR: reasoning win and loss rate by {judge}, mean over the other trained rows. "
    "CS: responses within d, with the lowest and the highest of the pairs. KL: mean reverse KL to the teacher per "
    "token. All on responses sampled at temperature 1. At least, and the verdict: as in the table satisfaction."
)


def across_tables(size: Collected, theory: Path | None) -> list[Table]:
    """The three tables; none where the size's pairs cannot be taken together."""
    whole = across_pairs(size)
    if whole is None:
        return []
    what = f"{OVER} {WHAT.format(judge=judge_name(whole))} {resolution(whole)}"
    found = by_test(whole, NAME, TITLE, what, COLUMNS, _cells)
    others = {"differences": differences_table(whole), "claims": claims_table(whole, theory)}
    return [found, *(_renamed(table, key) for key, table in others.items())]


def _renamed(table: Table, key: str) -> Table:
    title = f"{TITLE}: {table.title}"
    return replace(table, name=f"{NAME}_{key}", title=title, caption=f"{OVER} {table.caption}")


def _cells(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    cells = main_cells(size, row, test)
    inside = measures.satisfied(size, row, test.name)
    if inside is None:
        return cells
    sure, pairs = certify(inside), 100.0 * inside.mean(axis=(1, 2))
    spread = f"{pairs.min():.1f}\N{EN DASH}{pairs.max():.1f}"
    return {**cells, "range": spread, "low": 100.0 * sure.low, "verdict": verdict_of(row, sure)}
