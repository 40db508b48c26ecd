"""Percentile bootstrap over training seeds and prompts: a second opinion beside the analytic intervals, and the
interval of anything that is a function of means.

Seeds and prompts are crossed (every seed answers the same prompts), so both are drawn with replacement, each drawn
prompt for all drawn seeds (Owen, Annals of Applied Statistics 1, 2007). The samples of a prompt come along as one
block: their noise is already in the spread of the prompts, and drawing them again would count it twice. With few
seeds the interval is too narrow by sqrt((S - 1) / S) in the seeds' part; the tables therefore print the analytic one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from evaluation.statistics import LEVEL, Array, Estimate, complete

DRAWS = 2000
SEED = 0


def bootstrap_interval(
    scores: Sequence[ArrayLike], statistic: Callable[[Array], Array] = lambda means: means[0], draws: int = DRAWS
) -> Estimate:
    """95 % percentile interval of `statistic` of the means of several scores of the same responses.

    scores: M arrays (S, P, K_m) with the same seeds and prompts. `statistic` maps means (M, N) to N values. Equal
    input gives an equal interval. Raises ValueError where a score is missing or the shapes differ.
    """
    cells = np.stack([complete(score).mean(axis=2) for score in scores])  # (M, S, P)
    _, seeds, prompts = cells.shape
    rng = np.random.default_rng(SEED)
    seed_share = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), draws) / seeds
    prompt_share = rng.multinomial(prompts, np.full(prompts, 1.0 / prompts), draws) / prompts
    means = np.einsum("ns,msp,np->mn", seed_share, cells, prompt_share, optimize=True)
    low, high = np.quantile(statistic(means), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    center = statistic(cells.mean(axis=(1, 2))[:, None])[0]
    samples = np.asarray(scores[0]).shape[2]
    return Estimate(float(center), float(low), float(high), prompts, samples, seeds)
