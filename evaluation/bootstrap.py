"""Percentile bootstrap over training seeds and prompts: a second opinion beside the analytic intervals, and the
interval of anything that is a function of means.

Seeds and prompts are crossed (every seed answers the same prompts), so both are drawn with replacement, each drawn
prompt for all drawn seeds (Owen, Annals of Applied Statistics 1, 2007). The samples of a prompt come along as one
block: their noise is already in the spread of the prompts, and drawing them again would count it twice. Plain draws of
S seeds give a variance too small by (S - 1) / S: S - 1 are drawn, and P - 1 prompts (Rao and Wu, JASA 83, 1988).
Percentiles then still take a spread known from three seeds for certain: both ends are moved away from the estimate by
t / z, with Satterthwaite's degrees of freedom from the parts of the variance that seeds alone and prompts alone give.
Three seeds have few distinct draws, hence coarse percentiles: no end is closer than t standard errors of the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from evaluation.statistics import TAIL, Array, Estimate, complete

DRAWS = 2000
SEED = 0


def bootstrap_interval(
    scores: Sequence[ArrayLike],
    statistic: Callable[[Array], Array] = lambda means: means[0],
    draws: int = DRAWS,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """95 % interval of `statistic` of the means of several scores of the same responses, cut to its range `within`.

    scores: M arrays (S, P, K_m) with the same seeds and prompts. `statistic` maps means (M, N) to N values; draws for
    which it is not defined (NaN) are left out, and without any other there is no interval. Equal input gives an equal
    interval. Raises ValueError where a score is missing or the shapes differ.
    """
    cells = np.stack([complete(score).mean(axis=2) for score in scores])  # (M, S, P)
    _, seeds, prompts = cells.shape
    by_seed, by_prompt = _shares(seeds, draws, SEED), _shares(prompts, draws, SEED + 1)
    center = float(statistic(cells.mean(axis=(1, 2))[:, None])[0])
    means = (
        np.einsum("ns,msp,np->mn", by_seed, cells, by_prompt, optimize=True),
        cells.mean(axis=2) @ by_seed.T,
        cells.mean(axis=1) @ by_prompt.T,
    )
    drawn, *parts = (values[~np.isnan(values)] for values in map(statistic, means))
    samples = np.asarray(scores[0]).shape[2]
    if not all(map(len, (drawn, *parts))):
        return Estimate(center, np.nan, np.nan, prompts, samples, seeds)
    stretch, half = _known(drawn, parts, (seeds, prompts))
    low, high = center + stretch * (np.quantile(drawn, [TAIL, 1.0 - TAIL]) - center)
    least, most = min(within[0], center), max(within[1], center)  # a rate of 1 + 1e-16 keeps its interval
    low, high = max(min(float(low), center - half), least), min(max(float(high), center + half), most)
    return Estimate(center, low, high, prompts, samples, seeds)


@lru_cache(maxsize=32)
def _shares(count: int, draws: int, seed: int) -> Array:
    """Weights (draws, count) of `count` units of which count - 1 are drawn; of a single one, that one."""
    drawn = max(count - 1, 1)
    return np.random.default_rng(seed).multinomial(drawn, np.full(count, 1.0 / count), draws) / drawn


def _known(drawn: Array, parts: Sequence[Array], counts: Sequence[int]) -> tuple[float, float]:
    """t / z of all draws, and the widest of t standard errors of all, of the seeds alone and of the prompts alone.

    `parts` are draws of the seeds alone and of the prompts alone, of `counts` units each.
    """
    known = [(float(np.var(values)), count - 1.0) for values, count in zip(parts, counts, strict=True) if count > 1]
    doubt = sum(variance**2 / freedom for variance, freedom in known)
    if not doubt > 0.0:
        return 1.0, 0.0
    known.append((float(np.var(drawn)), sum(variance for variance, _ in known) ** 2 / doubt))
    student = [float(special.stdtrit(freedom, 1.0 - TAIL)) for _, freedom in known]
    widest = max(t * float(np.sqrt(variance)) for t, (variance, _) in zip(student, known, strict=True))
    return student[-1] / float(special.ndtri(1.0 - TAIL)), widest
