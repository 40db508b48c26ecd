"""Reasoning win rates: every row against every other on the same question.

The judge is the exact step verifier where the problems have one: of two responses to the same prompt, the one that
validly shows the larger share of the required steps wins, equal shares tie. Elsewhere it is the size's first
language model (evaluation/verdicts.py). The final answer is not considered (paper, section on metrics: "reasoning
win / loss rate"; which opponents the paper averages over is unknown).

Two trained rows are compared seed by seed and prompt by prompt: each response of one with every response of the other
but the one of the same number. Those two were sampled with the same random numbers, so two policies that are alike
would tie there more often than they do, and how much more would depend on the size of a batch. An untrained reference
exists once and meets every seed of its opponent. Opponents of a row are the other *trained* rows of the pair, so that
RWR compares methods; teacher and student stand in the win matrix, with their own RWR over the trained rows, but count
as opponents only where nothing else was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from evaluation.collected import Collected, Row, Run
from evaluation.statistics import Array, Estimate, proportion_interval
from evaluation.verdicts import judged_samples


@dataclass(frozen=True)
class Match:
    """Rates of one row against an opponent (or the mean over opponents); win + tie + loss = 1."""

    win: Estimate
    tie: Estimate
    loss: Estimate


@dataclass(frozen=True)
class Outcomes:
    """Shares of its comparisons that each response of a row wins and loses, both (prompts, samples)."""

    won: Array
    lost: Array


def opponents(size: Collected, row: Row) -> list[Row]:
    """The rows that the win rate of `row` is a mean over (see the head of this file)."""
    others = [r for r in size.rows(row.pair, "method", "reference") if r.runs != row.runs and r.finished]
    return [r for r in others if r.trained] or others


def compare(size: Collected, row: Row, opponent: Row, test: str) -> Match | None:
    """`row` against one opponent on a test set; None where no common seed has verified reasoning."""
    return _match(_outcomes(size, row, opponent, test))


def net_wins(size: Collected, row: Row, opponent: Row, test: str) -> Array | None:
    """Wins minus losses of `row` per response, in [-1, 1], (seeds, prompts, samples); None as in `compare`."""
    found = _outcomes(size, row, opponent, test)
    return np.stack([seed.won - seed.lost for seed in found.values()]) if found else None


def win_rate_gap(size: Collected, row: Row, other: Row, test: str) -> Array | None:
    """Per response, the share of its opponents that `row` wins against minus that of `other`; its mean is the
    difference of their RWR. (seeds, prompts, samples) over common seeds, None where there are none.
    """
    left, right = _merged(size, row, test), _merged(size, other, test)
    seeds = sorted(left.keys() & right.keys())
    return np.stack([left[seed].won - right[seed].won for seed in seeds]) if seeds else None


def overall(size: Collected, row: Row, test: str, judge: str = "") -> Match | None:
    """RWR, its ties and RLR: per response the mean over opponents, then over seeds, prompts and samples.

    `judge` names a language model in place of the default judge.
    """
    return _match(_merged(size, row, test, judge))


def judge_name(size: Collected) -> str:
    """Who decides the win rates, as captions say it: the exact verifier, a language model, or each for some pairs."""
    verified = {pair for pair, content in size.pairs.items() for row in size.rows(pair) for test in content.tests
                if size.scores(row, test.name, "reasoning")}  # fmt: skip
    judges = size.verdicts.judges
    if not judges and not verified:
        return "a verifier or a judge, of which this size has neither"
    if not judges or verified == set(size.pairs):
        return "the exact step verifier"
    name, model = next(iter(judges.items()))
    judge = f"the language-model judge '{name}' ({model})"
    return f"the exact step verifier, or {judge} where there is none" if verified else judge


def _merged(size: Collected, row: Row, test: str, judge: str = "") -> dict[int, Outcomes]:
    """By seed: the mean over the opponents that have the seed."""
    against = [found for other in opponents(size, row) if (found := _outcomes(size, row, other, test, judge))]
    seeds = sorted({seed for found in against for seed in found})
    met = {seed: [found[seed] for found in against if seed in found] for seed in seeds}
    return {seed: Outcomes(_mean([o.won for o in each]), _mean([o.lost for o in each])) for seed, each in met.items()}


def _mean(shares: list[Array]) -> Array:
    return np.stack(shares).mean(axis=0)


def meetings(row: Row, opponent: Row) -> list[tuple[int, Run, Run]]:
    """The runs that meet, with the seed for which their meeting counts: equal seeds, but where one side exists once,
    its one run and every seed of the other side.
    """
    met = product(row.finished, opponent.finished)
    if row.once == opponent.once:
        return [(left.seed, left, right) for left, right in met if left.seed == right.seed]
    return [(right.seed if row.once else left.seed, left, right) for left, right in met]


def _outcomes(size: Collected, row: Row, opponent: Row, test: str, judge: str = "") -> dict[int, Outcomes]:
    """By seed, by the exact verifier; by `judge`, or the size's first, where it is named or there is no verifier."""
    verified = {} if judge else scored_meetings(size, row, opponent, test, "reasoning")
    judge = judge or next(iter(size.verdicts.judges), "")
    if verified or not judge:
        return {seed: _against_others(left, right) for seed, _, _, left, right in verified}
    found = {seed: size.verdicts.meeting(judge, test, a.run, b.run) for seed, a, b in meetings(row, opponent)}
    signs = {seed: meeting.sign[:, None] for seed, meeting in sorted(found.items()) if meeting}
    return {seed: Outcomes(np.where(sign > 0, 1.0, 0.0), np.where(sign < 0, 1.0, 0.0)) for seed, sign in signs.items()}


def verified_signs(size: Collected, row: Row, opponent: Row, test: str) -> dict[int, Array]:
    """1 win, 0 tie, -1 loss by the exact verifier, (prompts,) by seed, of the two responses that a language-model judge
    is shown; empty where the problems have no verifier.
    """
    found: dict[int, Array] = {}
    for seed, a, b, left, right in scored_meetings(size, row, opponent, test, "reasoning"):
        one, other = judged_samples(a, b)
        found[seed] = np.sign(left[:, one] - right[:, other])
    return found


def scored_meetings(
    size: Collected, row: Row, opponent: Row, test: str, metric: str
) -> list[tuple[int, str, str, Array, Array]]:
    """Each meeting whose two sides have the metric: its seed, its two runs, the scores of each (prompts, samples)."""
    left, right = size.scores(row, test, metric), size.scores(opponent, test, metric)
    found = [
        (seed, a.run, b.run, left[a.seed], right[b.seed])
        for seed, a, b in meetings(row, opponent)
        if a.seed in left and b.seed in right
    ]
    return sorted(found, key=lambda meeting: meeting[0])


def _against_others(left: Array, right: Array) -> Outcomes:
    """Each response on the left (prompts, samples) against those on the right of other numbers."""
    apart = 1.0 - np.eye(left.shape[1], right.shape[1])
    ahead, met = left[:, :, None] - right[:, None, :], apart.sum(axis=1)
    return Outcomes(((ahead > 0.0) * apart).sum(axis=2) / met, ((ahead < 0.0) * apart).sum(axis=2) / met)


def _match(found: dict[int, Outcomes]) -> Match | None:
    """Rates over seeds; None without any."""
    if not found:
        return None
    won, lost = np.stack([seed.won for seed in found.values()]), np.stack([seed.lost for seed in found.values()])
    tied = np.clip(1.0 - won - lost, 0.0, 1.0)  # but for rounding
    return Match(*(proportion_interval(share) for share in (won, tied, lost)))
