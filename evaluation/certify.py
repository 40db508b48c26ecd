"""A verdict on "at least 95 % of the responses satisfy the constraint, with 95 % confidence".

Both bounds are one-sided 95 % Korn-Graubard bounds (Clopper-Pearson with the effective sample size of clustered
prompts and seeds, and with several seeds no closer than the seeds' logits allow; see `evaluation.statistics`): *holds*
where the lower one reaches the target, *fails* where the upper one stays below it, *undecided* between. Coverage at
nominal 95 % by simulation: docs/coverage.md; conservative near a rate of 1.

What would decide: at the same rate r, P' prompts have the variance

    v(P') = v_seed + (v - v_seed) * P / P'

with v the variance of the rate now and v_seed its part between seeds, which prompts do not reduce; the answer is
the smallest P' > P whose bounds, at the effective size r (1 - r) / v(P') * (z / t)^2, give a verdict; on the logit
scale, likewise, only the prompts' part shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from evaluation.seed_rates import SeedRates, seed_rates
from evaluation.statistics import Spread, complete, rate_bounds, spread

TARGET = 0.95
TAIL = 0.05  # one-sided
MOST_PROMPTS = 10**7

Verdict = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True)
class Certificate:
    """One-sided bounds of a rate, the verdict, and for "undecided" the prompts that would decide (None: none do)."""

    low: float
    high: float
    verdict: Verdict
    prompts_to_decide: int | None


def certify(y: ArrayLike) -> Certificate:
    """The certificate of a rate from y (S, P, K) in [0, 1]; NaN and errors as in `mean_interval`."""
    values = complete(y)
    rate, of, prompts = float(values.mean()), spread(values, TAIL), values.shape[1]
    seeds = seed_rates(values)
    low, high = rate_bounds(rate, of, prompts, values.size, TAIL, seeds)
    verdict = _verdict(low, high)
    needed = _prompts(rate, of, seeds, values.shape) if verdict == "undecided" else None
    return Certificate(low, high, verdict, needed)


def _verdict(low: float, high: float) -> Verdict:
    return "holds" if low >= TARGET else "fails" if high < TARGET else "undecided"


def _prompts(rate: float, of: Spread, seeds: SeedRates | None, shape: tuple[int, ...]) -> int | None:
    """Smallest number of prompts above those of `shape` (S, P, K) that decides; None: none below `MOST_PROMPTS`."""
    prompts, per_prompt = shape[1], shape[0] * shape[2]

    def decides(count: int) -> bool:
        more = count / prompts
        then = seeds.with_prompts(more) if seeds else None
        bounds = rate_bounds(rate, of.with_prompts(more), count, count * per_prompt, TAIL, then)
        return _verdict(*bounds) != "undecided"

    too_few, enough = prompts, 2 * prompts
    while not decides(enough):
        too_few, enough = enough, 2 * enough
        if enough > MOST_PROMPTS:
            return None
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if decides(middle) else (middle, enough)
    return enough
