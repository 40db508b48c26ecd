"""Equal steps and equal budget, from curves whose values say which step they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluation.collected import Collected, Row, read
from evaluation.equal_compute import at_budget, at_steps, flops_per_step, limits, steps_resolution
from evaluation.statistics import smallest_resolved
from evaluation.table_files import to_markdown
from evaluation.tables.equal_compute import equal_compute_table
from tests.unit.synthetic import write_collected


def _prepared(folder: Path) -> Collected:
    """CMDP costs twice as much a step as the others and has a curve of 0..50; all others 0..100. KL is step / 1000."""
    write_collected(folder, seeds=1, prompts=4, steps=11)
    curves, costs = (pd.read_parquet(folder / f"{name}.parquet") for name in ("curves", "costs"))
    cmdp = curves["run"] == "world-cmdp-0"
    curves = curves[~cmdp | (curves["step"] <= 50)]
    curves.assign(kl_mean=curves["step"] / 1000).to_parquet(folder / "curves.parquet", index=False)
    costs["flops"], costs["steps"] = 100e9, 100.0
    own = costs["run"] == "world-cmdp-0"
    costs.loc[own, ["flops", "steps"]] = [100e9, 50.0]
    costs.loc[costs["run"] == "world-gkd-0", "flops"] = 500e9
    costs.to_parquet(folder / "costs.parquet", index=False)
    return read(folder)


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return _prepared(tmp_path_factory.mktemp("c"))


def _row(size: Collected, method: str) -> Row:
    row = size.row("world", method)
    assert row is not None
    return row


def test_limits_are_what_every_run_reached(size: Collected) -> None:
    found = limits(size, "world")
    assert found is not None
    assert (found.steps, found.flops) == (50, 100e9)
    assert flops_per_step(size)["world-cmdp-0"] == 2e9


@pytest.mark.parametrize(("method", "step"), [("cmdp", 50), ("grpo", 100), ("gkd", 20)])
def test_a_dearer_step_gets_fewer_of_them(size: Collected, method: str, step: int) -> None:
    found = at_budget(size, _row(size, method), 100e9)
    assert found is not None
    assert found.steps == (step,)
    assert found.kl.mean == pytest.approx(step / 1000)


def test_equal_steps_ignore_the_cost(size: Collected) -> None:
    for method in ("cmdp", "grpo", "gkd"):
        found = at_steps(size, _row(size, method), 50)
        assert found is not None
        assert (found.steps, found.kl.mean) == ((50,), pytest.approx(0.05))
        assert (found.reward.prompts, found.reward.seeds) == (32, 1)


def test_the_caption_says_that_the_prompts_are_those_of_validation(size: Collected) -> None:
    caption = equal_compute_table(size).caption
    assert "n = 32 prompts \N{MULTIPLICATION SIGN} 1 samples of the validation set; 1 seed." in caption
    assert "per test set" not in caption


def test_satisfaction_is_counted_at_the_threshold(tmp_path: Path) -> None:
    size = _prepared(tmp_path)
    found = at_steps(size, _row(size, "grpo"), 100)
    assert found is not None
    assert found.satisfied.mean == 1.0
    size.pairs["world"] = size.pairs["world"].model_copy(
        update={"threshold": size.pairs["world"].threshold.model_copy(update={"d": 0.09})}
    )
    stricter = at_steps(size, _row(size, "grpo"), 100)
    assert stricter is not None
    assert stricter.satisfied.mean == 0.0


def test_a_run_without_a_known_cost_has_no_budget(tmp_path: Path) -> None:
    folder = write_collected(tmp_path, seeds=1, prompts=4, steps=2)
    costs = pd.read_parquet(folder / "costs.parquet")
    costs.assign(flops=0.0).to_parquet(folder / "costs.parquet", index=False)
    size = read(folder)
    assert limits(size, "world") is None
    assert at_budget(size, _row(size, "cmdp"), 1.0) is None
    assert "no run has both curve and cost" in to_markdown(equal_compute_table(size))


def test_what_equal_steps_resolve_is_the_paired_spread_of_the_monitors_responses(tmp_path: Path) -> None:
    """CMDP is 0.1 above and below the others in turn: standard error 0.1 / sqrt(R - 1), R - 1 degrees of freedom."""
    _prepared(tmp_path)
    curves = pd.read_parquet(tmp_path / "curves.parquet").assign(reward=0.5)
    own, sign = curves["run"] == "world-cmdp-0", 1 - 2 * (curves["response"] % 2)
    responses = curves["response"].nunique()
    assert responses % 2 == 0
    curves["kl_mean"] += 0.1 * sign.where(own, 0)
    curves.to_parquet(tmp_path / "curves.parquet")
    expected = (stats.t.ppf(0.975, responses - 1) + stats.t.ppf(0.8, responses - 1)) * 0.1 / math.sqrt(responses - 1)
    said = steps_resolution(read(tmp_path))
    open_ = 100.0 * (1.0 - 0.025 ** (1.0 / responses))  # points that equal rewards of so many prompts leave open
    assert f"reward {open_:.1f}, KL 0.000\N{EN DASH}{expected:.3f} (" in said


def test_what_equal_steps_resolve_is_paired_by_seed(tmp_path: Path) -> None:
    """All rows of the second seed cost 1 more, which cancels; CMDP is 0.1 above and below the others in turn."""
    write_collected(tmp_path, seeds=2, prompts=4, steps=2)
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    own, sign = curves["run"].str.contains("-cmdp-"), 1 - 2 * (curves["response"] % 2)
    curves["kl_mean"] = curves["run"].str.slice(-1).astype(float) + 0.1 * sign.where(own, 0)
    curves.to_parquet(tmp_path / "curves.parquet")
    values = np.tile([0.1, -0.1], (2, curves["response"].nunique() // 2))[:, :, None]
    assert f"KL 0.000\N{EN DASH}{smallest_resolved(values):.3f} (" in steps_resolution(read(tmp_path))


def test_the_order_of_the_curves_rows_changes_nothing(tmp_path: Path) -> None:
    """Responses meet those to the same prompt, whatever the file's order."""
    folder = write_collected(tmp_path, seeds=2, prompts=4, steps=2)
    size = read(folder)
    curves = pd.read_parquet(folder / "curves.parquet")
    curves.sample(frac=1, random_state=5).to_parquet(folder / "curves.parquet", index=False)
    shuffled = read(folder)
    assert steps_resolution(shuffled) == steps_resolution(size)
    assert at_steps(shuffled, _row(shuffled, "cmdp"), 10) == at_steps(size, _row(size, "cmdp"), 10)
