"""Table `satisfaction`: is "at least 95 % of the responses within d" shown, refuted, or open?"""

from __future__ import annotations

from evaluation import measures
from evaluation.certify import MOST_PROMPTS, TARGET, Certificate, Verdict, certify
from evaluation.collected import Collected, Row, Test
from evaluation.columns import READINGS
from evaluation.domains import ratio_interval, tail_mean_interval
from evaluation.significance import resolution
from evaluation.statistics import positive_interval, spread
from evaluation.table_files import Cell, Column, Table
from evaluation.tables.layout import REFERENCES, by_test, percent

WORST = 0.05  # share of the responses
COLUMNS = (
    Column("cs", "CS %", "%"),
    Column("low", "CS at least %", "%"),
    Column("verdict", f"{100 * TARGET:.0f} % satisfied?"),
    Column("prompts", "Prompts that decide"),
    *(Column(f"low_{name}", f"{name}: at least %", "%") for name in READINGS),
    Column("kl", "KL", "nats per token", 3),
    Column("se", "SE of KL", "nats per token", 4),
    Column("excess", "Excess beyond d", "nats", 3),
    Column("worst", "Worst 5 % KL", "nats", 3),
)
WHAT = (
    "Constraint satisfaction, re-measured by one scorer on sampled responses. At least: one-sided 95 % exact "
    "(Clopper-Pearson) lower bound with the effective sample size of clustered prompts and seeds, with several seeds "
    "no closer than their logits allow and never surer than P prompts without an exception (docs/metrics.md), in the "
    f"pair's reading and in each. Verdict on at least {100 * TARGET:.0f} % satisfied, with 95 % confidence: holds "
    "where that bound reaches it, fails where the one-sided upper bound stays below, else undecided. Prompts that "
    "decide: the smallest P' at which the same rate r would, with variance v(P') = v_seed + (v - v_seed) P / P' and "
    "effective size r (1 - r) / v(P') (z / t)^2, under the same two limits; more seeds: their spread leaves it open at "
    "any number of prompts; every run: some were lost, and those left are a selection. "
    f"Excess: mean KL beyond d among violators; worst: mean KL of the worst 5 % of responses. {REFERENCES}"
)


def satisfaction_table(size: Collected) -> Table:
    """CS with its certificate, the size of violations, and a verdict, for every row and test set."""
    what = f"{WHAT} {resolution(size)}"
    return by_test(size, "satisfaction", "Constraint satisfaction, certified", what, COLUMNS, _cells)


def verdict_of(row: Row, sure: Certificate) -> Verdict:
    """The certificate's verdict on a row that has all its runs; what is left of another row is a selection."""
    return sure.verdict if row.complete else "undecided"


def _cells(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    pair = size.pairs[row.pair]
    inside, kl = measures.satisfied(size, row, test.name), size.stacked(row, test.name, "kl_mean")
    charged = size.stacked(row, test.name, f"kl_{pair.reading}")
    if inside is None or kl is None or charged is None:
        return {}
    sure = certify(inside)
    stuck = "more seeds" if len(inside) > 1 else f"beyond {MOST_PROMPTS // 10**6} million"
    needed = stuck if sure.prompts_to_decide is None else f"{sure.prompts_to_decide:,}"
    verdict, needed = verdict_of(row, sure), needed if row.complete else "every run"
    beyond = 1.0 - inside
    cells: dict[str, Cell] = {
        "cs": percent(measures.satisfaction(size, row, test.name)),
        "low": 100.0 * sure.low,
        "verdict": verdict,
        "prompts": needed if verdict == "undecided" else "",
        "kl": positive_interval(kl),
        "se": spread(kl).error,
        "excess": ratio_interval(beyond * (charged - pair.threshold.d), beyond) if beyond.any() else "no violation",
        "worst": tail_mean_interval(charged, WORST),
    }
    for reading in READINGS:
        read = measures.satisfied(size, row, test.name, reading)
        cells[f"low_{reading}"] = None if read is None else 100.0 * certify(read).low
    return cells
