"""A run in two processes: the update of one, equal weights, one set of files, one failure for all."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.several import command, raising, weights
from tests.unit.tiny_models import tiny_policy, tiny_world
from training import parallel, train
from training.errors import UserError
from training.models import load_policy

MEASURING = (
    "(CUDA out of memory. Tried to allocate); it was measuring validation prompts: set train.monitor_prompts lower"
)
FILES = {"policy", "run.json", "train.jsonl", "curves.jsonl", "cost.json"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes left."""
    folder = tmp_path_factory.mktemp("several")
    tiny_world(folder / "data")
    for name, seed in (("student", 1), ("teacher", 2)):
        tiny_policy(folder / name, seed)
    (folder / "threshold.json").write_text('{"d": 0.5}')
    parallel.launch("tests.several", [str(folder)], 2)
    return folder


def rows(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_on_the_same_responses_two_processes_make_the_update_of_one(runs: Path) -> None:
    train.main(command(runs, "alone", "sft", processes=1, schedule="linear"))
    one, two = (weights(load_policy(runs / name / "policy")) for name in ("alone", "solutions"))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    assert (one - weights(load_policy(runs / "student"))).abs().max() > 1e-3
    for a, b in zip(rows(runs / "alone" / "train.jsonl"), rows(runs / "solutions" / "train.jsonl"), strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    spent = [json.loads((runs / name / "cost.json").read_text()) for name in ("alone", "solutions")]
    for counted in ("steps", "prompts", "student_tokens", "flops"):
        assert spent[0][counted] == spent[1][counted]


@pytest.mark.parametrize("run", ["solutions", "sampled", "stopped"])
def test_both_processes_end_with_the_weights_that_are_saved(runs: Path, run: str) -> None:
    first, second = (torch.load(runs / f"{run}-{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)
    assert torch.equal(first, weights(load_policy(runs / run / "policy")))
    assert {path.name for path in (runs / run).iterdir()} == FILES
    assert [row["step"] for row in rows(runs / run / "train.jsonl")] == [1, 2, 3]
    assert [row["step"] for row in rows(runs / run / "curves.jsonl")] == [0, 2, 3]


def test_each_process_leaves_the_others_before_it_exits(runs: Path) -> None:
    """Else the threads of its connections abort some exits, and a finished run counts as failed."""
    assert list(runs.glob("connected-*")) == []


def test_the_processes_sample_different_responses(runs: Path) -> None:
    """The rows are means over both, so they differ from a run that sampled the first half twice."""
    tokens = json.loads((runs / "sampled" / "cost.json").read_text())["tokens_generated"]
    log = rows(runs / "sampled" / "train.jsonl")
    assert tokens == pytest.approx(sum(row["length"] for row in log) * 8, abs=1e-3)
    train.main(command(runs, "half", "dual_lagrangian", processes=1, questions=2))
    assert log[0]["length"] != rows(runs / "half" / "train.jsonl")[0]["length"]


def test_a_stopped_run_goes_on_to_the_same_bits(runs: Path) -> None:
    for file in ("policy/model.safetensors", "train.jsonl", "curves.jsonl"):
        assert (runs / "stopped" / file).read_bytes() == (runs / "sampled" / file).read_bytes(), file


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("failing", "ValueError: no reward here (step 1, process 1 of 2)"),
        ("stepping", "ValueError: no step here (step 1, process 1 of 2)"),
        ("measuring", f"out of memory at step 0 {MEASURING}"),
        ("later", f"out of memory at step 2 {MEASURING}"),
    ],
)
def test_an_error_in_one_process_fails_the_run(runs: Path, run: str, why: str) -> None:
    record = json.loads((runs / run / "run.json").read_text())
    assert record["status"] == "failed"
    assert record["why"] == why
    assert not any((runs / run / "policy").iterdir())
    assert len(rows(runs / run / "train.jsonl")) == (2 if run == "later" else 0)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "CUDA out of memory"),
        (
            RuntimeError("Connection closed by peer\nand more"),
            UserError,
            r"ended, or was silent .*closed by peer\); see why above",
        ),
    ],
)
def test_memory_that_runs_out_in_a_common_step_is_no_lost_process(
    error: Exception, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        parallel._talk(raising(error))


def test_the_command_starts_its_processes(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Itself, with the same arguments; where they fail, one sentence."""
    seen: list[list[str]] = []
    ended = SimpleNamespace(wait=lambda: 1)
    monkeypatch.setattr(subprocess, "Popen", lambda words: seen.append(words) or nullcontext(ended))
    arguments = command(runs, "launched", "sft")
    with pytest.raises(UserError, match=r"one of the 2 processes of this run ended \(exit code 1\)"):
        train.main(arguments)
    assert seen[0][:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert seen[0][-len(arguments) - 2 :] == ["--module", "training.train", *arguments]
    assert not (runs / "launched").exists()
