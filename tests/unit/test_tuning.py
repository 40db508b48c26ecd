"""The rule behind the learning rates, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.tuning import last_quarter, objective, table

MEASURED = {
    "reward": np.array([[[1.0, 0.0]]]), "kl_mean": np.array([[[0.1, 0.4]]]), "kl_sum": np.array([[[2.0, 8.0]]]),
    "kl_prefix": np.array([[[0.3, 0.5]]]),
}  # fmt: skip


def test_each_objective_by_hand() -> None:
    assert objective("reward", {}, MEASURED, 0.2).tolist() == [[[1.0, 0.0]]]
    assert objective("kl", {}, MEASURED, 0.2).tolist() == [[[-0.1, -0.4]]]
    np.testing.assert_allclose(objective("lagrangian", {"lambda": 2.0}, MEASURED, 0.2), [[[0.8, -0.8]]])


@pytest.mark.parametrize(
    ("settings", "d", "expected"),
    [
        ({"phi": "mean", "constraint": "mean"}, 0.2, [1.0, -20.4]),
        ({"phi": "none", "constraint": "mean"}, 0.2, [1.0, -20.0]),
        ({"phi": "mean", "constraint": "sum"}, 1.0, [-20.1, -20.4]),
        ({"phi": "mean", "constraint": "prefix"}, 0.5, [1.0, 0.0]),
        ({"penalty": "once", "constraint": "mean"}, 0.2, [1.0, -20.0]),
    ],
)
def test_the_modified_reward_follows_its_settings(settings: dict[str, str], d: float, expected: list[float]) -> None:
    """CMDP under each reading, and Sauté."""
    np.testing.assert_allclose(objective("modified", {"n": 20.0, **settings}, MEASURED, d), [[expected]])


def test_what_the_monitor_cannot_tell_is_no_objective() -> None:
    assert objective("none", {}, MEASURED, 0.2) is None
    assert objective("kl", {"beta": 0.5}, MEASURED, 0.2) is None
    assert objective("kl", {"beta": 1.0}, MEASURED, 0.2) is not None
    assert objective("modified", {"n": 1.0, "phi": "last"}, MEASURED, 0.2) is None
    assert objective("modified", {"n": 1.0, "penalty": "each"}, MEASURED, 0.2) is None


def test_only_the_last_quarter_counts(tmp_path: Path) -> None:
    rows = [
        {"step": s, "reward": [s, 0], "kl_mean": [0, s], "kl_sum": [0, 0], "kl_prefix": [0, 0]}
        for s in (0, 50, 75, 80, 100)
    ]
    (tmp_path / "curves.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert last_quarter(tmp_path / "curves.jsonl")["reward"].tolist() == [[[80, 100], [0, 0]]]


def test_a_row_is_judged_under_its_own_threshold(tmp_path: Path) -> None:
    """All responses are right; those of the second run lie beyond its own d, though within the pair's."""
    (tmp_path / "p.json").write_text('{"d": 1.0}')
    (tmp_path / "own.json").write_text('{"d": 0.1}')
    common = {"pair": "p", "label": "CMDP", "setting": "", "objective": "modified", "trained": True}
    for name, inputs in (("a", {}), ("b", {"threshold": "own"})):
        (tmp_path / name).mkdir()
        settings = {"n": 20.0, "phi": "mean", "constraint": "mean"}
        record = {"status": "ok", "why": "", "settings": settings, "train": {"lr": 0.1}, "inputs": inputs}
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        curve = {"step": 4, "reward": [1, 1], "kl_mean": [0.5, 0.5], "kl_sum": [9, 9], "kl_prefix": [0.5, 0.5]}
        (tmp_path / name / "curves.jsonl").write_text(json.dumps(curve))
    params = {"size": "tune", "pairs": {"p": {"threshold": str(tmp_path / "p.json")}}}
    ((_, lines),) = table({**params, "runs": [{"run": n, **common} for n in "ab"]}, tmp_path).groups
    assert [line.cells["objective"].mean for line in lines] == [1.0, -20.5]
    runs = [{"run": "a", **common, "objective": "none"}]
    ((_, (line,)),) = table({**params, "runs": runs}, tmp_path).groups
    assert (line.label, set(line.cells)) == ("0.1", {"reward", "kl"})


def test_the_best_rate_is_starred_and_a_failure_is_a_gap(tmp_path: Path) -> None:
    for name, status, reward in (("a", "ok", [0, 1, 1]), ("b", "ok", [0, 0, 1]), ("c", "failed", [])):
        (tmp_path / name).mkdir()
        record = {"status": status, "why": "nan", "settings": {}, "train": {"lr": 0.1}}
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        row = {"step": 4, **dict.fromkeys(("reward", "kl_mean", "kl_sum", "kl_prefix"), reward)}
        (tmp_path / name / "curves.jsonl").write_text(json.dumps(row))
    (tmp_path / "d.json").write_text('{"d": 1.0}')
    common = {"pair": "p", "label": "GRPO", "setting": "lr=0.1", "objective": "reward", "trained": True}
    params = {"size": "tune", "pairs": {"p": {"threshold": str(tmp_path / "d.json")}}}
    made = table({**params, "runs": [{"run": n, **common} for n in "abc"]}, tmp_path)
    ((name, lines),) = made.groups
    assert name == "GRPO"
    assert [line.label for line in lines] == ["0.1 *", "0.1", "0.1"]
    assert lines[2].gap == "failed: nan"
    assert [line.runs for line in lines] == [("a",), ("b",), ("c",)]
    params["pairs"]["q"] = params["pairs"]["p"]
    runs = [{"run": "a", **common}, {"run": "b", **common, "pair": "q"}]
    stars = {name: [line.label for line in lines] for name, lines in table({**params, "runs": runs}, tmp_path).groups}
    assert stars == {"GRPO (pair p)": ["0.1 *"], "GRPO (pair q)": ["0.1 *"]}
    ((_, lines),) = table({**params, "runs": [{"run": "c", **common}]}, tmp_path).groups
    assert [line.label for line in lines] == ["0.1"]
