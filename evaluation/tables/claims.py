"""Table `claims`: what the runs say about each claim in circulation."""

from __future__ import annotations

from pathlib import Path

from evaluation.claims import decide, load
from evaluation.collected import Collected
from evaluation.table_files import Column, Line, Table
from evaluation.tables.layout import Group, table

COLUMNS = (
    Column("claim", "Claim"),
    Column("source", "Source"),
    Column("verdict", "Verdict"),
    Column("number", "Deciding number", "as named beside it", 3),
    Column("where", "What it is, or what is missing"),
)
WHAT = (
    "The claims about the paper in circulation, decided by these runs: supported (every comparison is shown, each at "
    "5 %), contradicted (one is shown to be the other way round, Holm-corrected over the claim's comparisons, of which "
    "those on its own side count as p = 1; certificates and costs uncorrected), undecided, or not run. The number is "
    "the comparison least favourable to the claim with its 95 % interval: CMDP minus the named row, rates in "
    "percentage points and KL in nats. evaluation/claims.yaml states every claim."
)


def claims_table(size: Collected, theory: Path | None) -> Table:
    """Every claim in every pair; `theory` is the folder with the tables of exactly solved problems."""
    claims = load()
    groups: list[Group] = []
    for pair in size.pairs:
        lines = []
        for claim in claims:
            found = decide(claim, size, pair, theory)
            cells = {"claim": claim.claim, "source": claim.source, "verdict": found.verdict}
            lines.append(Line(claim.id, {**cells, "number": found.number, "where": found.where}))
        groups.append((f"Pair {pair}", tuple(lines)))
    return table(size, "claims", "Claims and verdicts", WHAT, COLUMNS, groups)
