"""Win, tie and loss rates on scores small enough to count by hand."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.collected import Collected, Row, read
from evaluation.pairwise import compare, opponents, overall
from evaluation.statistics import Estimate
from tests.unit.synthetic import write_collected


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return read(write_collected(tmp_path_factory.mktemp("collected"), prompts=12, steps=2))


def _row(size: Collected, method: str) -> Row:
    row = size.row("world", method)
    assert row is not None
    return row


def equal(one: Estimate, other: Estimate) -> bool:
    return astuple(one) == pytest.approx(astuple(other))


def test_rates_are_those_counted_on_the_same_seed_and_prompt_over_other_samples(size: Collected) -> None:
    a, b = _row(size, "cmdp"), _row(size, "grpo")
    left, right = (size.stacked(row, "same", "reasoning") for row in (a, b))
    assert left is not None
    assert right is not None
    found = compare(size, a, b, "same")
    assert found is not None
    numbers = [(k, other) for k in range(4) for other in range(4) if k != other]
    met = np.array([np.sign(left[..., k] - right[..., other]) for k, other in numbers])
    counted = [np.mean(met > 0), np.mean(met == 0), np.mean(met < 0)]
    assert [found.win.mean, found.tie.mean, found.loss.mean] == pytest.approx(counted)
    assert (found.win.prompts, found.win.samples, found.win.seeds) == (12, 4, 3)


def test_random_numbers_that_two_rows_share_do_not_count(tmp_path: Path) -> None:
    """Two rows of one policy, sampled with the same random numbers, answer alike; they win as often as other draws of
    that policy would: twice the chance of a good answer and a bad one."""
    folder = write_collected(tmp_path, prompts=400, samples=4, seeds=1, steps=2)
    scores = pd.read_parquet(folder / "scores.parquet")
    good = np.random.default_rng(0).random(1600) < 0.3
    for run in ("world-cmdp-0", "world-gkd-0"):
        chosen = (scores["run"] == run) & (scores["test"] == "same") & (scores["metric"] == "reasoning")
        scores.loc[chosen & (scores["decoding"] == "sampled"), "value"] = good.astype(float)
    scores.to_parquet(folder / "scores.parquet", index=False)
    size = read(folder)
    found = compare(size, _row(size, "cmdp"), _row(size, "gkd"), "same")
    assert found is not None
    assert found.win.mean == pytest.approx(found.loss.mean)
    assert found.win.mean == pytest.approx(0.3 * 0.7, abs=3 * 0.011)  # three standard errors


def test_a_win_is_the_opponents_loss(size: Collected) -> None:
    a, b = _row(size, "gkd"), _row(size, "minillm")
    forth, back = compare(size, a, b, "longer"), compare(size, b, a, "longer")
    assert forth is not None
    assert back is not None
    assert equal(forth.win, back.loss)
    assert equal(forth.tie, back.tie)


def test_a_row_wins_against_itself_as_often_as_it_loses(size: Collected) -> None:
    found = compare(size, _row(size, "gkd"), _row(size, "gkd"), "same")
    assert found is not None
    assert equal(found.win, found.loss)
    assert found.win.mean > 0.0


def test_opponents_are_the_other_trained_rows(size: Collected) -> None:
    found = opponents(size, _row(size, "cmdp"))
    assert {row.kind for row in found} == {"method"}
    assert len(found) == 7
    assert "CMDP" not in {row.label for row in found}
    assert len(opponents(size, _row(size, "teacher"))) == 8


def test_overall_is_the_mean_over_opponents(size: Collected) -> None:
    row = _row(size, "cmdp")
    singles = [compare(size, row, other, "same") for other in opponents(size, row)]
    mean = np.mean([single.win.mean for single in singles if single])
    found = overall(size, row, "same")
    assert found is not None
    assert found.win.mean == pytest.approx(mean)
    assert found.win.mean + found.tie.mean + found.loss.mean == pytest.approx(1.0)
    assert found.win.seeds == 3


def test_an_untrained_reference_meets_every_seed(size: Collected) -> None:
    found = compare(size, _row(size, "cmdp"), _row(size, "teacher"), "same")
    back = compare(size, _row(size, "teacher"), _row(size, "cmdp"), "same")
    assert found is not None
    assert back is not None
    assert found.win.seeds == 3
    assert equal(found.win, back.loss)


def test_the_final_answer_does_not_count(size: Collected, tmp_path: Path) -> None:
    folder = write_collected(tmp_path, prompts=12, steps=2)
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.loc[scores["metric"] == "correct", "value"] = 0.0
    scores.to_parquet(folder / "scores.parquet", index=False)
    row, other = _row(size, "cmdp"), _row(size, "grpo")
    assert compare(read(folder), row, other, "same") == compare(size, row, other, "same")


def test_failed_opponents_are_left_out_and_a_lone_method_meets_the_references(tmp_path: Path) -> None:
    others = ("grpo", "gkd", "minillm", "soft_lagrangian")
    alone = read(write_collected(tmp_path, prompts=6, steps=2, failed=others))
    assert {row.kind for row in opponents(alone, _row(alone, "cmdp"))} == {"reference"}
    assert compare(alone, _row(alone, "cmdp"), _row(alone, "grpo"), "same") is None
    assert overall(alone, _row(alone, "cmdp"), "same") is not None
