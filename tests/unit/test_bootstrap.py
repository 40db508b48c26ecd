"""The bootstrap agrees with the analytic intervals where both must be right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.bootstrap import bootstrap_interval
from evaluation.statistics import Array, mean_interval, proportion_interval
from evaluation.tables.kl_estimators import variance_ratio


def _scores(seeds: int, seed_spread: float) -> Array:
    rng = np.random.default_rng(0)
    seed = seed_spread * rng.standard_normal((seeds, 1, 1))
    return seed + rng.standard_normal((1, 300, 1)) + 0.5 * rng.standard_normal((seeds, 300, 4))


@pytest.mark.parametrize(("seeds", "seed_spread", "tolerance"), [(1, 0.0, 0.06), (5, 0.0, 0.06), (40, 1.0, 0.1)])
def test_widths_agree_with_the_t_interval(seeds: int, seed_spread: float, tolerance: float) -> None:
    y = _scores(seeds, seed_spread)
    ours, theirs = mean_interval(y), bootstrap_interval([y])
    assert theirs.mean == pytest.approx(ours.mean)
    assert theirs.high - theirs.low == pytest.approx(ours.high - ours.low, rel=tolerance)
    assert (theirs.low + theirs.high) / 2 == pytest.approx(ours.mean, abs=0.1 * (ours.high - ours.low))


def test_rates_agree_with_the_exact_interval_away_from_the_ends() -> None:
    y = (np.random.default_rng(1).random((1, 300, 4)) < 0.7).astype(np.float64)
    ours, theirs = proportion_interval(y), bootstrap_interval([y])
    assert (theirs.low, theirs.high) == pytest.approx((ours.low, ours.high), abs=0.012)


def test_few_seeds_that_disagree_make_it_as_wide_as_their_t_interval() -> None:
    y = _scores(3, 2.0)
    ours, theirs = mean_interval(y), bootstrap_interval([y])
    assert 0.8 < (theirs.high - theirs.low) / (ours.high - ours.low) < 1.2
    two = bootstrap_interval([np.tile([[[0.0]], [[1.0]]], (1, 50, 2))])  # of two seeds only two draws are possible
    assert (two.low, two.high) == pytest.approx((0.5 - 12.706 / 2, 0.5 + 12.706 / 2), rel=0.02)
    rates = (np.random.default_rng(3).random((2, 4, 2)) < 0.9).astype(np.float64)
    assert bootstrap_interval([rates], within=(0.0, 1.0)).high == 1.0


def test_both_ends_of_skewed_draws_are_stretched_by_t_over_z() -> None:
    """One seed of seven at 1: six are drawn, and the 0.975-quantile of their mean is 3/6, stretched around 1/7."""
    y = np.tile(np.eye(7)[6][:, None, None], (1, 50, 2))
    stretch = stats.t.ppf(0.975, 6) / stats.norm.ppf(0.975)
    assert bootstrap_interval([y]).high == pytest.approx(1 / 7 + stretch * (0.5 - 1 / 7))


def test_a_function_of_means_gets_an_interval_and_the_same_one_twice() -> None:
    rng = np.random.default_rng(2)
    exact = rng.standard_normal((2, 200, 3))
    found = variance_ratio(3.0 * exact + 1.0, exact)
    assert (found.mean, found.low, found.high) == pytest.approx((9.0, 9.0, 9.0))
    noisy = exact + 2.0 * rng.standard_normal((2, 200, 3))
    first, second = variance_ratio(noisy, exact), variance_ratio(noisy, exact)
    assert first == second
    assert first.low < 5.0 < first.high
    assert first.mean == pytest.approx(noisy.var() / exact.var())
