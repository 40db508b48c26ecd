"""Table `differences`: the constrained method against every other row, on the same prompts; and our loop against TRL's
trainer of the same method, where both are there.
"""

from __future__ import annotations

from dataclasses import replace

from evaluation import paired
from evaluation.captions import group_title, row_label
from evaluation.collected import Collected, Row, Test
from evaluation.pairwise import win_rate_gap
from evaluation.significance import resolution
from evaluation.statistics import bounded_interval
from evaluation.table_files import Column, Line, Table
from evaluation.tables.layout import Group, row_line, table

METHOD = "cmdp"
PARITY = (("grpo", "trl_grpo"), ("gkd", "trl_distillation"))  # ours, TRL's trainer of the same objective
COLUMNS = (
    Column("FAC", "FAC", "percentage points"),
    Column("CS", "CS", "percentage points"),
    Column("KL", "KL", "nats per token", 3),
    Column("RWR", "RWR", "percentage points", compared=True),
    Column("wins - losses", "Wins - losses", "percentage points"),
)
WHAT = (
    "CMDP minus the row, response by response on the same prompts (and the same training seed, where the row is "
    "trained), with 95 % intervals: what makes a prompt hard for both cancels. RWR: difference of the two mean win "
    "rates of the main table; wins - losses: the two rows against each other. Positive FAC, CS and RWR and negative "
    "KL speak for CMDP. Each interval is for one comparison, not corrected for their number: where nothing differs "
    "about one in twenty leaves out 0 (the tables claims and win_matrix are corrected). Rows named as ours minus TRL "
    "are the first minus the second row instead: GRPO's should be 0, GKD's about 0."
)


def differences_table(size: Collected) -> Table:
    """CMDP minus every other row in FAC, CS, KL, RWR and direct wins; a second CMDP setting is a row like others."""
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        base = size.row(pair, METHOD)
        others = [r for r in size.rows(pair, "method", "reference") if base and r.runs != base.runs]
        for test in content.tests:
            lines = [_line(size, base, other, test, "CMDP") for other in others if base]
            lines += [_line(size, ours, theirs, test, ours.label) for ours, theirs in _parity(size, pair)]
            groups.append((group_title(test.title, pair), tuple(lines)))
    what = f"{WHAT} {resolution(size)}"
    return table(size, "differences", "CMDP against every other row", what, COLUMNS, groups)


def _parity(size: Collected, pair: str) -> list[tuple[Row, Row]]:
    """Our row and TRL's of each method that the pair has both of."""
    found = [(size.row(pair, ours), size.row(pair, theirs)) for ours, theirs in PARITY]
    return [(ours, theirs) for ours, theirs in found if ours and theirs]


def _line(size: Collected, base: Row, other: Row, test: Test, name: str) -> Line:
    """`base` minus `other`, named by the latter; by both where `base` is not plainly CMDP with all its runs."""
    plain = base.method == METHOD and not base.setting and (base.complete or base.gap)
    label = row_label(other) if plain else f"{row_label(base)} minus {row_label(other)}"
    gap = f"{name} {base.gap}" if base.gap else other.gap
    if gap:
        return replace(row_line(other, {}, gap, beside=base), label=label)
    found = paired.differences(size, base, other, test.name)
    cells = {name: difference.estimate() for name, difference in found.items()}
    gap_in_wins = win_rate_gap(size, base, other, test.name)
    if gap_in_wins is not None:
        cells["RWR"] = bounded_interval(gap_in_wins).scaled(100.0)
    return replace(row_line(other, dict(cells), beside=base), label=label)
