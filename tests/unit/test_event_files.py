"""TensorBoard event files hold what the runs' logs hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from study.event_files import convert
from training.errors import UserError


def test_event_files_hold_the_logs(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    updates = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    (run / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in updates) + '{"step": 3, "lo')
    (run / "curves.jsonl").write_text(json.dumps({"step": 2, "kl_mean": [0.1, 0.3]}) + "\n")
    for _ in range(2):  # a second conversion replaces the first
        assert convert(tmp_path / "runs", tmp_path / "out") == ["a"]
    events = EventAccumulator(str(tmp_path / "out" / "a"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("update/loss")] == [(1, 0.5), (2, 0.25)]
    assert events.Scalars("validation/kl_mean")[0].value == pytest.approx(0.2)
    assert events.Histograms("validation/kl_mean")[0].histogram_value.max == pytest.approx(0.3)


def test_no_logs_and_a_damaged_log_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no training log"):
        convert(tmp_path, tmp_path / "out")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.jsonl").write_text("{\n{}\n")
    with pytest.raises(UserError, match=r"train\.jsonl is damaged"):
        convert(tmp_path, tmp_path / "out")
