"""Certified bounds: exact small cases, the prompts that decide, and seeds that differ (coverage: test_coverage.py)."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from evaluation.certify import certify
from evaluation.seed_rates import SeedRates, seed_rates
from evaluation.statistics import Array


def _rates(hits: int, prompts: int) -> Array:
    y = np.zeros((1, prompts, 1))
    y[0, :hits] = 1.0
    return y


def test_without_a_violation_the_bound_is_the_exact_one_over_prompts() -> None:
    found = certify(np.ones((3, 80, 4)))
    exact = stats.binomtest(80, 80, alternative="greater").proportion_ci(0.95, "exact")
    assert found.low == pytest.approx(exact.low)
    assert found.verdict == "holds"


def test_independent_answers_reproduce_one_sided_clopper_pearson() -> None:
    found = certify(_rates(360, 400))
    low = stats.binomtest(360, 400, alternative="greater").proportion_ci(0.95, "exact").low
    high = stats.binomtest(360, 400, alternative="less").proportion_ci(0.95, "exact").high
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)
    assert (found.verdict, found.prompts_to_decide) == ("fails", None)


def test_fifty_nine_prompts_without_a_violation_decide() -> None:
    found = certify(np.ones((1, 20, 2)))
    assert (found.verdict, found.prompts_to_decide) == ("undecided", 59)
    assert certify(np.ones((1, 58, 2))).verdict == "undecided"
    assert certify(np.ones((1, 59, 2))).verdict == "holds"


def test_rates_of_seeds_on_the_logit_scale_by_hand() -> None:
    """Two seeds, four prompts, 3 and 2 right: rates 3.5 / 5 and 2.5 / 5, logits log(7 / 3) and 0.

    On that scale the seeds' prompts vary by 2.33 each and together by 8.68; a seed's own noise is the binomial one.
    """
    found = seed_rates(np.array([[1.0, 1, 1, 0], [1, 1, 0, 0]])[:, :, None])
    assert found is not None
    logit = np.log(7 / 3)
    own = (1 / (5 * 0.7 * 0.3) + 1 / (5 * 0.5 * 0.5)) / 2
    around = np.array([[0.25, 0.25, 0.25, -0.75], [0.5, 0.5, -0.5, -0.5]]) / [[0.7 * 0.3], [0.5 * 0.5]]
    apart = 2 * ((around[0] - around[1]) ** 2 / 4).sum() / 3  # of each seed, without what the two share
    together = 2 * (around.sum(axis=0) ** 2 / 4).sum() / 3
    assert (apart, together) == pytest.approx((2.3265, 8.6757), abs=1e-4)
    expected = (2, logit / 2, logit**2 / 2, own, (together - apart) / 8)
    assert astuple(found) == pytest.approx(expected)
    more = SeedRates(3, 3.0, 0.5, own=0.1, shared=0.02).with_prompts(4)
    assert astuple(more) == pytest.approx((3, 3.0, 0.4 + 0.025, 0.025, 0.005))


def test_seeds_of_one_rate_are_not_taken_for_unlike_ones() -> None:
    """Three seeds of 99 %: 0 to 15 misses of 800 are noise. It held in 75 % of such studies when all of it counted as
    spread between seeds, and the rest was told that no number of prompts would do."""
    rng = np.random.default_rng(0)
    found = [certify((rng.random((3, 200, 4)) < 0.99).astype(np.float64)) for _ in range(200)]
    held = [one.verdict == "holds" for one in found]
    assert np.mean(held) >= 0.8
    hopeless = [one.prompts_to_decide is None for one, holds in zip(found, held, strict=True) if not holds]
    assert np.mean(hopeless) <= 0.6


@pytest.mark.parametrize(("hits", "verdict"), [(98, "holds"), (91, "fails")])
def test_the_named_number_of_prompts_decides_at_the_same_rate_and_one_less_does_not(hits: int, verdict: str) -> None:
    now = certify(_rates(hits, 100))
    assert now.verdict == "undecided"
    needed = now.prompts_to_decide
    assert needed is not None
    times = -(-needed // 100)
    assert certify(np.tile(_rates(hits, 100), (1, times + 1, 1))).verdict == verdict
    assert certify(np.tile(_rates(hits, 100), (1, max(times - 2, 1), 1))).verdict == "undecided"


def test_seeds_that_disagree_cannot_be_decided_by_prompts() -> None:
    y = np.ones((3, 100, 4))
    y[0, :15], y[1, 3:9] = 0.0, 0.0
    found = certify(y)
    assert (found.verdict, found.prompts_to_decide) == ("undecided", None)


def test_a_rate_of_the_target_stays_open() -> None:
    assert certify(_rates(95, 100)).prompts_to_decide is None


def test_samples_of_one_prompt_count_less_than_prompts() -> None:
    clustered, spread = np.repeat(_rates(190, 200), 4, axis=2), np.repeat(_rates(190, 200), 4, axis=1)
    assert certify(clustered).low == pytest.approx(certify(_rates(190, 200)).low)
    assert certify(clustered).low < certify(spread).low


def test_its_bounds_rest_on_the_spread_that_is_widest_at_five_percent_not_at_two_and_a_half() -> None:
    """12, 15 and 18 of the same 30 prompts: of the seeds alone, 2 degrees of freedom, at 2.5 %; crossed at 5 %."""
    y = np.zeros((3, 30, 1))
    for seed, hits in enumerate((12, 15, 18)):
        y[seed, :hits] = 1.0
    cell = y[..., 0]
    rest = cell - cell.mean(0) - cell.mean(1, keepdims=True) + 0.5
    by_seed, by_prompt, by_rest = 30 * 0.1**2, 3 * cell.mean(0).var(ddof=1), (rest**2).sum() / 58
    together = by_seed + by_prompt - by_rest
    freedom = together**2 / (by_seed**2 / 2 + by_prompt**2 / 29 + by_rest**2 / 58)
    size = 0.25 / (together / 90) * (stats.norm.ppf(0.95) / stats.t.ppf(0.95, freedom)) ** 2
    assert certify(y).low == pytest.approx(stats.beta.ppf(0.05, 0.5 * size, 0.5 * size + 1.0))


def test_five_seeds_near_one_are_believed_less_than_their_t_interval() -> None:
    y = np.ones((5, 100, 4))
    for seed, misses in enumerate((2, 6, 14, 25, 60)):
        y[seed].flat[:misses] = 0.0
    rate = float(y.mean())
    by_seed = y.mean(axis=(1, 2))
    t_bound = rate - stats.t.ppf(0.95, 4) * by_seed.std(ddof=1) / np.sqrt(5)
    assert certify(y).low < t_bound < rate
    assert certify(y).high > certify(y[:, :, :1]).low
