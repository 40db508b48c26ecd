"""Certified bounds: exact small cases, the prompts that decide, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.certify import certify
from evaluation.statistics import Array

REPEATS = 600  # standard error of a measured coverage of 95 %: 0.9 points


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


# Measured with 1500 repeats: lower bounds 93.5-97.8 %, and 100 % near a rate of 1; upper bounds 95.4-99.3 %.
@pytest.mark.parametrize("centre", [2.8, 3.4])
@pytest.mark.parametrize(("seeds", "seed_spread"), [(1, 0.0), (3, 0.0), (3, 0.3)])
def test_one_sided_bounds_cover_what_they_claim(seeds: int, seed_spread: float, centre: float) -> None:
    rng = np.random.default_rng(8)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    total = np.sqrt(0.8**2 + 0.3**2 + seed_spread**2)
    truth = float((weights / (1 + np.exp(-centre - total * nodes))).sum() / weights.sum())
    found = []
    for _ in range(REPEATS):
        level = centre + seed_spread * rng.standard_normal((seeds, 1, 1)) + 0.8 * rng.standard_normal((1, 100, 1))
        chance = 1 / (1 + np.exp(-level - 0.3 * rng.standard_normal((seeds, 100, 1))))
        found.append(certify((rng.random((seeds, 100, 4)) < chance).astype(np.float64)))
    assert 92.5 <= 100.0 * np.mean([bound.low <= truth for bound in found]) <= 100.0
    assert 92.5 <= 100.0 * np.mean([truth <= bound.high for bound in found]) <= 100.0
    wrong = {"holds": truth < 0.95, "fails": truth >= 0.95, "undecided": False}
    assert np.mean([wrong[bound.verdict] for bound in found]) <= 0.075
