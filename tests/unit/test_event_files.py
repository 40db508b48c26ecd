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


def test_no_logs_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no training log"):
        convert(tmp_path, tmp_path / "out")


DAMAGES = [
    ("train", b"{\n", "line 2: Invalid JSON"),
    ("train", b"[]\n", "line 2: Input should be an object"),
    ("train", b"3\n", "line 2: Input should be an object"),
    ("train", b'{"a": 1}\n', "line 2: 'step': Field required"),
    ("train", b'{"step": 2, "loss": "low"}\n', "line 2: 'loss': Input should be a valid number"),
    ("train", b'{"step": 2, "loss": null}\n', "line 2: 'loss': Input should be a valid number"),
    ("train", b"\xff\n", "line 2: Invalid JSON"),
    ("curves", b'{"step": 2, "kl_mean": []}\n', "line 2: 'kl_mean': List should have at least 1 item"),
    ("curves", b'{"step": 2, "kl_mean": 0.1}\n', "line 2: 'kl_mean': Input should be a valid array"),
]


@pytest.mark.parametrize(("log", "line", "told"), DAMAGES)
def test_a_damaged_log_is_one_sentence(tmp_path: Path, log: str, line: bytes, told: str) -> None:
    (tmp_path / "a").mkdir()
    for name, first in (("train", b'{"step": 1, "loss": 1}\n'), ("curves", b'{"step": 1, "kl_mean": [0.1]}\n')):
        (tmp_path / "a" / f"{name}.jsonl").write_bytes(first + (line if name == log else b""))
    with pytest.raises(UserError, match=f"{log}.jsonl, {told}") as refused:
        convert(tmp_path, tmp_path / "out")
    assert f"delete {tmp_path / 'a'} and run make tables" in str(refused.value)


def test_a_run_that_failed_part_way_is_converted(tmp_path: Path) -> None:
    """A policy that diverged is measured once more before its run fails."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.jsonl").write_text("")
    (tmp_path / "a" / "curves.jsonl").write_text('{"step": 0, "kl_mean": [NaN, 0.5]}\n{"step": 1, "kl_mean": [NaN]}\n')
    assert convert(tmp_path, tmp_path / "out") == ["a"]
    events = EventAccumulator(str(tmp_path / "out" / "a"))
    events.Reload()
    assert [event.step for event in events.Histograms("validation/kl_mean")] == [0]
