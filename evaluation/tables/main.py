"""Tables `main` (the paper's five columns) and `readings` (the same responses under every reading)."""

from __future__ import annotations

from dataclasses import replace

from evaluation import measures
from evaluation.collected import Collected, Row, Test
from evaluation.pairwise import judge_name, overall
from evaluation.significance import resolution
from evaluation.statistics import bounded_interval
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.layout import REFERENCES, by_test, percent

MAIN_COLUMNS = (
    Column("fac", "FAC %", "%"),
    Column("rwr", "RWR %", "%", compared=True),
    Column("rlr", "RLR %", "%", compared=True),
    Column("cs", "CS %", "%"),
    Column("kl", "KL", "nats per token", 3),
)
MAIN = (
    "FAC: final answer correct. RWR, RLR: reasoning win and loss rate by {judge}, mean over the "
    "other trained rows. CS: responses within d. KL: mean reverse KL to the teacher per token. All on responses "
    f"sampled at temperature 1. {REFERENCES}"
)

READING_COLUMNS = (
    Column("cs_mean", "CS mean %", "%"),
    Column("cs_sum", "CS sum %", "%"),
    Column("cs_prefix", "CS prefix %", "%"),
    Column("kl", "KL per token", "nats per token", 3),
    Column("kl_sum", "KL per response", "nats per response", 2),
    Column("fac", "FAC sampled %", "%"),
    Column("equivalent", "FAC equivalent %", "%"),
    Column("gap", "Equivalent - strict", "percentage points"),
    Column("fac_greedy", "FAC greedy %", "%"),
    Column("reasoning", "Valid steps %", "%"),
    Column("sound", "RSR %", "%"),
    Column("truncated", "Truncated %", "%"),
    Column("unextracted", "No answer %", "%"),
)
READINGS = (
    "The same responses under every reading of the constraint: the mean KL per token, the sum over the response, "
    "and every running mean (prefix), each against the same d. Beside them greedy decoding, the share of required "
    "reasoning steps validly shown, and the shares of responses that show all of them, none false, and are right "
    f"(RSR), that are cut at the length limit and that have no strict answer. {REFERENCES}"
)
SAME = "Comparing answers by math-verify instead of by spelling changes no response (columns in the CSV)."
OTHER = "FAC equivalent: the marked answer equals the gold one by math-verify, whatever its spelling."


def main_table(size: Collected) -> Table:
    """FAC, RWR, RLR, CS and KL of every method and reference on every test set."""
    return by_test(
        size,
        "main",
        "Main results",
        f"{MAIN.format(judge=judge_name(size))} {resolution(size)}",
        MAIN_COLUMNS,
        main_cells,
    )


def readings_table(size: Collected) -> Table:
    """The readings of the constraint and the side measures of the same responses."""
    title = "Readings of the constraint and side measures"
    differ = any(
        (gaps := measures.equivalence_gap(size, row, test.name)) is not None and gaps.any()
        for pair, content in size.pairs.items()
        for row in size.rows(pair, "method", "reference")
        for test in content.tests
    )
    columns = tuple(replace(c, printed=differ or c.key not in {"equivalent", "gap"}) for c in READING_COLUMNS)
    what = f"{READINGS} {OTHER if differ else SAME} {resolution(size)}"
    return by_test(size, "readings", title, what, columns, _readings)


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


def _readings(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    gap = measures.equivalence_gap(size, row, test.name)
    return {
        "cs_mean": percent(measures.satisfaction(size, row, test.name, "mean")),
        "cs_sum": percent(measures.satisfaction(size, row, test.name, "sum")),
        "cs_prefix": percent(measures.satisfaction(size, row, test.name, "prefix")),
        "kl": measures.divergence(size, row, test.name),
        "kl_sum": measures.divergence(size, row, test.name, "sum"),
        "fac": percent(measures.fac(size, row, test.name)),
        "equivalent": percent(measures.equivalent(size, row, test.name)),
        "gap": None if gap is None else bounded_interval(gap).scaled(100.0),
        "fac_greedy": percent(measures.fac(size, row, test.name, "greedy")),
        "reasoning": percent(measures.reasoning(size, row, test.name)),
        "sound": percent(measures.reasoning_success(size, row, test.name)),
        "truncated": percent(measures.missing_share(size, row, test.name, "finished")),
        "unextracted": percent(measures.missing_share(size, row, test.name, "extracted")),
    }
