"""Table `readings`: the same responses under every reading of the constraint, and side measures."""

from __future__ import annotations

from dataclasses import replace

from evaluation import measures
from evaluation.collected import Collected, Row, Test
from evaluation.significance import resolution
from evaluation.statistics import bounded_interval
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.layout import REFERENCES, by_test, percent

COLUMNS = (
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
WHAT = (
    "The same responses under every reading of the constraint: the mean KL per token, the sum over the response, "
    "and every running mean (prefix), each against the same d. Beside them greedy decoding, the share of required "
    "reasoning steps validly shown, and the shares of responses that show all of them, none false, and are right "
    f"(RSR), that are cut at the length limit and that have no strict answer. {REFERENCES}"
)
SAME = "Comparing answers by math-verify instead of by spelling changes no response (columns in the CSV)."
OTHER = "FAC equivalent: the marked answer equals the gold one by math-verify, whatever its spelling."


def readings_table(size: Collected) -> Table:
    """The readings of the constraint and the side measures of the same responses."""
    title = "Readings of the constraint and side measures"
    differ = any(
        (gaps := measures.equivalence_gap(size, row, test.name)) is not None and gaps.any()
        for pair, content in size.pairs.items()
        for row in size.rows(pair, "method", "reference")
        for test in content.tests
    )
    columns = tuple(replace(c, printed=differ or c.key not in {"equivalent", "gap"}) for c in COLUMNS)
    what = f"{WHAT} {OTHER if differ else SAME} {resolution(size)}"
    return by_test(size, "readings", title, what, columns, _cells)


def _cells(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
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
