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
from evaluation.tables.main import readings_table
from evaluation.tables.pareto import feasible_table, pareto_table
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


def test_every_table_of_comparisons_says_what_it_can_resolve(size: Collected) -> None:
    for table in (readings_table(size), pareto_table(size), feasible_table(size), cost_table(size)):
        assert "Smallest true difference" in table.caption
        assert "(t_0.975 + t_0.8) standard errors" in table.caption


def test_costs_are_resolved_over_seeds_and_one_seed_resolves_nothing(size: Collected, tmp_path: Path) -> None:
    assert "operations 0.0 %" in cost_resolution(size)
    costs = size.costs.set_index("run")["wall_s"]
    saved = [1 - costs[f"world-cmdp-{s}"] / costs[f"world-soft_lagrangian-l0.001-{s}"] for s in (0, 1)]
    least = 100 * smallest_resolved(np.array(saved)[None, :, None])
    low, high = (float(n) for n in re.findall(r"wall time ([\d.]+)–([\d.]+) %", cost_resolution(size))[0])
    assert low - 0.05 <= least <= high + 0.05
    alone = read(write_collected(tmp_path, seeds=1, prompts=4, samples=2, steps=2))
    assert cost_resolution(alone).startswith("One seed")
