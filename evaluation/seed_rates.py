"""Bounds of a rate from training seeds that differ, where the rate is near 0 or 1.

Close to 1 the rates of the seeds are skewed: the mean of few seeds is most often too high, and their spread too small
exactly then. A t interval, or a binomial one with an effective sample size, then claims too much. On the logit scale
the skew is gone. With l_s the logit of seed s, s2 their variance, w a seed's own noise in it (of its prompts and
samples) and v the part of the variance of their mean that comes from prompts all seeds share, the wanted rate
E[1 / (1 + exp(-l))] of normal l is drawn as

    expit((mean(l) + Z sqrt((t2 + w) / S + v)) / sqrt(1 + c t2)),   t2 = (S - 1) max(s2 - w / 2, 0) / chi2(S - 1)

with c = 0.346; the quantiles are a generalised confidence interval (Weerahandi, JASA 88, 1993; for the mean of a
transformed normal Krishnamoorthy and Mathew, JSPI 115, 2003); c makes the logistic curve a normal one (Johnson and
Kotz, ch. 23). Without w, seeds that miss 0, 1 or 8 of 800 would count as unlike. Half of it is taken off: the whole
leaves too little spread by chance and covers 92-94 % with three seeds one logit apart (docs/coverage.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

POINTS = 2048  # of the lattice, each once with Z and once with -Z
GOLDEN = 0.6180339887498949
LOGISTIC = 0.346  # (16 sqrt(3) / (15 pi))^2
TAKEN_OFF = 0.5  # of a seed's own noise


@dataclass(frozen=True)
class SeedRates:
    """Rates of several seeds on the logit scale: their mean and variance, the noise of one seed in that variance, and
    the part of the mean's variance that comes from prompts all seeds share."""

    seeds: int
    center: float
    variance: float
    own: float
    shared: float

    def with_prompts(self, factor: float) -> SeedRates:
        """What `factor` times as many prompts of the same kind would give; what lies between seeds is kept."""
        own, lasting = self.own / factor, max(self.variance - self.own, 0.0)
        return replace(self, variance=lasting + own, own=own, shared=self.shared / factor)

    def bounds(self, tail: float) -> tuple[float, float]:
        """Lower and upper bound of the rate, each wrong with probability `tail`."""
        normal, scale = _pivots(self.seeds)
        between = max(self.variance - TAKEN_OFF * self.own, 0.0) * scale
        level = self.center + normal * np.sqrt((between + self.own) / self.seeds + self.shared)
        drawn = special.expit(level / np.sqrt(1.0 + LOGISTIC * between))
        low, high = np.quantile(drawn, [tail, 1.0 - tail])
        return float(low), float(high)


def seed_rates(values: NDArray[np.float64]) -> SeedRates | None:
    """The seeds' rates from scores (S, P, K) in [0, 1] without NaN; None for a single seed or prompt."""
    seeds, prompts, samples = values.shape
    if seeds < 2 or prompts < 2:
        return None
    count = prompts * samples
    cell, rate = values.mean(axis=2), (values.sum(axis=(1, 2)) + 0.5) / (count + 1.0)  # never 0 or 1
    logit = special.logit(rate)
    around = (cell - cell.mean(axis=1, keepdims=True)) / (rate * (1.0 - rate))[:, None]
    by_prompt = seeds * float(around.mean(axis=0).var(ddof=1))
    apart = ((around - around.mean(axis=0)) ** 2).sum(axis=1) / ((prompts - 1.0) * (1.0 - 1.0 / seeds))
    shared = max(by_prompt - float(apart.mean()), 0.0) / (seeds * prompts)
    binomial = 1.0 / ((count + 1.0) * rate * (1.0 - rate))  # at least this, also of a seed that never missed
    own = float(np.maximum(apart / prompts, binomial).mean())
    return SeedRates(seeds, float(logit.mean()), float(logit.var(ddof=1)), own, shared)


@lru_cache(maxsize=64)
def _pivots(seeds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws of Z and of (S - 1) / chi2(S - 1), on a golden-ratio lattice: it fills the square more evenly than random
    pairs, whose bounds err with up to three points where seeds are few and unlike; these, with half a point."""
    steps = np.arange(POINTS) + 0.5
    normal = special.ndtri(0.5 + 0.5 * steps / POINTS)
    chi2 = special.chdtri(seeds - 1.0, (steps * GOLDEN) % 1.0)
    return np.concatenate([normal, -normal]), np.tile((seeds - 1.0) / chi2, 2)
