"""Seconds of a GPU, whose work is only queued when Python goes on: each counts where it was asked for.

The GPU is pretended: its seconds pass while it is waited for, and no others do. So the expected values are exact.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests import tiny
from tests.unit.test_loop import trainer
from training import batch, cost
from training.optimizer import AdamW
from training.settings import TrainSettings
from training.trl_adapter import Recorder


class Gpu:
    """A queue of work, in seconds, and the clock that passes while one waits for it."""

    def __init__(self) -> None:
        self.now = self.queued = 0.0

    def wait(self) -> None:
        self.now, self.queued = self.now + self.queued, 0.0

    def busy(self, seconds: float, then: Callable[..., Any]) -> Callable[..., Any]:
        """`then`, which also queues work of so many seconds."""

        def queue(*args: Any, **more: Any) -> Any:
            self.queued += seconds
            return then(*args, **more)

        return queue


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    pretended = Gpu()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", pretended.wait)
    monkeypatch.setattr(cost, "time", types.SimpleNamespace(perf_counter=lambda: pretended.now))
    return pretended


def test_an_update_counts_what_it_queued(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two micro-batches, each 3 s of the teacher, 7 of the student's forward pass, 13 of its backward pass; then 11 of
    the optimiser. The second teacher is asked while the first backward pass is under way. 5 s are of work before."""
    monkeypatch.setattr(AdamW, "step", gpu.busy(11.0, AdamW.step))
    made = trainer("gkd", steps=1, micro_questions=2)
    teacher, student = (gpu.busy(seconds, batch.hidden_states) for seconds in (3.0, 7.0))
    monkeypatch.setattr(batch, "hidden_states", lambda m, rows: (teacher if m is made.teacher else student)(m, rows))
    monkeypatch.setattr(torch.Tensor, "backward", gpu.busy(13.0, torch.Tensor.backward))
    gpu.queued = 5.0
    made.update(0)
    found = made.cost
    assert (found.generate_s, found.teacher_s, found.student_s) == (0.0, 2 * 3.0, 2 * (7.0 + 13.0) + 11.0)
    assert found.wall_s == found.teacher_s + found.student_s


def test_trls_update_counts_what_it_queued(gpu: Gpu) -> None:
    """4 s of sampling, while 2 of a forward pass are under way, then 11 of training. 5 s are the monitor's before."""
    run = types.SimpleNamespace(
        student=tiny.llama(1), teacher=None, tokenizer=types.SimpleNamespace(eos_token_id=tiny.EOS), cost=cost.Cost(),
        train=TrainSettings(steps=1),
    )  # fmt: skip
    recorder, ids, asked = Recorder(run), torch.ones(1, 4).long(), (None, None, None)  # type: ignore[arg-type]
    recorder.original = gpu.busy(4.0, lambda *_, **__: ids)
    gpu.queued = 5.0
    recorder.on_step_begin(*asked)  # type: ignore[arg-type]
    gpu.queued += 2.0
    recorder.generate(ids[:, :2], attention_mask=ids[:, :2])
    gpu.queued += 11.0
    recorder.on_step_end(*asked)  # type: ignore[arg-type]
    assert (run.cost.wall_s, run.cost.generate_s, run.cost.student_s) == (2.0 + 4.0 + 11.0, 4.0, 2.0 + 11.0)


def test_nothing_waits_where_no_gpu_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """To wait would start a GPU that nobody asked for, or fail where there is none."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: pytest.fail("waited"))
    before = cost.settled()
    assert cost.settled() >= before > 0
