"""Corrected win tests, the leading group, paired differences, and what the design could find."""

from __future__ import annotations

import re
from copy import copy
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation import paired
from evaluation.certify import Certificate
from evaluation.claims import _all_of, _certified, _Comparison, _comparison, _cost, _within, load
from evaluation.collected import Collected, Row, read
from evaluation.pairwise import compare, net_wins, overall, win_rate_gap
from evaluation.significance import holm, leaders, resolution, win_tests
from evaluation.statistics import Estimate, mean_interval, p_value
from tests.unit.synthetic import write_collected


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return read(write_collected(tmp_path_factory.mktemp("c"), seeds=1, prompts=120, steps=2, failed=("minillm",)))


def _row(size: Collected, method: str) -> Row:
    row = size.row("world", method)
    assert row is not None
    return row


def test_holm_multiplies_the_smallest_by_all() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_the_margin_is_in_points_for_the_p_value_too() -> None:
    (claim,) = (claim for claim in load() if claim.id == "C3")
    values = np.tile([[[-0.05], [0.0], [-0.1], [0.05]]], (1, 10, 1))
    found = _comparison(claim, values, "")
    assert (claim.margin, found.p) == (5.0, p_value(values + 0.05))
    assert found.mean == pytest.approx(5.0 + 100.0 * values.mean())


def compared(mean: float, half: float, p: float) -> _Comparison:
    found = Estimate(mean, mean - half, mean + half, 9, 1, 1)
    return _Comparison(found, mean, found.low, found.high, p, f"{mean:g}")


def test_a_claim_is_contradicted_only_after_holms_correction() -> None:
    """p = 0.02 twice is 0.04 corrected, thrice 0.06; a claim is supported by each comparison without correction."""
    against, for_it = compared(-2.0, 1.0, 0.02), compared(2.0, 1.0, 0.04)
    assert _all_of([against, compared(1.0, 2.0, 0.3)]).verdict == "contradicted"
    assert _all_of([against, compared(1.0, 2.0, 0.3), compared(1.0, 2.0, 0.4)]).verdict == "undecided"
    assert _all_of([for_it] * 3).verdict == "supported"


def test_what_speaks_for_a_claim_elsewhere_does_not_help_to_refute_it() -> None:
    """Two sure comparisons on the claim's side leave three to be corrected for: 3 x 0.03."""
    sure, against = compared(2.0, 1.0, 1e-6), compared(-2.0, 1.0, 0.03)
    assert _all_of([sure, sure, against]).verdict == "undecided"
    assert _all_of([sure, against, against, against]).verdict == "undecided"
    assert _all_of([sure, compared(-2.0, 1.0, 0.01)]).verdict == "contradicted"


def test_a_claim_is_decided_where_p_value_and_interval_agree() -> None:
    assert _all_of([compared(2.0, 1.0, 0.06)]).verdict == "undecided"
    assert _all_of([compared(2.0, 2.1, 0.04)]).verdict == "undecided"
    assert _all_of([compared(-2.0, 1.0, 0.06)]).verdict == "undecided"
    assert _all_of([compared(-2.0, 2.1, 0.04)]).verdict == "undecided"


def test_the_number_beside_a_claim_is_what_speaks_least_for_it() -> None:
    """Sure to be below 0, then doubtful, then sure to be above 0; the size does not matter."""
    below, doubtful, above = compared(-1.0, 0.5, 0.001), compared(0.1, 1.0, 0.9), compared(0.05, 0.01, 0.001)
    for many, where in (([doubtful, below, above], "-1"), ([above, doubtful], "0.1"), ([above], "0.05")):
        assert _all_of(many).where.split(" (least")[0] == where


def test_few_seeds_do_not_make_false_stars() -> None:
    """Eight equal methods, three seeds that differ: a star in 5 % of studies, 20 % with one spread for all levels."""
    rng, studies, rows, prompts = np.random.default_rng(0), 200, 8, 60
    false = 0
    for _ in range(studies):
        hard, own = rng.standard_normal((1, 1, prompts, 1)), 0.7 * rng.standard_normal((rows, 1, prompts, 1))
        seed, rest = 0.4 * rng.standard_normal((rows, 3, 1, 1)), 0.4 * rng.standard_normal((rows, 3, prompts, 1))
        steps = np.clip(np.round(1.5 + hard + own + seed + rest), 0, 3)
        p = [p_value(np.sign(steps[i] - steps[j])) for i, j in combinations(range(rows), 2)]
        false += len(p) * min(p) < 0.05  # Holm's smallest
    assert false / studies <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)


def test_net_wins_are_wins_minus_losses(size: Collected) -> None:
    cmdp, gkd = _row(size, "cmdp"), _row(size, "gkd")
    signs, match = net_wins(size, cmdp, gkd, "same"), compare(size, cmdp, gkd, "same")
    assert signs is not None
    assert match is not None
    assert signs.mean() == pytest.approx(match.win.mean - match.loss.mean)


def test_every_pair_is_tested_and_corrected(size: Collected) -> None:
    tests = win_tests(size, "world", "same")
    assert len(tests) == 9 * 8 / 2
    signs = net_wins(size, _row(size, "cmdp"), _row(size, "gkd"), "same")
    assert signs is not None
    assert tests[frozenset(("CMDP", "GKD"))] >= p_value(signs)
    assert tests[frozenset(("CMDP", "GRPO"))] < 1e-6


def test_the_leading_group_holds_the_best_and_its_equals_not_the_beaten(size: Collected) -> None:
    found = leaders(size, "world", "same", win_tests(size, "world", "same"))
    assert {"CMDP", "GKD"} <= found
    assert not found & {"GRPO", "Teacher", "Student before", "GKD-GRPO λ=0.001"}


def test_a_row_that_beats_the_first_one_is_not_behind_it(tmp_path: Path) -> None:
    """GKD beats CMDP at three prompts of five and loses to all at the others, so CMDP has the highest win rate."""
    folder = write_collected(tmp_path, seeds=1, prompts=50, samples=2, steps=2)
    scores = pd.read_parquet(folder / "scores.parquet")
    often = scores["prompt"].str.slice(-2).astype(int) % 5 < 3
    for runs, most, else_ in ((".", 0.25, 0.5), ("-cmdp-", 0.5, 0.75), ("-gkd-", 0.75, 0.25)):
        own = scores["run"].str.contains(runs) & (scores["metric"] == "reasoning")
        scores.loc[own, "value"] = np.where(often, most, else_)[own]
    scores.to_parquet(folder / "scores.parquet", index=False)
    size, shown = read(folder), {frozenset(("CMDP", "GKD")): 0.001, frozenset(("CMDP", "GRPO")): 0.001}
    wins = net_wins(size, _row(size, "cmdp"), _row(size, "gkd"), "same")
    assert wins is not None
    assert wins.mean() == pytest.approx(-0.2)
    found = leaders(size, "world", "same", shown)
    assert {"CMDP", "GKD"} <= found
    assert "GRPO" not in found


def test_differences_are_paired_by_prompt_and_the_gap_is_that_of_the_tables(size: Collected) -> None:
    cmdp, grpo = _row(size, "cmdp"), _row(size, "grpo")
    found = paired.differences(size, cmdp, grpo, "same")
    assert set(found) == {"FAC", "CS", "KL", "wins - losses"}
    a, b = size.stacked(cmdp, "same", "kl_mean"), size.stacked(grpo, "same", "kl_mean")
    assert a is not None
    assert b is not None
    np.testing.assert_array_equal(found["KL"].values, a - b)
    assert found["CS"].estimate().mean == pytest.approx(100 * (np.mean(a <= 0.2) - np.mean(b <= 0.2)))
    gap, ours, theirs = (
        win_rate_gap(size, cmdp, grpo, "same"), overall(size, cmdp, "same"), overall(size, grpo, "same")
    )  # fmt: skip
    assert gap is not None
    assert ours is not None
    assert theirs is not None
    assert gap.mean() == pytest.approx(ours.win.mean - theirs.win.mean)


def test_satisfaction_is_compared_in_the_pairs_reading_and_the_kl_per_token(tmp_path: Path) -> None:
    size = read(write_collected(tmp_path, seeds=1, prompts=12, steps=2))
    threshold = size.pairs["world"].threshold.model_copy(update={"d": 4.0})
    size.pairs["world"] = size.pairs["world"].model_copy(update={"reading": "sum", "threshold": threshold})
    rows = _row(size, "cmdp"), _row(size, "grpo")
    found = paired.differences(size, *rows, "same")
    mean, total = ([size.stacked(row, "same", f"kl_{name}") for row in rows] for name in ("mean", "sum"))
    np.testing.assert_array_equal(found["KL"].values, mean[0] - mean[1])
    np.testing.assert_array_equal(found["CS"].values, (total[0] <= 4.0) * 1.0 - (total[1] <= 4.0))
    assert 0 < found["CS"].values.mean() < 1


def test_an_untrained_row_meets_every_seed_and_fewer_samples_cut_the_other(tmp_path: Path) -> None:
    folder = write_collected(tmp_path, seeds=2, prompts=5, steps=2)
    scores = pd.read_parquet(folder / "scores.parquet")
    scores[(scores["run"] != "world-teacher-0") | (scores["sample"] < 3)].to_parquet(folder / "scores.parquet")
    size = read(folder)
    both = paired.together(size, _row(size, "cmdp"), _row(size, "teacher"), "same", "kl_mean")
    assert both is not None
    assert both[0].shape == both[1].shape == (2, 5, 3)
    np.testing.assert_array_equal(both[1][0], both[1][1])
    turned = paired.together(size, _row(size, "teacher"), _row(size, "cmdp"), "same", "kl_mean")
    assert turned is not None
    np.testing.assert_array_equal(turned[0], both[1])


def test_rows_that_lost_runs_do_not_set_what_the_design_resolves(tmp_path: Path) -> None:
    """One run that is left has no spread over seeds, so that the design would look sharper for the loss."""
    whole = read(write_collected(tmp_path, seeds=2, prompts=20, steps=2))
    lost, without = copy(whole), copy(whole)
    lost.runs = [
        run.model_copy(update={"status": "failed"}) if run.run == "world-grpo-1" else run for run in whole.runs
    ]
    without.runs = [run for run in whole.runs if run.method != "grpo"]
    assert resolution(lost) == resolution(without) != resolution(whole)


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [(12.0, 1.0, "supported"), (9.0, 3.0, "undecided"), (9.0, 0.5, "contradicted"), (16.0, 0.5, "contradicted")],
)
def test_a_range_is_missed_where_the_whole_interval_lies_outside(mean: float, half: float, verdict: str) -> None:
    inside = compared(12.0, 1.0, 0.5)
    assert _within((10.0, 15.0), [inside, compared(mean, half, 0.5)]).verdict == verdict


def test_one_test_set_that_fails_outweighs_one_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    size = read(write_collected(tmp_path, seeds=1, prompts=20, steps=2))
    tests, row = size.pairs["world"].tests, _row(size, "cmdp")
    for words, verdict in (
        (("holds", "holds", "holds"), "supported"),
        (("holds", "undecided", "holds"), "undecided"),
        (("undecided", "holds", "fails"), "contradicted"),
    ):
        given = iter([Certificate(0.5, 0.9, word, None) for word in words])
        monkeypatch.setattr("evaluation.claims.certify", lambda _, given=given: next(given))
        assert _certified(size, row, tests).verdict == verdict


def test_a_saving_that_its_seeds_leave_open_is_not_supported(tmp_path: Path) -> None:
    """50, 10 and 5 % of GRPO's operations: 22 on average, the interval over three seeds holds 0."""
    folder = write_collected(tmp_path, seeds=3, prompts=4, steps=2)
    costs = pd.read_parquet(folder / "costs.parquet").set_index("run")
    for seed, share in enumerate((0.5, 0.9, 0.95)):
        costs.loc[f"world-cmdp-{seed}", "flops"] = share * costs.loc[f"world-grpo-{seed}", "flops"]
    costs.reset_index().to_parquet(folder / "costs.parquet", index=False)
    size = read(folder)
    found = _cost(size, _row(size, "cmdp"), [_row(size, "grpo")])
    assert found.number is not None
    assert (found.verdict, found.number.mean) == ("undecided", pytest.approx(65.0 / 3.0))


def test_the_resolution_names_each_measure_with_a_positive_range(size: Collected) -> None:
    text = resolution(size)
    for name in ("FAC", "CS", "KL", "wins - losses"):
        low = re.search(rf"{name} ([\d.]+)", text)
        assert low is not None
        assert float(low[1]) > 0


def test_a_difference_of_divergences_reaches_further_on_the_side_of_the_row_whose_seeds_differ_more() -> None:
    """Seeds at 1, 2 and 4 nats: logs 0, ln 2, 2 ln 2, variance (ln 2)^2; Cox and t bounds of the three."""
    uneven, even = (np.tile(np.array(means)[:, None, None], (1, 50, 2)) for means in ([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]))
    t, between = 4.302653, np.log(2.0) ** 2
    cox = np.exp(np.log(2.0) + between / 2 + t * np.sqrt(between / 3 + between**2 / 4))
    beyond = cox - (7 / 3 + t * np.sqrt(7 / 3) / np.sqrt(3))
    plain, found = mean_interval(uneven - even), paired.divergence_difference(uneven, even).estimate()
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high + beyond), rel=1e-6)
    turned = paired.divergence_difference(even, uneven).estimate()
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    alike = paired.divergence_difference(uneven, 3.0 * uneven[::-1] / 3.0).estimate()
    assert alike == mean_interval(uneven - uneven[::-1])
