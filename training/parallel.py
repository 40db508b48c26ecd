"""One run in several processes, a GPU each: every process takes its share of an update's questions.

The processes start from the same weights, sample and judge responses to their own questions, and add up gradients and
statistics, so that each makes the same update. The first alone monitors, writes and keeps checkpoints; its random
numbers are those of a run in one process. `accelerate launch` starts them, torch's process group connects them.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cache
from types import TracebackType

import torch
from accelerate import PartialState
from torch import Tensor, distributed

from training.errors import TrainingFailed, UserError, of_device

PATIENCE = timedelta(minutes=30)  # for a process that does not answer; the first one monitors while the others wait


@cache
def _state() -> PartialState | None:
    """Connects this process with the others; None in a run of one process."""
    if not started():
        return None
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    if state.backend == "gloo":  # its threads would abort an exit; NCCL's end waits for all, so a failure would hang
        atexit.register(distributed.destroy_process_group)
    return state


def rank() -> int:
    """The number of this process, from 0."""
    state = _state()
    return state.process_index if state else 0


def count() -> int:
    """Number of processes."""
    state = _state()
    return state.num_processes if state else 1


def first_before_others() -> AbstractContextManager[None]:
    """A block that the first process leaves before the others enter it."""
    state = _state()
    return state.main_process_first() if state else nullcontext()


def _talk(collective: Callable[..., object], *given: object) -> None:
    """A step that all processes take together; that one is gone is no result of the run, so it is a `UserError`."""
    try:
        collective(*given)
    except torch.OutOfMemoryError:  # a RuntimeError too, but of this process
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"another process of this run ended, or was silent for {PATIENCE} ({reason}); see why above and start again"
        ) from error


def sum_over_processes(own: dict[str, float]) -> dict[str, float]:
    """The sum of each value over the processes, which must give the same names."""
    if count() == 1:
        return own
    found: list[dict[str, float]] = [{}] * count()
    _talk(distributed.all_gather_object, found, own)
    return {name: sum(given[name] for given in found) for name in own}


def mean_over_processes(own: dict[str, float]) -> dict[str, float]:
    """The mean of each value over the processes."""
    return {name: value / count() for name, value in sum_over_processes(own).items()}


@torch.no_grad()
def average_gradients(weights: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes, added up in float32."""
    if count() == 1:
        return
    for weight in weights:
        if weight.grad is not None:
            total = weight.grad.float()
            _talk(distributed.all_reduce, total)
            weight.grad.copy_(total / count())


class Together:
    """A block of a process's own work in an update (its `step` from 1), in which none waits for another.

    If it fails in any, all raise at its end: else the others would wait for one that is gone.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def __enter__(self) -> Together:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if count() == 1 or (error is not None and not isinstance(error, Exception | SystemExit)):
            return
        told: list[str] = [""] * count()
        _talk(distributed.all_gather_object, told, "" if error is None else f"{type(error).__name__}: {error}")
        for number, what in enumerate(told):
            if what and error is None:
                kind = UserError if of_device(what) else TrainingFailed
                raise kind(f"{what} (step {self.step}, process {number} of {count()})")


def check_processes(wanted: int) -> None:
    """`UserError` where there are fewer GPUs, or the launcher started another number of processes."""
    held = torch.cuda.device_count()
    if 0 < held < wanted:
        raise UserError(f"train.processes is {wanted}, but {held} GPUs are visible here; lower it or ask for more")
    if started() and count() != wanted:
        raise UserError(f"train.processes is {wanted}, but {count()} processes were started; give one number")


def started() -> bool:
    """Whether a launcher started this process as one of several: it tells each how many they are."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch(module: str, arguments: list[str], processes: int) -> None:
    """Run a module's command line in several processes; `UserError` where one fails, which ends all."""
    options = ["--multi_gpu", "--num_machines", "1", "--num_processes", str(processes), "--main_process_port", "0"]
    options += ["--num_cpu_threads_per_process", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options, "--module", module, *arguments]
    with subprocess.Popen(command) as job:
        before = signal.signal(signal.SIGTERM, lambda *_: job.terminate())  # which ends the processes below it too
        try:
            code = job.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    if code:
        raise UserError(
            f"one of the {processes} processes of this run ended (exit code {code}), so all were ended; "
            "what it said stands above; mend that and start again: it goes on from its last checkpoint"
        )
