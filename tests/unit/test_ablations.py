"""Ablations: their tables, ranges and figure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from evaluation.ablations import __main__ as command
from evaluation.ablations.differences import differences_table
from evaluation.ablations.figure import draw
from evaluation.ablations.points import Ablation, axes_of
from evaluation.ablations.ranges import ranges_table
from evaluation.ablations.table import ablation_table
from evaluation.ablations.width import _decades, _works, width
from evaluation.collected import Collected, read
from evaluation.statistics import Estimate
from tests.unit.synthetic import TESTS, write_collected
from training.errors import UserError

LAMBDAS = (0.001, 0.01, 0.1, 1.0)
OWN = {0.001: 0.35, 0.01: 0.2, 0.1: 0.2, 1.0: 0.1}


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The λ grid of the synthetic size as an ablation whose rows have constraints of their own."""
    folder, points = tmp_path_factory.mktemp("thresholds"), []
    for value in LAMBDAS:
        file = folder / f"{OWN[value]}.json"
        file.write_text(json.dumps({"d": OWN[value], "source": "given"}))
        runs = [f"world-soft_lagrangian-l{value:g}-{seed}" for seed in range(2)]
        constraint = {"world": {"file": str(file), "reading": "prefix" if value == 1.0 else "mean"}}
        points.append({"value": value, "runs": runs, "thresholds": constraint})
    axis = {"method": "soft_lagrangian", "setting": "λ", "points": points}
    return {"name": "weight", "title": "Weight λ", "axes": [axis]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collected(tmp_path_factory.mktemp("collected"), seeds=2, prompts=12, steps=2)


@pytest.fixture(scope="module")
def size(folder: Path) -> Collected:
    return read(folder)


def test_a_length_has_no_interval_below_zero(folder: Path, tmp_path: Path, params: dict[str, Any]) -> None:
    """One response of 100 tokens and eleven of none, by prompts: 8.3 tokens, 18 to each side by the t interval."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    at = scores["metric"] == "tokens"
    scores.loc[at, "value"] = np.where(scores.loc[at, "prompt"].str.endswith("0000"), 100.0, 0.0)
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    made = ablation_table(read(tmp_path), Ablation.model_validate(params))
    found = [line.cells["length"] for _, lines in made.groups for line in lines]
    assert all(isinstance(cell, Estimate) and cell.low == 0.0 and cell.high > 20.0 for cell in found)


def test_every_row_is_judged_by_its_own_constraint(size: Collected, folder: Path, params: dict[str, Any]) -> None:
    made = ablation_table(size, Ablation.model_validate(params))
    scores = pd.read_parquet(folder / "scores.parquet")
    scores = scores[(scores["test"] == "same") & (scores["decoding"] == "sampled")]
    title, lines = made.groups[0]
    assert title == f"{TESTS['same']} (pair world), GKD-GRPO"
    assert [line.label for line in lines] == [f"λ={value:g}" for value in LAMBDAS]
    for value, line in zip(LAMBDAS, lines, strict=True):
        own = scores[scores["run"].isin(line.runs)]
        metric = {m: rows["value"].to_numpy() for m, rows in own.groupby("metric")}
        reading = "prefix" if value == 1.0 else "mean"
        cells = line.cells
        assert cells["constraint"] == f"{reading} ≤ {OWN[value]:g}"
        expected = {
            "fac": 100 * metric["correct"].mean(),
            "cs": 100 * (metric[f"kl_{reading}"] <= OWN[value]).mean(),
            "cs_pair": 100 * (metric["kl_mean"] <= 0.2).mean(),
            "kl": metric["kl_mean"].mean(),
            "cost": metric[f"kl_{reading}"].mean(),
            "length": 30.0,
        }
        for key, mean in expected.items():
            cell = cells[key]
            assert isinstance(cell, Estimate)
            assert cell.mean == pytest.approx(mean)
            assert cell.low <= cell.mean <= cell.high
            assert (cell.prompts, cell.samples, cell.seeds) == (12, 4, 2)


def test_a_point_works_if_it_lands_and_nothing_that_lands_is_much_better() -> None:
    fac = [0.70, 0.69, 0.80]  # the third is best, but lands within no constraint but the last
    landed = [[0.96, 0.97, 0.50], [0.94, 0.94, 0.94], [0.99, 0.99, 0.96]]
    means = np.array([*fac, *np.ravel(landed)])[:, None]
    works = _works(means, np.full(3, 0.95), [0, 1, 2])
    assert works[:, 0].tolist() == [True, False, True]
    slack = _works(np.array([0.70, 0.69, 0.80, *[0.99, 0.99, 0.50] * 2])[:, None], np.full(2, 0.95), [0, 1])
    assert slack[:, 0].tolist() == [True, True]


def test_the_width_is_that_of_the_widest_run_of_neighbours() -> None:
    works = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=bool).T
    assert _decades(works, np.array([-3.0, -2.0, -1.0, 1.0])).tolist() == [1.0, 0.0, 0.0, 4.0]
    three_and_two = np.array([[1, 1, 1, 0, 1, 1]], dtype=bool).T  # the two are farther apart
    assert _decades(three_and_two, np.array([-3.0, -2.9, -2.8, -1.0, 0.0, 1.0])).tolist() == [1.0]


def test_the_range_is_found_in_scores(size: Collected, params: dict[str, Any]) -> None:
    """Mean KLs of 0.3, 0.2, 0.1, 0.05: with FAC aside, only the λ whose mean cost is within its d can work."""
    axes = axes_of(size, Ablation.model_validate(params), "world")
    found = width(size, axes, axes[0], "same", "mean")
    assert found is not None
    means = [np.mean(size.stacked(p.row, "same", f"kl_{p.reading}")) <= p.d for p in axes[0].points]
    assert 0 < found.working <= sum(means)
    values = [p.value for p in found.range]
    assert found.decades.mean == pytest.approx(np.log10(values[-1] / values[0]))
    assert 0 <= found.decades.low <= found.decades.mean <= found.decades.high <= 3
    assert all(means[axes[0].points.index(p)] for p in found.range)


@pytest.mark.parametrize("rule", ["most", "mean"])
def test_each_point_lands_within_its_own_d_in_its_own_reading(
    rule: Any, folder: Path, params: dict[str, Any], tmp_path: Path
) -> None:
    """All are right. 0.3 is within 0.35 and 0.15 within 0.2; 0.15 in one seed and 0.35 in the other is not, by its mean
    or by half of its responses, nor 0.15 within 0.1 by the prefix."""
    scores = pd.read_parquet(folder / "scores.parquet")
    for value, mean, prefix in ((0.001, 0.3, 0.9), (0.01, 0.15, 0.9), (0.1, 0.15, 0.9), (1.0, 0.05, 0.15)):
        own = scores["run"].str.contains(f"-l{value:g}-")
        for metric, level in (("kl_mean", mean), ("kl_prefix", prefix), ("correct", 1.0)):
            scores.loc[own & (scores["metric"] == metric), "value"] = level
    scores.loc[scores["run"].str.endswith("-l0.1-1") & (scores["metric"] == "kl_mean"), "value"] = 0.35
    for name in ("runs.json", "curves.parquet", "costs.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    made = read(tmp_path)
    axes = axes_of(made, Ablation.model_validate(params), "world")
    found = width(made, axes, axes[0], "same", rule)
    assert found is not None
    assert (found.working, found.decades.mean, [p.value for p in found.range]) == (2, 1.0, [0.001, 0.01])
    made_table = ranges_table(made, Ablation.model_validate(params))
    assert made_table is not None
    cells = made_table.groups[0][1][["most", "mean"].index(rule)].cells
    assert [cells[key] for key in ("working", "range", "ratio")] == ["2 of 4", "0.001 to 0.01 (edge)", "10"]


def test_a_point_that_lost_runs_ends_a_range(
    size: Collected, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four work; with the second one's runs lost, what lies between the first and the third is not known."""
    monkeypatch.setattr("evaluation.ablations.width.SLACK", 1.0)
    (axis,) = axes_of(size, Ablation.model_validate(params), "world")
    whole = replace(axis, points=tuple(replace(point, d=9.0) for point in axis.points))
    first, second, *rest = whole.points
    lost = replace(second.row, runs=(second.row.runs[0].model_copy(update={"status": "failed"}), *second.row.runs[1:]))
    gap = replace(whole, points=(first, replace(second, row=lost), *rest))
    found = [width(size, [one], one, "same", "mean") for one in (whole, gap)]
    assert [(w.working, w.lost, len(w.grid), w.decades.mean) for w in found if w] == [(4, 0, 4, 3.0), (3, 1, 4, 1.0)]
    assert [[point.value for point in w.range] for w in found if w] == [list(LAMBDAS), [0.1, 1.0]]


def test_settings_that_are_no_numbers_have_no_range(size: Collected, params: dict[str, Any]) -> None:
    words = json.loads(json.dumps(params))
    for point in words["axes"][0]["points"]:
        point["value"] = f"choice {point['value']}"
    assert ranges_table(size, Ablation.model_validate(words)) is None
    table = ranges_table(size, Ablation.model_validate(params))
    assert table is not None
    lines = table.groups[0][1]
    assert [line.label.partition(";")[0] for line in lines] == ["λ of GKD-GRPO"] * 2
    assert lines[0].cells["grid"] == "0.001 to 1, 4 points"


def test_the_figure_shows_the_table_and_each_d(size: Collected, params: dict[str, Any]) -> None:
    ablation = Ablation.model_validate(params)
    drawn = draw(size, ablation)
    fac, _, kl, _ = drawn.figure.axes
    bars = [container for container in fac.containers if container.get_label() == TESTS["same"]]
    expected = [line.cells["fac"].mean for line in ablation_table(size, ablation).groups[0][1]]
    assert [bar.lines[0].get_ydata()[0] for bar in bars] == pytest.approx(expected)
    levels = [line.get_segments()[0][0][1] for line in kl.collections if len(line.get_segments()) == 1]
    assert {OWN[value] for value in LAMBDAS[:3]} <= set(levels)
    assert "n = 12 prompts" in drawn.caption
    assert "; 2 seeds." in drawn.caption
    plt.close("all")


def test_each_value_is_compared_with_the_first_of_its_grid(size: Collected, params: dict[str, Any]) -> None:
    """The estimate is the difference of the two cells, since prompts and seeds are the same; its interval is paired."""
    ablation = Ablation.model_validate(params)
    cells = [line.cells for line in ablation_table(size, ablation).groups[0][1]]
    label, lines = differences_table(size, ablation).groups[0]
    assert label == "Same distribution (pair world), GKD-GRPO"
    assert [line.label for line in lines] == [f"λ: {value:g} minus 0.001" for value in LAMBDAS[1:]]
    for line, cell in zip(lines, cells[1:], strict=True):
        for name, of in (("FAC", "fac"), ("CS", "cs_pair"), ("KL", "kl")):
            assert line.cells[name].mean == pytest.approx(cell[of].mean - cells[0][of].mean, abs=1e-9)
            assert line.cells[name].low <= line.cells[name].mean <= line.cells[name].high
        assert len(line.runs) == 4


def test_the_command_writes_its_tables_and_the_figure(folder: Path, params: dict[str, Any], tmp_path: Path) -> None:
    arguments = ["--collected", str(folder), "--params", json.dumps(params), "--out", str(tmp_path / "out")]
    command.main(arguments)
    found = {file.name for file in (tmp_path / "out").iterdir()}
    tables = ("weight", "weight_differences", "weight_range")
    forms = {f"{name}.{end}" for name in tables for end in ("csv", "md", "tex")}
    assert found == forms | {"weight.png", "weight.pdf", "captions.json", "sources.json"}
    assert "λ=0.001" in (tmp_path / "out" / "weight.md").read_text(encoding="utf-8")


def test_a_row_that_failed_is_a_gap_and_said(tmp_path: Path, params: dict[str, Any]) -> None:
    where = write_collected(tmp_path, seeds=2, prompts=5, steps=2, failed=("soft_lagrangian",))
    size, ablation = read(where), Ablation.model_validate(params)
    lines = ablation_table(size, ablation).groups[0][1]
    assert {line.gap for line in lines} == {"failed: loss became infinite at step 7"}
    assert {line.gap for line in differences_table(size, ablation).groups[0][1]} == {line.gap for line in lines}
    assert ranges_table(size, ablation) is None
    assert "Runs are missing: λ=0.001 (failed: loss became infinite at step 7)" in draw(size, ablation).caption
    plt.close("all")


def test_a_run_that_was_not_collected_is_one_sentence(size: Collected, params: dict[str, Any]) -> None:
    missing = json.loads(json.dumps(params))
    missing["axes"][0]["points"][0]["runs"] = ["no-such-run"]
    with pytest.raises(UserError, match=r"runs of soft_lagrangian λ=0\.001 are not collected"):
        ablation_table(size, Ablation.model_validate(missing))
