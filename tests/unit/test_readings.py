"""The table `readings`: every column is its own measure, of its own decoding."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from evaluation.collected import read
from evaluation.statistics import Estimate
from evaluation.tables.readings import readings_table
from tests.unit.synthetic import write_collected

# Of 20 prompts those whose responses have it: a share of its own for every rate.
SHARES = {"correct": 11, "equivalent": 12, "reasoning": 13, "sound": 7, "finished": 18, "extracted": 16}
WITHIN = {"kl_mean": 9, "kl_sum": 4, "kl_prefix": 6}  # at 0.1, the others at 1.1; d is 0.2
GREEDY = 3  # right when decoded greedily


def test_every_column_is_its_own_measure(tmp_path: Path) -> None:
    write_collected(tmp_path, seeds=2, prompts=20, steps=2)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    place = scores["prompt"].rank(method="dense") - 1
    for name, first in SHARES.items():
        at = scores["metric"] == name
        scores.loc[at, "value"] = (place[at] % 20 < first).astype(float)
    for name, first in WITHIN.items():
        at = scores["metric"] == name
        scores.loc[at, "value"] = 1.1 - (place[at] % 20 < first)
    greedy = (scores["metric"] == "correct") & (scores["decoding"] == "greedy")
    scores.loc[greedy, "value"] = (place[greedy] % 20 < GREEDY).astype(float)
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    (line,) = (line for line in readings_table(read(tmp_path)).groups[0][1] if line.label == "CMDP")
    found = {key: cell.mean for key, cell in line.cells.items() if isinstance(cell, Estimate)}
    percent = {"fac": 11, "equivalent": 12, "reasoning": 13, "sound": 7, "truncated": 2, "unextracted": 4}
    percent |= {"cs_mean": 9, "cs_sum": 4, "cs_prefix": 6, "fac_greedy": 3, "gap": 1}
    means = {"kl": 1.1 - 9 / 20, "kl_sum": 1.1 - 4 / 20}
    assert found == pytest.approx({name: 5.0 * count for name, count in percent.items()} | means)
