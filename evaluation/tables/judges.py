"""Table `judges`: win rates by each language-model judge, and what may have swayed it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation.collected import Collected, Row, Test
from evaluation.domains import ratio_interval
from evaluation.pairwise import meetings, opponents, overall
from evaluation.statistics import Array, Estimate, proportion_interval
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import REFERENCES, Group, groups_by_test, percent, row_line, table
from evaluation.verdicts import Meeting

COLUMNS = tuple(
    Column(key, heading, "%", compared=True)
    for key, heading in {
        "rwr": "RWR %",
        "tie": "Tie %",
        "rlr": "RLR %",
        "close_rwr": "RWR, similar length %",
        "close": "Similar length %",
        "flip": "Flips %",
        "first": "For the first shown %",
        "unparsable": "No verdict %",
    }.items()
)
WHAT = (
    "Reasoning win, tie and loss rates by each language-model judge (mean over the other trained rows, same question "
    "and seed, one sampled response of each). Every two responses are judged in both orders; a tie where the orders "
    "disagree or a reply holds no verdict. Similar length: the shorter response has at least 80 % of the tokens of the "
    "longer; RWR over those comparisons alone. Flips: comparisons with two verdicts that changed with the order. For "
    "the first shown: verdicts for the response in first place among those for one of the two (50 without a "
    "preference). No "
    f"verdict: replies without one. {REFERENCES}"
)


def judges_table(size: Collected) -> Table:
    """Win rates by each judge of the size."""
    groups: list[Group] = []
    for judge, model in size.verdicts.judges.items():

        def line(row: Row, test: Test, judge: str = judge) -> Line:
            return row_line(row, {} if row.gap else _cells(size, row, test, judge), row.gap)

        groups += [(f"{title}, judge {judge} ({model})", lines) for title, lines in groups_by_test(size, line)]
    return table(size, "judges", "Win rates by language-model judges", WHAT, COLUMNS, groups)


def _cells(size: Collected, row: Row, test: Test, judge: str) -> dict[str, Cell]:
    match = overall(size, row, test.name, judge)
    met = _met(size, row, test.name, judge)
    if match is None:
        return {}

    def share(part: Callable[[Meeting], Array], of: Callable[[Meeting], Array]) -> Estimate | None:
        return _share(_summed(met, part), _summed(met, of))

    def one(meeting: Meeting) -> Array:
        return np.ones_like(meeting.asked)

    return {
        "rwr": percent(match.win), "tie": percent(match.tie), "rlr": percent(match.loss),
        "close_rwr": share(lambda m: m.close * (m.sign == 1.0), lambda m: m.close),
        "close": share(lambda m: m.close, one),
        "flip": share(lambda m: m.flip, lambda m: m.parsed),
        "first": share(lambda m: m.first, lambda m: m.decisive),
        "unparsable": share(lambda m: m.unparsable, lambda m: 2.0 * m.asked),
    }  # fmt: skip


def _met(size: Collected, row: Row, test: str, judge: str) -> dict[int, list[Meeting]]:
    """By seed: the row's meetings with its opponents."""
    found: dict[int, list[Meeting]] = {}
    for other in opponents(size, row):
        for seed, left, right in meetings(row, other):
            meeting = size.verdicts.meeting(judge, test, left.run, right.run)
            if meeting:
                found.setdefault(seed, []).append(meeting)
    return found


def _summed(met: dict[int, list[Meeting]], part: Callable[[Meeting], Array]) -> Array:
    """Over a row's opponents, (seeds, questions, 1)."""
    return np.stack([np.sum([part(meeting) for meeting in met[seed]], axis=0)[:, None] for seed in sorted(met)])


def _share(part: Array, of: Array) -> Estimate | None:
    """A share in percent; None where there is nothing to share.

    Its interval is cut to what a share can be, and claims no more than its questions without an exception would.
    """
    if not of.any():
        return None
    found = ratio_interval(part, of)
    questions = int(of.any(axis=(0, 2)).sum())
    open_end = proportion_interval(np.zeros((1, questions, 1))).high
    # min and max pass over a NaN that comes last: without an interval that of the questions stands.
    low, high = max(min(found.mean, 1.0 - open_end, found.low), 0.0), min(max(found.mean, open_end, found.high), 1.0)
    return Estimate(found.mean, low, high, questions, found.samples, found.seeds).scaled(100.0)
