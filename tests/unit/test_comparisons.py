"""What stands beside compared rows: ours minus TRL's, the second reading of the answer, what the design resolves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.collected import Collected, read
from evaluation.significance import cost_resolution
from evaluation.statistics import smallest_resolved
from evaluation.table_files import to_markdown
from evaluation.tables.cost import cost_table
from evaluation.tables.differences import differences_table
from evaluation.tables.feasible import feasible_table
from evaluation.tables.pareto import pareto_table
from evaluation.tables.readings import readings_table
from tests.unit.synthetic import cells_of, write_collected

GROUP = "Same distribution (pair world)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic size with Mini-LLM's runs renamed to TRL's GRPO."""
    folder = write_collected(tmp_path_factory.mktemp("c"), seeds=2, prompts=12, samples=2, steps=2)
    index = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    for run in index["runs"]:
        if run["method"] == "minillm":
            run |= {"method": "trl_grpo", "label": "TRL GRPO"}
    (folder / "runs.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def size(folder: Path) -> Collected:
    return read(folder)


def test_ours_minus_trl_stands_in_the_differences_with_its_interval(size: Collected) -> None:
    cells = cells_of(differences_table(size))
    ours, theirs = size.row("world", "grpo"), size.row("world", "trl_grpo")
    assert ours is not None
    assert theirs is not None
    a, b = size.stacked(ours, "same", "correct"), size.stacked(theirs, "same", "correct")
    assert a is not None
    assert b is not None
    cell = cells[GROUP, "GRPO minus TRL GRPO", "FAC"]
    assert float(cell["estimate"]) == pytest.approx(100 * (a - b).mean())
    assert float(cell["low"]) < float(cell["estimate"]) < float(cell["high"])
    assert (GROUP, "TRL GRPO", "FAC") in cells
    assert not any("TRL distillation" in row for _, row, _ in cells)


def test_the_second_reading_is_printed_only_where_it_differs(folder: Path, size: Collected, tmp_path: Path) -> None:
    assert "equivalent" not in to_markdown(readings_table(size)).split("\n|")[1]
    scores = pd.read_parquet(folder / "scores.parquet")
    loose = (scores["run"] == "world-cmdp-0") & (scores["metric"] == "equivalent") & (scores["test"] == "same")
    scores.loc[loose & (scores["decoding"] == "sampled"), "value"] = 1.0
    (tmp_path / "runs.json").write_bytes((folder / "runs.json").read_bytes())
    for name in ("curves", "costs"):
        (tmp_path / f"{name}.parquet").write_bytes((folder / f"{name}.parquet").read_bytes())
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    table = readings_table(read(tmp_path))
    assert "FAC equivalent %" in to_markdown(table)
    strict, loose_, gap = (
        float(cells_of(table)[GROUP, "CMDP", key]["estimate"]) for key in ("fac", "equivalent", "gap")
    )
    assert gap == pytest.approx(loose_ - strict)
    assert gap > 0


def test_readings_are_the_shares_and_means_of_their_own_scores(folder: Path, tmp_path: Path) -> None:
    """Every score of one row is another number; its first response to each prompt costs exactly d by the mean."""
    scores = pd.read_parquet(folder / "scores.parquet")
    own = scores["run"].str.contains("-cmdp-") & (scores["test"] == "same")
    first, half = scores["sample"] == 0, scores["prompt"].str.slice(-2).astype(int)
    for metric, at, value in (
        ("kl_mean", first, 0.2), ("kl_mean", half == 3, 0.3), ("kl_sum", half < 2, 0.1), ("kl_prefix", half < 5, 0.15),
        ("finished", half < 4, 0.0), ("extracted", half < 1, 0.0), ("correct", scores["decoding"] == "greedy", 0.0),
        ("equivalent", half < 9, 1.0),
    ):  # fmt: skip
        scores.loc[own & at & (scores["metric"] == metric), "value"] = value
    for name in ("runs.json", "curves.parquet", "costs.parquet"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    known = {key: rows["value"].to_numpy() for key, rows in scores[own].groupby(["decoding", "metric"])}
    at = {metric: values for (decoding, metric), values in known.items() if decoding == "sampled"}
    expected = {
        **{f"cs_{name}": 100 * np.mean(at[f"kl_{name}"] <= 0.2) for name in ("mean", "sum", "prefix")},
        "kl": at["kl_mean"].mean(), "kl_sum": at["kl_sum"].mean(), "fac": 100 * at["correct"].mean(),
        "equivalent": 100 * at["equivalent"].mean(), "gap": 100 * np.mean(at["equivalent"] - at["correct"]),
        "fac_greedy": 100 * known["greedy", "correct"].mean(), "reasoning": 100 * at["reasoning"].mean(),
        "truncated": 100 * (1 - at["finished"].mean()), "unextracted": 100 * (1 - at["extracted"].mean()),
    }  # fmt: skip
    assert len(set(expected.values())) == len(expected)
    cells = cells_of(readings_table(read(tmp_path)))
    for column, value in expected.items():
        assert float(cells[GROUP, "CMDP", column]["estimate"]) == pytest.approx(value), column


def test_every_table_of_comparisons_says_what_it_can_resolve(size: Collected) -> None:
    for table in (readings_table(size), pareto_table(size), feasible_table(size), cost_table(size)):
        assert "Smallest true difference" in table.caption
        assert "(t_0.975 + t_0.8) standard errors" in table.caption


def test_costs_are_means_over_seeds_in_their_units(size: Collected) -> None:
    """1.9e6 tokens, 4e6 of either model, 3.2e12 operations and 6e8 bytes in every synthetic run."""
    own = size.costs[size.costs["run"].str.startswith("world-cmdp-")]
    assert len(own) == 2
    expected = {
        **{part: own[part].mean() for part in ("wall_s", "generate_s", "teacher_s", "student_s")},
        "token_ms": 1000 * own["generate_s"].mean() / 1.9e6, "tokens_generated": 1900.0, "student_tokens": 4000.0,
        "teacher_tokens": 4000.0, "flops": 3.2, "peak_memory_bytes": 6e8 / 1024**2,
    }  # fmt: skip
    cells = cells_of(cost_table(size))
    for column, value in expected.items():
        assert float(cells["Pair world", "CMDP", column]["estimate"]) == pytest.approx(value), column


def test_costs_are_resolved_over_seeds_and_one_seed_resolves_nothing(size: Collected, tmp_path: Path) -> None:
    assert "operations 0.0 %" in cost_resolution(size)
    costs = size.costs.set_index("run")["wall_s"]
    saved = [1 - costs[f"world-cmdp-{s}"] / costs[f"world-soft_lagrangian-l0.001-{s}"] for s in (0, 1)]
    least = 100 * smallest_resolved(np.array(saved)[None, :, None])
    low, high = (float(n) for n in re.findall(r"wall time ([\d.]+)–([\d.]+) %", cost_resolution(size))[0])
    assert low - 0.05 <= least <= high + 0.05
    alone = read(write_collected(tmp_path, seeds=1, prompts=4, samples=2, steps=2))
    assert cost_resolution(alone).startswith("One seed")
