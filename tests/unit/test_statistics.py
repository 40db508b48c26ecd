"""Intervals over seeds, prompts and samples: exact small cases (coverage: test_coverage.py)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.domains import ratio_interval, tail_mean_interval
from evaluation.seed_rates import SeedRates
from evaluation.statistics import (
    Estimate,
    bounded_interval,
    independent_difference,
    mean_interval,
    p_value,
    positive_interval,
    proportion_interval,
    seed_interval,
    smallest_resolved,
    spread,
    spreads,
)

REPEATS = 600  # standard error of a measured coverage of 95 %: 0.9 points


def test_one_seed_is_the_t_interval_over_prompt_means() -> None:
    y = np.random.default_rng(0).random((1, 12, 3))
    reference = stats.ttest_1samp(y.mean(axis=2)[0], 0.0).confidence_interval(0.95)
    found = mean_interval(y)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert (found.prompts, found.samples, found.seeds) == (12, 3, 1)


def test_several_seeds_use_the_crossed_variance_and_satterthwaite() -> None:
    y = np.random.default_rng(1).random((5, 8, 1)) + np.arange(8)[None, :, None]
    cell = y[..., 0]
    rest = cell - cell.mean(0) - cell.mean(1, keepdims=True) + cell.mean()
    by_seed, by_prompt = 8 * cell.mean(1).var(ddof=1), 5 * cell.mean(0).var(ddof=1)
    by_rest = (rest**2).sum() / (4 * 7)
    together = by_seed + by_prompt - by_rest
    freedom = together**2 / (by_seed**2 / 4 + by_prompt**2 / 7 + by_rest**2 / 28)
    crossed = stats.t.ppf(0.975, freedom) * np.sqrt(together / 40)
    prompts_alone = stats.t.ppf(0.975, 7) * np.sqrt(by_prompt / 40)
    found = mean_interval(y)
    assert (found.high - found.low) / 2 == pytest.approx(max(crossed, prompts_alone))


def test_the_three_spreads_by_hand() -> None:
    """Mean squares of a table of three seeds and four prompts: 52/3 of seeds, 116/9 of prompts, 5/9 of the rest."""
    y = np.array([[0.0, 1, 2, 5], [1, 3, 2, 6], [5, 4, 6, 9]])[:, :, None]
    prompts, seeds, crossed = spreads(y)
    assert (prompts.variance, prompts.freedom) == pytest.approx((116 / 9 / 12, 3))
    assert (seeds.variance, seeds.freedom) == pytest.approx((52 / 3 / 12, 2))
    together = 52 / 3 + 116 / 9 - 5 / 9
    doubt = (52 / 3) ** 2 / 2 + (116 / 9) ** 2 / 3 + (5 / 9) ** 2 / 6
    assert (crossed.variance, crossed.freedom) == pytest.approx((together / 12, together**2 / doubt))
    lasting = (52 / 3 - 5 / 9) / 12
    assert [of.between_seeds for of in (prompts, seeds, crossed)] == pytest.approx([lasting] * 3)
    assert crossed.with_prompts(4).variance == pytest.approx(lasting + (together / 12 - lasting) / 4)
    small = np.array([[3.2, -1.2], [-1.2, -0.8]])[:, :, None]  # 4 + 4 - 5.76: too little for a degree of freedom
    assert spreads(small)[2].freedom == 1.0
    alike = y - y.mean(axis=0) + np.array([0.1, -0.1, 0.1, -0.1])[None, :, None]  # prompts differ by less than the rest
    assert spreads(alike)[2].freedom == 2.0  # no fewer than the seeds have, of which nearly all of it is


def test_seeds_that_disagree_widen_the_interval_to_their_own() -> None:
    seeds = np.array([0.0, 1.0, 2.0])
    found = mean_interval(np.tile(seeds[:, None, None], (1, 50, 2)))
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 2) * seeds.std(ddof=1) / np.sqrt(3))


def test_whole_seeds_and_prompts_may_be_missing_but_not_single_responses() -> None:
    y = np.random.default_rng(2).random((3, 6, 2))
    gaps = y.copy()
    gaps[1], gaps[:, 4] = np.nan, np.nan
    assert mean_interval(gaps) == mean_interval(y[[0, 2]][:, [0, 1, 2, 3, 5]])
    y[0, 0, 1] = np.nan
    with pytest.raises(ValueError, match="some samples only"):
        mean_interval(y)
    with pytest.raises(ValueError, match="every value is missing"):
        mean_interval(np.full((1, 2, 2), np.nan))


def test_a_rate_that_never_varies_rests_on_its_prompts_not_its_responses() -> None:
    found = proportion_interval(np.ones((3, 50, 4)))
    exact = stats.binomtest(50, 50).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_one_failure_never_gives_a_tighter_bound_than_none() -> None:
    y = np.ones((3, 100, 4))
    perfect = proportion_interval(y)
    y[1, 7, 2] = 0.0
    assert proportion_interval(y).low <= perfect.low


def test_independent_single_answers_reproduce_clopper_pearson_closely() -> None:
    y = np.zeros((1, 400, 1))
    y[0, :120] = 1.0
    exact = stats.binomtest(120, 400).proportion_ci(0.95, "exact")
    found = proportion_interval(y)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=2e-3)


def test_a_rate_is_never_surer_than_its_responses() -> None:
    """Two of four are right at each prompt but one, where three are: less spread than independent answers have."""
    y = np.tile([1.0, 1.0, 0.0, 0.0], (1, 50, 1))
    y[0, 0, 2] = 1.0
    exact = stats.binomtest(101, 200).proportion_ci(0.95, "exact")
    found = proportion_interval(y)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_a_proportion_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        proportion_interval(np.full((1, 3, 1), 1.5))


def test_pairing_cancels_what_prompts_have_in_common() -> None:
    rng = np.random.default_rng(3)
    hard = rng.uniform(0.1, 0.7, (1, 80, 1))
    a, b = hard + 0.1 + rng.normal(0, 0.02, (3, 80, 2)), hard + rng.normal(0, 0.02, (3, 80, 2))
    paired, unpaired = mean_interval(a - b), independent_difference(a, b)
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.high - paired.low < 0.2 * (unpaired.high - unpaired.low)
    assert paired.low < 0.1 < paired.high


def _rate(hits: int, prompts: int) -> np.ndarray:
    y = np.zeros((1, prompts, 1))
    y[0, :hits] = 1.0
    return y


def test_two_rates_are_told_apart_by_newcombes_method() -> None:
    """Newcombe's own example, 56 of 70 and 48 of 80: 0.0524 to 0.3339 by Wilson's intervals; exact ones are wider."""
    found = independent_difference(_rate(56, 70), _rate(48, 80))
    left, right = (stats.binomtest(*of).proportion_ci(0.95, "exact") for of in ((56, 70), (48, 80)))
    low = 0.2 - np.hypot(0.8 - left.low, right.high - 0.6)
    high = 0.2 + np.hypot(left.high - 0.8, 0.6 - right.low)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-3)  # the t quantile widens by 2 to 4 %
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=0.015)
    assert (found.prompts, found.seeds) == (70, 1)


def test_a_rate_of_one_on_few_prompts_is_not_above_one_of_almost_one() -> None:
    """64 of 64 leave 5.6 points open (0.025 ** (1 / 64) = 0.944), whatever their variance of 0 says."""
    almost = np.ones((1, 200, 4))
    almost[0, :4, 0] = 0.0  # 99.5 %
    found = independent_difference(np.ones((1, 64, 1)), almost)
    assert found.low == pytest.approx(0.005 - (1 - 0.025 ** (1 / 64)), abs=3e-3)
    assert found.low < 0.0 < found.high
    assert independent_difference(np.ones((1, 64, 1)), _rate(160, 200)).low > 0.1


def test_the_same_seeds_on_other_prompts_are_taken_as_they_are() -> None:
    """Rates of 94, 97 and 100 % against 80 %: three seeds drawn anew could be anywhere, these three are not."""
    log = np.concatenate([_rate(hits, 64) for hits in (60, 62, 64)])
    found = independent_difference(log, np.repeat(_rate(160, 200), 3, axis=0))
    assert found.mean == pytest.approx(62 / 64 - 0.8)
    assert found.low > 0.08
    assert found.seeds == 3
    assert proportion_interval(log).low < 0.8


def test_one_seed_has_a_cost_but_no_interval() -> None:
    assert not seed_interval([3.0]).has_interval
    several = seed_interval([3.0, 5.0, 7.0])
    assert several.mean == 5.0
    assert several.high == pytest.approx(5.0 + stats.t.ppf(0.975, 2) * 2 / np.sqrt(3))
    with pytest.raises(ValueError, match="every seed"):
        seed_interval([])


def test_scaling_changes_the_unit_only() -> None:
    assert Estimate(0.5, 0.4, 0.6, 9, 4, 3).scaled(100) == Estimate(50.0, 40.0, 60.0, 9, 4, 3)


def test_a_ratio_of_sums_is_linearised() -> None:
    rng = np.random.default_rng(7)
    count = (rng.random((1, 200, 1)) < 0.4).astype(np.float64)
    total = count * rng.normal(2.0, 0.5, (1, 200, 1))
    found = ratio_interval(total, count)
    inside = total[count == 1.0]
    assert found.mean == pytest.approx(inside.mean())
    plain = stats.sem(inside) * stats.t.ppf(0.975, len(inside) - 1)
    assert found.high - found.mean == pytest.approx(plain, rel=0.03)
    with pytest.raises(ValueError, match="count above 0"):
        ratio_interval(total, np.zeros_like(total))


def test_the_tail_mean_is_the_mean_of_the_worst() -> None:
    y = np.random.default_rng(8).permutation(np.arange(100.0)).reshape(1, 50, 2)
    assert tail_mean_interval(y, 0.05).mean == pytest.approx(np.mean([95, 96, 97, 98, 99]))


def test_what_few_prompts_carry_is_known_less_than_what_many_do() -> None:
    many, few = np.zeros((1, 100, 4)), np.zeros((1, 100, 4))
    many[0, :60, 0], few[0, :4] = 1.0, 1.0
    scores = np.random.default_rng(9).gamma(2.0, 0.5, (1, 100, 4))
    wide, narrow = ratio_interval(few * scores, few), ratio_interval(many * scores, many)
    assert wide.high - wide.low > 2.0 * (narrow.high - narrow.low)
    heavy = many * np.where(np.arange(100) < 1, 200.0, 1.0)[None, :, None]  # sixty contribute, one of them most of it
    plain = positive_interval(_linear(heavy * scores, many))
    found = ratio_interval(heavy * scores, many)
    assert found.high - found.mean > 3.0 * (plain.high - plain.mean)


def _linear(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """What the interval of a ratio is the mean of, before the degrees of freedom that the prompts leave."""
    ratio = total.sum() / count.sum()
    return ratio + (total - ratio * count) / count.mean()


def test_one_prompt_alone_has_no_spread_and_no_interval() -> None:
    one = np.zeros((3, 200, 4))
    one[:, 7, :2] = 1.0
    found = ratio_interval(0.4 * one, one)
    assert (found.mean, found.has_interval) == (pytest.approx(0.4), False)
    one[0, 8, 0] = 1.0
    assert ratio_interval(0.4 * one, one).has_interval


def test_what_cannot_be_negative_has_no_interval_below_zero() -> None:
    scores = np.random.default_rng(2).gamma(0.2, 1.0, (3, 20, 2)) * np.array([0.1, 1.0, 8.0])[:, None, None]
    beyond = (scores > 2.0).astype(np.float64)
    found = tail_mean_interval(scores, 0.05), ratio_interval(beyond * (scores - 2.0), beyond)
    assert [estimate.low for estimate in found] == [0.0, 0.0]


def test_a_positive_mean_reaches_further_up_than_down_and_zero_is_left_alone() -> None:
    found = positive_interval(np.exp(np.random.default_rng(13).normal(0.0, 1.0, (1, 30, 2))))
    assert found.high - found.mean > 1.1 * (found.mean - found.low)
    nothing = np.random.default_rng(14).normal(0.0, 1e-9, (2, 30, 2))
    assert positive_interval(nothing) == mean_interval(nothing)
    apart = np.stack([np.full((30, 2), 1.0), np.full((30, 2), 9.0)])
    assert mean_interval(apart).low < 0.0 == positive_interval(apart).low


def test_the_upper_end_over_seeds_is_coxs_bound_of_a_log_normal_mean() -> None:
    """Five seeds whose scores do not vary, logarithms 0, 0.5 ... 2: mean 1, variance 0.625, four degrees of freedom."""
    found = positive_interval(np.tile(np.exp(np.arange(5) / 2.0)[:, None, None], (1, 30, 2)))
    error = np.sqrt(0.625 / 5 + 0.625**2 / (2 * 4))
    assert found.high == pytest.approx(np.exp(1.0 + 0.625 / 2 + stats.t.ppf(0.975, 4) * error))


def test_a_difference_of_rates_is_never_surer_than_its_prompts() -> None:
    nothing = bounded_interval(np.zeros((3, 50, 4)))
    assert nothing.high == pytest.approx(stats.binomtest(0, 50).proportion_ci(0.95, "exact").high)
    assert bounded_interval(np.ones((1, 50, 1))).high == 1.0
    y = np.random.default_rng(10).integers(-1, 2, (1, 300, 4)).astype(np.float64)
    assert bounded_interval(y) == mean_interval(y)


def test_p_values_are_those_of_the_t_test_with_a_floor() -> None:
    y = np.random.default_rng(11).normal(0.2, 1.0, (1, 60, 1))
    assert p_value(y) == pytest.approx(stats.ttest_1samp(y.ravel(), 0.0).pvalue)
    assert p_value(np.zeros((1, 60, 1))) == 1.0
    assert p_value(np.ones((1, 6, 4))) == pytest.approx(2 * 0.5**6)


def test_the_widest_interval_and_the_p_value_are_chosen_at_their_own_level() -> None:
    """Seeds spread by 0.5 standard errors, prompts by 1, nothing else: crossed, 30 degrees of freedom are left.

    At 5 % the crossed interval is the widest; where the mean is 10 standard errors of the seeds, theirs, with 2.
    """
    seeds = np.array([-1.0, 0.0, 1.0]) * 0.5 * np.sqrt(3.0)
    prompts = np.tile([-1.0, 1.0], 25) * 7.0  # squares sum to 50 * 49, so the mean has the variance 1
    y = 5.0 + seeds[:, None, None] + prompts[None, :, None]
    freedom = 1.25**2 / (0.25**2 / 2 + 1.0 / 49)
    crossed = np.sqrt(1.25)
    found = mean_interval(y)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, freedom) * crossed)
    assert (spread(y).freedom, spread(y, 0.0005).freedom) == (pytest.approx(freedom), 2.0)
    assert p_value(y) == pytest.approx(2 * stats.t.sf(10.0, 2))
    assert 2 * stats.t.sf(5.0 / crossed, freedom) < 0.02 * p_value(y)
    assert p_value(y - 3.0) == pytest.approx(2 * stats.t.sf(2.0 / crossed, freedom))  # at 8 % the crossed one decides


def test_the_smallest_resolved_difference_is_found_with_the_stated_power() -> None:
    rng = np.random.default_rng(12)
    least = smallest_resolved(rng.standard_normal((1, 4000, 1))) * np.sqrt(4000 / 50)
    found = [p_value(least + rng.standard_normal((1, 50, 1))) < 0.05 for _ in range(REPEATS)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(("seeds", "center", "variance"), [(2, 3.4, 0.1), (3, 3.4, 0.5), (3, 4.5, 2.0), (5, 3.4, 2.0)])
def test_bounds_from_the_seeds_are_those_of_many_random_draws(seeds: int, center: float, variance: float) -> None:
    of = SeedRates(seeds, center, variance, own=0.05, shared=0.01)
    rng = np.random.default_rng(1)
    spread = (variance - 0.5 * 0.05) * (seeds - 1) / rng.chisquare(seeds - 1, 1_000_000)
    level = center + rng.standard_normal(1_000_000) * np.sqrt((spread + 0.05) / seeds + 0.01)
    drawn = 1.0 / (1.0 + np.exp(-level / np.sqrt(1.0 + 0.346 * spread)))
    assert of.bounds(0.025) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.007)
