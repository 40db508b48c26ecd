"""Reasoning win rates: every row against every other on the same question.

The judge is the exact step verifier where the problems have one: of two responses to the same prompt, the one that
validly shows the larger share of the required steps wins, equal shares tie. Elsewhere it is the size's first
language model (evaluation/verdicts.py). The final answer is not considered (paper, section on metrics: "reasoning
win / loss rate"; which opponents the paper averages over is unknown).

Two trained rows are compared seed by seed, prompt by prompt, sample by sample. An untrained reference exists
once and meets every seed of its opponent. Opponents of a row are the other *trained* rows of the pair, so
that RWR compares methods; teacher and student stand in the win matrix, with their own RWR over the trained
rows, but count as opponents only where nothing else was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from evaluation.collected import Collected, Row, Run
from evaluation.statistics import Array, Estimate, proportion_interval


@dataclass(frozen=True)
class Match:
    """Rates of one row against an opponent (or the mean over opponents); win + tie + loss = 1."""

    win: Estimate
    tie: Estimate
    loss: Estimate


def opponents(size: Collected, row: Row) -> list[Row]:
    """The rows that the win rate of `row` is a mean over (see the head of this file)."""
    others = [r for r in size.rows(row.pair, "method", "reference") if r.runs != row.runs and r.finished]
    return [r for r in others if r.trained] or others


def compare(size: Collected, row: Row, opponent: Row, test: str) -> Match | None:
    """`row` against one opponent on a test set; None where no common seed has verified reasoning."""
    return _match(_signs(size, row, opponent, test))


def net_wins(size: Collected, row: Row, opponent: Row, test: str) -> Array | None:
    """1 win, 0 tie, -1 loss of `row` per response, (seeds, prompts, samples); None as in `compare`."""
    signs = _signs(size, row, opponent, test)
    return np.stack(list(signs.values())) if signs else None


def win_rate_gap(size: Collected, row: Row, other: Row, test: str) -> Array | None:
    """Per response, the share of its opponents that `row` wins against minus that of `other`; its mean is the
    difference of their RWR. (seeds, prompts, samples) over common seeds, None where there are none.
    """
    left, right = _win_shares(size, row, test), _win_shares(size, other, test)
    seeds = sorted(left.keys() & right.keys())
    if not seeds:
        return None
    samples = min(scores.shape[1] for scores in (*left.values(), *right.values()))
    return np.stack([left[seed][:, :samples] - right[seed][:, :samples] for seed in seeds])


def _win_shares(size: Collected, row: Row, test: str) -> dict[int, Array]:
    return {seed: (signs == 1.0).astype(np.float64).mean(axis=0) for seed, signs in _merged(size, row, test).items()}


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
    if not judges or verified == set(size.pairs):
        return "the exact step verifier"
    name, model = next(iter(judges.items()))
    judge = f"the language-model judge '{name}' ({model})"
    return f"the exact step verifier, or {judge} where there is none" if verified else judge


def _merged(size: Collected, row: Row, test: str, judge: str = "") -> dict[int, Array]:
    """By seed: signs against every opponent that has the seed, (opponents, prompts, samples)."""
    against = [signs for other in opponents(size, row) if (signs := _signs(size, row, other, test, judge))]
    seeds = sorted({seed for signs in against for seed in signs})
    return {seed: np.stack([signs[seed] for signs in against if seed in signs]) for seed in seeds}


def meetings(row: Row, opponent: Row) -> list[tuple[int, Run, Run]]:
    """The runs that meet, with the seed for which their meeting counts: equal seeds, but where one side exists once,
    its one run and every seed of the other side.
    """
    met = product(row.finished, opponent.finished)
    if row.once == opponent.once:
        return [(left.seed, left, right) for left, right in met if left.seed == right.seed]
    return [(right.seed if row.once else left.seed, left, right) for left, right in met]


def _signs(size: Collected, row: Row, opponent: Row, test: str, judge: str = "") -> dict[int, Array]:
    """By seed: 1 win, 0 tie, -1 loss, (prompts, samples); fewer samples on one side cut the other."""
    verified = {} if judge else verified_signs(size, row, opponent, test)
    judge = judge or next(iter(size.verdicts.judges), "")
    if verified or not judge:
        return verified
    found = {seed: size.verdicts.meeting(judge, test, a.run, b.run) for seed, a, b in meetings(row, opponent)}
    return {seed: meeting.sign[:, None] for seed, meeting in sorted(found.items()) if meeting}


def verified_signs(size: Collected, row: Row, opponent: Row, test: str) -> dict[int, Array]:
    """By seed: 1 win, 0 tie, -1 loss by the exact verifier, (prompts, samples); empty where the problems have none."""
    left, right = size.scores(row, test, "reasoning"), size.scores(opponent, test, "reasoning")
    found = {
        seed: _sign(left[a.seed], right[b.seed])
        for seed, a, b in meetings(row, opponent)
        if a.seed in left and b.seed in right
    }
    return dict(sorted(found.items()))


def _sign(left: Array, right: Array) -> Array:
    samples = min(left.shape[1], right.shape[1])
    return np.sign(left[:, :samples] - right[:, :samples])


def _match(signs: dict[int, Array]) -> Match | None:
    """Rates over seeds from signs by seed; a leading opponent axis, where there is one, is averaged first."""
    if not signs:
        return None

    def rate(outcome: float) -> Estimate:
        by_seed = [(s == outcome).astype(np.float64) for s in signs.values()]
        return proportion_interval(np.stack([s.mean(axis=0) if s.ndim == 3 else s for s in by_seed]))

    return Match(rate(1.0), rate(0.0), rate(-1.0))
