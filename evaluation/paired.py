"""Scores of two rows on the same prompts and seeds, subtracted response by response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation import measures
from evaluation.collected import Collected, Row
from evaluation.pairwise import net_wins, scored_meetings
from evaluation.statistics import Array, Estimate, bounded_interval, mean_interval, smallest_resolved


@dataclass(frozen=True)
class Difference:
    """`values` (S, P, K) of one row minus another; a `rate` is in [-1, 1] and printed in percentage points."""

    values: Array
    rate: bool

    def estimate(self) -> Estimate:
        """Mean with its interval, in percentage points or nats."""
        return bounded_interval(self.values).scaled(100.0) if self.rate else mean_interval(self.values)

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
        found["KL"] = Difference(per_token[0] - per_token[1], False)
    signs = net_wins(size, one, other, test)
    if signs is not None:
        found["wins - losses"] = Difference(signs, True)
    return found
