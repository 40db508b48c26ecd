"""Table `judge_agreement`: how often judges, and the exact verifier, say the same of the same comparisons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from evaluation.bootstrap import bootstrap_interval
from evaluation.captions import group_title
from evaluation.collected import Collected
from evaluation.pairwise import meetings, verified_signs
from evaluation.statistics import Array, proportion_interval
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import Group, table

VERIFIER = "exact verifier"
COLUMNS = (
    Column("kappa", "Cohen's kappa", "", 2),
    Column("agree", "Same outcome %", "%"),
    Column("pairs", "Comparisons per question", "", 0),
)
WHAT = (
    "Win, tie or loss by two judges on the same comparisons of two rows (at least one of them trained): share with the "
    "same outcome, and Cohen's kappa (0: as much as chance, 1: always), with 95 % bootstrap intervals over training "
    "seeds and questions."
)


def judge_agreement_table(size: Collected) -> Table:
    """Each two judges, the exact verifier among them where there is one."""
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        for test in content.tests:
            seen = {judge: outcomes(size, pair, test.name, judge) for judge in [*size.verdicts.judges, VERIFIER]}
            lines = tuple(Line(f"{a} and {b}", agreement(seen[a], seen[b])) for a, b in combinations(seen, 2))
            groups.append((group_title(test.title, pair), lines))
    return table(size, "judge_agreement", "Agreement of judges", WHAT, COLUMNS, groups)


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
