"""Intervals over training seeds, prompts and samples.

Every score of the study is an array `y` of shape (seeds S, prompts P, samples K): the same P prompts are
answered K times by each of S independently trained policies. What a table states is the expectation over
all three: another training seed, another prompt of the same test set, another sample. Seeds and prompts are
crossed, so neither "n = S*P*K" nor "n = P" is right. On the cell means m[s, p] (mean over K) the two-way
random-effects model m = mu + seed + prompt + rest gives the variance of the grand mean as

    (MS_seed + MS_prompt - MS_rest) / (S * P)

(Searle, Casella and McCulloch, Variance Components, ch. 4), with Satterthwaite's degrees of freedom. A
difference of mean squares from three seeds can come out far too small by chance, so the interval is never
narrower than the one from the seeds alone or the prompts alone. Which of the three is widest depends on the level:
with few degrees of freedom, the seeds alone are it far out in the tail. With one seed the interval is conditional
on that seed: `seeds = 1` in the result says so.

Rates from several seeds that lie near 0 or 1 (`evaluation.seed_rates`) and positive scores that vary by factors
(`positive_interval`) are skewed, and a t interval claims too much there; both are widened on a scale without the skew.
Coverage by simulation: docs/coverage.md, kept by the tests.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from evaluation.seed_rates import SeedRates, seed_rates

LEVEL = 0.95
TAIL = 0.5 - LEVEL / 2  # outside each end of a two-sided interval
POWER = 0.8  # chance to find a difference that is there
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval and what it rests on; `low` and `high` are NaN where no interval exists."""

    mean: float
    low: float
    high: float
    prompts: int
    samples: int
    seeds: int

    @property
    def has_interval(self) -> bool:
        """False where a single prompt (or a single seed, for costs) leaves nothing to measure spread with."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def scaled(self, factor: float) -> "Estimate":
        """The same estimate in another unit, e.g. `scaled(100)` for percent (factor > 0)."""
        return Estimate(
            self.mean * factor, self.low * factor, self.high * factor, self.prompts, self.samples, self.seeds
        )


@dataclass(frozen=True)
class Spread:
    """Variance of the grand mean and its degrees of freedom; both NaN with a single prompt.

    `between_seeds` is the part of the variance that more prompts would not reduce (0 for one seed).
    """

    variance: float
    freedom: float
    between_seeds: float = 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(np.sqrt(self.variance))

    def half_width(self, tail: float = TAIL) -> float:
        """From the mean to an end of the t interval that `tail` lies beyond."""
        return float(special.stdtrit(self.freedom, 1.0 - tail) * self.error)

    def with_prompts(self, factor: float) -> "Spread":
        """The spread that `factor` times as many prompts of the same kind would have, degrees of freedom kept."""
        fixed = min(self.between_seeds, self.variance)
        return Spread(fixed + (self.variance - fixed) / factor, self.freedom, self.between_seeds)


def complete(y: ArrayLike) -> Array:
    """`y` (S, P, K) without the seeds and prompts that are missing altogether (all NaN).

    Raises ValueError where single values are missing: dropping those would bias the mean towards the
    responses that happen to be defined.
    """
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 3:
        raise ValueError(f"scores need the shape (seeds, prompts, samples), not {values.shape}")
    present = ~np.isnan(values)
    values = values[present.any(axis=(1, 2))][:, present.any(axis=(0, 2))]
    if values.size == 0:
        raise ValueError("no score to estimate from: every value is missing")
    if np.isnan(values).any():
        raise ValueError("scores are missing for some samples only; drop or fill them before estimating")
    return values


def spread(values: Array, tail: float = TAIL) -> Spread:
    """Of the `spreads` of values (S, P, K), the one whose interval with `tail` beyond each end is widest."""
    return max(spreads(values), key=lambda candidate: candidate.half_width(tail))


def spreads(values: Array) -> list[Spread]:
    """Spreads that the grand mean of crossed seeds and prompts may have, values (S, P, K) without NaN.

    The prompts alone, the seeds alone and the crossed variance: the first two are what remains when the crossed
    estimate falls below them (negative variance components).
    """
    seeds, prompts, _ = values.shape
    if prompts < 2:
        return [Spread(float("nan"), float("nan"))]
    cell, count = values.mean(axis=2), seeds * prompts
    by_prompt = seeds * float(cell.mean(axis=0).var(ddof=1))
    if seeds == 1:
        return [Spread(by_prompt / count, prompts - 1.0)]
    by_seed = prompts * float(cell.mean(axis=1).var(ddof=1))
    rest = cell - cell.mean(axis=0) - cell.mean(axis=1, keepdims=True) + cell.mean()
    rest_freedom = (seeds - 1.0) * (prompts - 1.0)
    by_rest = float((rest**2).sum()) / rest_freedom
    lasting = max(by_seed - by_rest, 0.0) / count
    candidates = [Spread(by_prompt / count, prompts - 1.0, lasting), Spread(by_seed / count, seeds - 1.0, lasting)]
    together = by_seed + by_prompt - by_rest
    if together > 0.0:
        doubt = by_seed**2 / (seeds - 1.0) + by_prompt**2 / (prompts - 1.0) + by_rest**2 / rest_freedom
        least = min(seeds, prompts) - 1.0  # which the difference alone would undercut, where prompts hardly differ
        candidates.append(Spread(together / count, max(together**2 / doubt, least), lasting))
    return candidates


def mean_interval(y: ArrayLike) -> Estimate:
    """95 % t interval of the mean over seeds, prompts and samples; y (S, P, K), any unit.

    NaN marks a seed or a prompt that is missing as a whole; anything else missing raises ValueError. A score
    that never varies (a teacher's divergence from itself) has an interval of no width.
    """
    values = complete(y)
    seeds, prompts, samples = values.shape
    mean, half = float(values.mean()), spread(values).half_width()
    return Estimate(mean, mean - half, mean + half, prompts, samples, seeds)


def positive_interval(y: ArrayLike) -> Estimate:
    """`mean_interval` of scores that are not negative, y (S, P, K): lower end at least 0, the upper on the log scale.

    Few seeds or prompts of skewed scores more often show too small a mean than too large a one. mean * exp(half / mean)
    by the delta method; at least the t bound corrected for the prompts' skewness (Johnson, JASA 73, 1978), and with
    several seeds the modified Cox bound of a log-normal mean (Olsson, Journal of Statistics Education 13, 2005) of the
    seeds. The plain interval where a mean is not above 0.
    """
    found, values = mean_interval(y), complete(y)
    half, by_seed = found.high - found.mean, values.mean(axis=(1, 2))
    if not (by_seed.min() > 0.0 and half > 0.0):
        return found
    high = max(found.mean * float(np.exp(half / found.mean)), found.high + _skew_shift(values.mean(axis=(0, 2))))
    if len(by_seed) > 1:
        logs = np.log(by_seed)
        between = float(logs.var(ddof=1))
        of = spread(logs[:, None, None] + values / by_seed[:, None, None] - 1.0)
        known = replace(of, variance=of.variance + between**2 / (2.0 * (len(logs) - 1.0)))
        high = max(high, float(np.exp(logs.mean() + 0.5 * between + known.half_width())))
    return replace(found, low=max(found.low, 0.0), high=high)


def not_negative(found: Estimate) -> Estimate:
    """The interval of what cannot be negative, ended at 0, or at the estimate where rounding has that below 0.

    An interval that does not exist (NaN) stays so.
    """
    return replace(found, low=min(max(found.low, 0.0), found.mean))


def _skew_shift(prompts: Array) -> float:
    """Johnson's correction of a 97.5 % upper t bound: skewness * error * (1 + 2 t^2) / (6 sqrt(P)), at least 0."""
    count, deviation = len(prompts), float(prompts.std())
    if deviation == 0.0:
        return 0.0
    skewness = float((((prompts - prompts.mean()) / deviation) ** 3).mean())
    student = float(special.stdtrit(count - 1.0, 1.0 - TAIL))
    return max(skewness, 0.0) * deviation * (1.0 + 2.0 * student**2) / (6.0 * count)


def proportion_interval(y: ArrayLike) -> Estimate:
    """95 % Korn-Graubard interval of a rate; y (S, P, K) in [0, 1], NaN as in `mean_interval`.

    Clopper-Pearson with the effective sample size that the clustered variance amounts to, reduced for its
    degrees of freedom (Korn and Graubard, Survey Methodology 24, 1998). Where nothing varies, the prompts
    count, not the responses. Neither bound may claim more than P prompts without an exception would, so one
    failure never yields a tighter bound than none; nor, with several seeds, more than their logits allow.
    """
    values = complete(y)
    if values.min() < 0.0 or values.max() > 1.0:
        raise ValueError("a proportion needs scores between 0 and 1")
    seeds, prompts, samples = values.shape
    rate = float(values.mean())
    low, high = rate_bounds(rate, spread(values), prompts, values.size, TAIL, seed_rates(values))
    return Estimate(rate, low, high, prompts, samples, seeds)


def rate_bounds(
    rate: float, of: Spread, prompts: int, responses: int, tail: float, seeds: SeedRates | None
) -> tuple[float, float]:
    """Lower and upper bound, each wrong with probability `tail`; see `proportion_interval`."""
    size = float(prompts)
    if of.variance > 0.0:
        normal, student = special.ndtri(1.0 - tail), special.stdtrit(of.freedom, 1.0 - tail)
        size = min(rate * (1.0 - rate) / of.variance * (normal / student) ** 2, float(responses))
    low, high = _clopper_pearson(rate, size, tail)
    if seeds is not None and of.variance > 0.0:
        least, most = seeds.bounds(tail)
        low, high = min(low, least), max(high, most)
    return min(low, _clopper_pearson(1.0, prompts, tail)[0]), max(high, _clopper_pearson(0.0, prompts, tail)[1])


def _clopper_pearson(rate: float, size: float, tail: float) -> tuple[float, float]:
    """Exact binomial bounds for `rate * size` successes in `size` trials, both possibly fractional."""
    hits, misses = rate * size, (1.0 - rate) * size
    low = 0.0 if hits <= 0.0 else float(special.betaincinv(hits, misses + 1.0, tail))
    high = 1.0 if misses <= 0.0 else float(special.betaincinv(hits + 1.0, misses, 1.0 - tail))
    return low, high


def bounded_interval(y: ArrayLike) -> Estimate:
    """`mean_interval` of differences of rates, y (S, P, K) in [-1, 1], with care for what few prompts show.

    A difference is the share that is better minus the share that is worse. Where few prompts carry one of them, a t
    interval claims too much; so the high end is at least the Korn-Graubard upper bound of the share that is better
    (prompts alone; never surer than P prompts without any) less the share that is worse as it is, the low end
    likewise. Prompts that never differ thus leave 1 - 0.025**(1/P) open on both sides. Cut to [-1, 1].
    """
    found, values = mean_interval(y), complete(y)
    better, worse = np.maximum(values, 0.0), np.maximum(-values, 0.0)
    low, high = float(better.mean()) - _most(worse), _most(better) - float(worse.mean())
    return replace(found, low=max(min(found.low, low), -1.0), high=min(max(found.high, high), 1.0))


def _most(share: Array) -> float:
    """Upper bound of the mean of share (S, P, K) in [0, 1], with the prompts' spread alone."""
    prompts_alone = spreads(share)[0]
    return rate_bounds(float(share.mean()), prompts_alone, share.shape[1], share.size, TAIL, None)[1]


def p_value(y: ArrayLike) -> float:
    """Two-sided p-value of the hypothesis that the mean of y (S, P, K) is 0: the largest that any of `spreads` gives.

    So p < a where the widest interval of level 1 - a leaves out 0, at the small a of a correction for many tests too.
    Never below 2 * 0.5**P: what P prompts that all agree can show.
    """
    values = complete(y)
    found, mean, floor = spreads(values), float(values.mean()), 2.0 * 0.5 ** values.shape[1]
    if mean == 0.0 or not found[0].variance >= 0.0:
        return 1.0
    known = [2.0 * float(special.stdtr(of.freedom, -abs(mean) / of.error)) for of in found if of.variance > 0.0]
    return min(max([floor, *known]), 1.0)


def smallest_resolved(y: ArrayLike) -> float:
    """Smallest true mean of a paired difference y (S, P, K) that a design of this spread finds with `POWER`.

    (t_0.975 + t_POWER) standard errors (Bloom, Evaluation Review 19, 1995); NaN with a single prompt.
    """
    of = spread(complete(y))
    return float((special.stdtrit(of.freedom, 1.0 - TAIL) + special.stdtrit(of.freedom, POWER)) * of.error)


def independent_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Rate of a minus rate of b, both (S, P, K) in [0, 1]: the same policies on different prompts (two test sets).

    From each rate's own `proportion_interval` (Newcombe's hybrid score method, Statistics in Medicine 17, 1998, no. 10,
    with clustered intervals): a rate of 1 is not known for certain. Both are of the same seeds, which are therefore
    taken as they are, their answers as more samples of a prompt. The counts are those of the smaller side.
    """
    first, second = complete(a), complete(b)
    left, right = (proportion_interval(y.transpose(1, 0, 2).reshape(1, y.shape[1], -1)) for y in (first, second))
    mean = left.mean - right.mean
    low = mean - float(np.hypot(left.mean - left.low, right.high - right.mean))
    high = mean + float(np.hypot(left.high - left.mean, right.mean - right.low))
    seeds, prompts, samples = np.minimum(first.shape, second.shape).tolist()
    return Estimate(mean, low, high, prompts, samples, seeds)


def seed_interval(values: ArrayLike) -> Estimate:
    """95 % t interval of a quantity with one value per training seed (S,), e.g. a cost; no interval for S = 1."""
    per_seed = np.asarray(values, dtype=np.float64)
    seeds = len(per_seed)
    if seeds == 0 or np.isnan(per_seed).any():
        raise ValueError("a quantity per seed needs a value for every seed")
    mean, nan = float(per_seed.mean()), float("nan")
    if seeds == 1:
        return Estimate(mean, nan, nan, 0, 0, 1)
    half = Spread(float(per_seed.var(ddof=1)) / seeds, seeds - 1.0).half_width()
    return Estimate(mean, mean - half, mean + half, 0, 0, seeds)
