"""Fronts and hypervolumes worked by hand, and the two tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.collected import Collected, read
from evaluation.pareto import covered, front, hypervolume
from evaluation.table_files import Table, to_csv, to_markdown
from evaluation.tables.feasible import feasible_table
from evaluation.tables.pareto import pareto_table
from tests.unit.synthetic import write_collected


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return read(write_collected(tmp_path_factory.mktemp("c"), seeds=2, prompts=40, steps=2, failed=("minillm",)))


def _text(table: Table, group: str) -> dict[tuple[str, str], str]:
    rows = csv.DictReader(io.StringIO(to_csv(table)))
    return {(row["row"], row["column"]): row["text"] for row in rows if row["group"] == group}


def test_the_front_is_what_nothing_dominates() -> None:
    points = [(0.3, 0.9), (0.1, 0.5), (0.2, 0.4), (0.1, 0.4), (0.3, 0.9), (0.05, 0.1)]
    assert front(points) == [5, 1, 0, 4]


def test_the_hypervolume_is_the_dominated_area() -> None:
    kl, fac = np.array([[0.1], [0.2], [0.3]]), np.array([[0.5], [0.4], [0.9]])
    assert hypervolume(kl, fac, 0.4)[0] == pytest.approx((0.2 * 0.5 + 0.1 * 0.9) / 0.4)
    assert hypervolume(kl[::-1], fac[::-1], 0.4)[0] == pytest.approx((0.2 * 0.5 + 0.1 * 0.9) / 0.4)
    assert hypervolume(np.array([[0.0]]), np.array([[1.0]]), 0.4)[0] == 1.0
    assert hypervolume(np.array([[5.0]]), np.array([[1.0]]), 0.4)[0] == 0.0


def test_a_methods_settings_cover_more_than_one_of_them(size: Collected) -> None:
    rows = [row for row in size.rows("world", "method") if row.method == "soft_lagrangian"]
    together, alone = covered(size, rows, "same"), covered(size, rows[:1], "same")
    assert together is not None
    assert alone is not None
    assert together.mean > alone.mean
    assert together.low < together.mean < together.high
    kl, fac = size.stacked(rows[0], "same", "kl_mean"), size.stacked(rows[0], "same", "correct")
    assert kl is not None
    assert fac is not None
    assert alone.mean == pytest.approx((0.4 - kl.mean()) / 0.4 * fac.mean())


def test_the_table_says_who_dominates_whom(size: Collected) -> None:
    found = _text(pareto_table(size), "Same distribution (pair world)")
    places = {row: text for (row, column), text in found.items() if column == "place"}
    assert places["GKD"] == "on the front"
    behind = {text.removeprefix("behind ") for text in places.values() if text.startswith("behind ")}
    assert behind
    assert {places[name] for name in behind} == {"on the front"}
    assert places["Mini-LLM"] == "failed: loss became infinite at step 7"
    volumes = [text for (row, column), text in found.items() if column == "volume" and row.startswith("GKD-GRPO")]
    assert sum(bool(text) for text in volumes) == 1


def test_the_best_feasible_setting_is_named_and_grpo_is_not_feasible(size: Collected) -> None:
    table = feasible_table(size)
    found = _text(table, "Same distribution (pair world)")
    assert found["d = 0.2", "grpo"] == "none"
    assert found["d = 0.05", "cmdp"] == "none"
    assert "(λ=" in found["d = 0.4", "soft_lagrangian"]
    assert "| d = 0.2 |" in to_markdown(table)


def test_the_best_of_the_settings_that_keep_95_percent_within_d(tmp_path: Path) -> None:
    """Of 40 prompts 3, 2, 0, 0 beyond d and 40, 30, 20, 10 right: 92.5 % within d is too few, 95 % is enough."""
    folder = write_collected(tmp_path, seeds=1, prompts=40, steps=2)
    scores = pd.read_parquet(folder / "scores.parquet")
    number = scores["prompt"].str.slice(-4).astype(int)
    for value, beyond, right in (("0.001", 3, 40), ("0.01", 2, 30), ("0.1", 0, 20), ("1", 0, 10)):
        own = scores["run"].str.contains(f"-l{value}-")
        for metric, values in (("kl_mean", np.where(number < beyond, 0.3, 0.1)), ("correct", number < right)):
            at = own & (scores["metric"] == metric)
            scores.loc[at, "value"] = values[at].astype(float)
    scores.to_parquet(folder / "scores.parquet", index=False)
    made = read(folder)
    best = _text(feasible_table(made), "Same distribution (pair world)")["d = 0.2", "soft_lagrangian"]
    assert best.startswith("75.0 [")
    assert best.endswith("] (λ=0.01)")
    joint = _text(pareto_table(made), "Same distribution (pair world)")["GKD-GRPO λ=0.01", "joint"]
    assert joint.startswith("70.0 [")  # 28 of 40 are right and within d


def test_a_stricter_threshold_never_allows_more(size: Collected, tmp_path: Path) -> None:
    found = _text(feasible_table(size), "Same distribution (pair world)")
    values = [found[f"d = {d:.3g}", "soft_lagrangian"] for d in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)]
    best = [0.0 if text == "none" else float(text.split()[0]) for text in values]
    assert best == sorted(best)
