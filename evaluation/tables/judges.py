"""Tables `judges` and `judge_agreement`: win rates by each language-model judge, and how far to trust them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from evaluation.bootstrap import bootstrap_interval
from evaluation.captions import group_title
from evaluation.collected import Collected, Row, Test
from evaluation.domains import ratio_interval
from evaluation.pairwise import meetings, opponents, overall, verified_signs
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
VERIFIER = "exact verifier"
AGREEMENT = (
    Column("kappa", "Cohen's kappa", "", 2),
    Column("agree", "Same outcome %", "%"),
    Column("pairs", "Comparisons per question", "", 0),
)
AGREE = (
    "Win, tie or loss by two judges on the same comparisons of two rows (at least one of them trained): share with the "
    "same outcome, and Cohen's kappa (0: as much as chance, 1: always), with 95 % bootstrap intervals over training "
    "seeds and questions."
)


def judge_tables(size: Collected) -> list[Table]:
    """Both tables; none where no language model judged."""
    if not size.verdicts.judges:
        return []
    return [_judges(size), _agreement(size)]


def _judges(size: Collected) -> Table:
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


def _agreement(size: Collected) -> Table:
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        for test in content.tests:
            seen = {judge: outcomes(size, pair, test.name, judge) for judge in [*size.verdicts.judges, VERIFIER]}
            lines = tuple(Line(f"{a} and {b}", agreement(seen[a], seen[b])) for a, b in combinations(seen, 2))
            groups.append((group_title(test.title, pair), lines))
    return table(size, "judge_agreement", "Agreement of judges", AGREE, AGREEMENT, groups)


@dataclass(frozen=True)
class Signs:
    """Signs of one judge, each (P,) in the order of `prompts`, by the two rows that meet and the seed."""

    prompts: list[str]
    signs: dict[tuple[str, str], dict[int, Array]]


def outcomes(size: Collected, pair: str, test: str, judge: str) -> Signs:
    """What a judge, or the exact verifier of the same responses, says of every two rows, one of which is trained."""
    rows = [row for row in size.rows(pair, "method", "reference") if row.finished]
    by_rows: dict[tuple[str, str], dict[int, Array]] = {}
    for one, other in combinations(rows, 2):
        if not (one.trained or other.trained):
            continue
        if judge == VERIFIER:
            found = verified_signs(size, one, other, test)
        else:
            met = {seed: size.verdicts.meeting(judge, test, a.run, b.run) for seed, a, b in meetings(one, other)}
            found = {seed: meeting.sign for seed, meeting in met.items() if meeting}
        if found:
            by_rows[one.label, other.label] = found
    verified = size.prompts(rows[0].finished[0].run, test) if rows and judge == VERIFIER else []
    return Signs(verified or size.verdicts.prompts(judge, pair, test), by_rows)


def agreement(left: Signs, right: Signs) -> dict[str, Cell]:
    """Cells of two judges, on the questions and the meetings of all seeds that both have judged; empty without any."""
    common = [prompt for prompt in left.prompts if prompt in set(right.prompts)]
    places = [[judge.prompts.index(prompt) for prompt in common] for judge in (left, right)]
    both = {rows: left.signs[rows].keys() & right.signs[rows].keys() for rows in left.signs if rows in right.signs}
    seeds = sorted(set().union(*both.values()))
    complete = [rows for rows, has in both.items() if len(has) == len(seeds)]
    if not (common and complete and seeds):
        return {}
    a, b = (
        np.stack([np.stack([judge.signs[rows][seed][place] for rows in complete], axis=1) for seed in seeds])
        for judge, place in zip((left, right), places, strict=True)
    )
    shares = [(a == b) * 1.0, *((side == outcome) * 1.0 for outcome in (1.0, 0.0, -1.0) for side in (a, b))]
    beyond_chance = replace(bootstrap_interval(shares, kappa, within=(-1.0, 1.0)), samples=1)
    same = replace(proportion_interval(shares[0]), samples=1)  # one response to a question
    return {
        "kappa": None if np.isnan(beyond_chance.mean) else beyond_chance,
        "agree": same.scaled(100.0),
        "pairs": float(len(complete)),
    }


def kappa(means: Array) -> Array:
    """Cohen's kappa (1960) from shares (7, N): the same outcome, then each outcome's share by either judge in turn.

    NaN where both judges always say the same one thing.
    """
    chance = (means[1::2] * means[2::2]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1.0, (means[0] - chance) / (1.0 - chance), np.nan)
