"""Means over a part of the responses that is itself random: the violators, the worst 5 %.

Such a mean rests on the prompts that have a response in the part, not on all P (Korn and Graubard, Analysis of Health
Surveys, ch. 5, on domains), and among those on the few with much of it: with c_p what prompt p contributes, the
effective number p* = (sum c)^2 / sum c^2 (Kish, Survey Sampling, 1965) leaves p* - 2 degrees of freedom, one each for
the mean and for where the part begins; the interval is wider by the ratio of the t quantiles.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from evaluation.statistics import TAIL, Array, Estimate, complete, not_negative, positive_interval


def ratio_interval(total: ArrayLike, count: ArrayLike) -> Estimate:
    """95 % interval of sum(total) / sum(count), both (S, P, K) and not negative.

    A mean over a random part of the responses, by linearisation: the interval of the mean of (total - ratio * count) /
    mean(count) around the ratio (Cochran, Sampling Techniques, ch. 6). No interval where one prompt alone counts.
    Raises ValueError where `count` is 0 throughout.
    """
    over, under = complete(total), complete(count)
    if not under.any():
        raise ValueError("a ratio needs a count above 0")
    ratio = float(over.sum() / under.sum())
    linear = ratio + (over - ratio * under) / under.mean()
    found = not_negative(_resting_on(positive_interval(linear), over))
    # The residuals of one prompt add up to 0: there is no spread to measure.
    alone = np.count_nonzero(under.any(axis=(0, 2))) == 1 < under.shape[1]
    return replace(found, low=np.nan, high=np.nan) if alone else found


def tail_mean_interval(y: ArrayLike, share: float) -> Estimate:
    """95 % interval of the mean of the largest `share` of the values (expected shortfall); y (S, P, K) not negative.

    With q the (1 - share) quantile it is the mean of q + max(y - q, 0) / share (Rockafellar and Uryasev, 2000),
    whose error in q cancels to first order, so q counts as known.
    """
    values = complete(y)
    at = float(np.quantile(values, 1.0 - share, method="inverted_cdf"))
    beyond = np.maximum(values - at, 0.0)
    return not_negative(_resting_on(positive_interval(at + beyond / share), beyond))


def _resting_on(found: Estimate, shares: Array) -> Estimate:
    """The interval with the degrees of freedom that the prompts' contributions `shares` (S, P, K) leave."""
    by_prompt = shares.sum(axis=(0, 2))
    effective = by_prompt.sum() ** 2 / (by_prompt**2).sum() if by_prompt.any() else len(by_prompt)
    every, fewer = max(len(by_prompt) - 1.0, 1.0), max(float(effective) - 2.0, 1.0)
    wider = float(special.stdtrit(fewer, 1.0 - TAIL) / special.stdtrit(every, 1.0 - TAIL))
    low, high = (found.mean + wider * (end - found.mean) for end in (found.low, found.high))
    return replace(found, low=low, high=high)
