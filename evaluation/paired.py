"""Scores of two rows on the same prompts and seeds, subtracted response by response."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from evaluation import measures
from evaluation.collected import Collected, Row
from evaluation.pairwise import net_wins, scored_meetings
from evaluation.statistics import Array, Estimate, Spread, bounded_interval, mean_interval, smallest_resolved


@dataclass(frozen=True)
class Difference:
    """`values` (S, P, K) of one row minus another; a `rate` is in [-1, 1] and printed in percentage points.

    `skew`: how far the interval's low and high end lie beyond the t interval's, since the rows' scores are skewed.
    """

    values: Array
    rate: bool
    skew: tuple[float, float] = (0.0, 0.0)

    def estimate(self) -> Estimate:
        """Mean with its interval, in percentage points or nats."""
        if self.rate:
            return bounded_interval(self.values).scaled(100.0)
        found = mean_interval(self.values)
        return replace(found, low=found.low - self.skew[0], high=found.high + self.skew[1])

    def resolved(self) -> float:
        """The smallest true difference that this design finds, same unit; of rates at least half of the interval."""
        least = smallest_resolved(self.values)
        if not self.rate:
            return least
        found = self.estimate()
        return max(100.0 * least, 0.5 * (found.high - found.low))


def together(size: Collected, one: Row, other: Row, test: str, metric: str) -> tuple[Array, Array] | None:
    """A metric of two rows as equal shapes (S, P, K): common seeds, the same prompts, as many samples.

    A row that exists once meets every seed of a trained one. None where nothing is common.
    """
    met = scored_meetings(size, one, other, test, metric)
    if not met:
        return None
    a, b = np.stack([left for *_, left, _ in met]), np.stack([right for *_, right in met])
    samples = min(a.shape[2], b.shape[2])
    return a[..., :samples], b[..., :samples]


def divergence_difference(one: Array, other: Array) -> Difference:
    """One row's divergences minus another's, each (S, P, K), nats.

    Seeds that differ by factors more often show too small a mean of a row than too large a one, and the difference errs
    with the row whose seeds do so more: on its side the end moves out by how much more they add to its own upper end.
    """
    more = _skew(one) - _skew(other)
    return Difference(one - other, False, (max(-more, 0.0), max(more, 0.0)))


def _skew(values: Array) -> float:
    """How far the modified Cox bound of a log-normal mean (as in `positive_interval`) lies above the t bound, both of
    the seeds' means alone; values (S, P, K). 0 with one seed or a mean that is not above 0.
    """
    means = values.mean(axis=(1, 2))
    seeds = len(means)
    if seeds < 2 or means.min() <= 0.0:
        return 0.0
    logs, freedom = np.log(means), seeds - 1.0
    between = float(logs.var(ddof=1))
    cox = Spread(between / seeds + between**2 / (2.0 * freedom), freedom).half_width()
    plain = Spread(float(means.var(ddof=1)) / seeds, freedom).half_width()
    return max(float(np.exp(logs.mean() + between / 2 + cox) - means.mean()) - plain, 0.0)


def differences(size: Collected, one: Row, other: Row, test: str) -> dict[str, Difference]:
    """`one` minus `other` in FAC, CS, KL (per token) and reasoning wins minus losses, where defined for both."""
    pair = size.pairs[one.pair]
    found: dict[str, Difference] = {}
    if correct := together(size, one, other, test, "correct"):
        found["FAC"] = Difference(correct[0] - correct[1], True)
    if kl := together(size, one, other, test, f"kl_{pair.reading}"):
        within = [measures.within(values, pair.threshold.d) for values in kl]
        found["CS"] = Difference(within[0] - within[1], True)
    if per_token := together(size, one, other, test, "kl_mean"):
        found["KL"] = divergence_difference(*per_token)
    signs = net_wins(size, one, other, test)
    if signs is not None:
        found["wins - losses"] = Difference(signs, True)
    return found
