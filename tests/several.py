"""What each of two processes does in tests of runs in several processes; `python -m tests.several FOLDER`, launched.

Runs of the command line: on data-set solutions, sampled, the same stopped after two updates and gone on, and some in
which one process alone meets an error. Each process leaves the weights it ends with in `FOLDER/<run>-<rank>.pt`, and
`FOLDER/connected-<process id>` if it exits while the others are still connected.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from training import checkpoint, loop, monitor, parallel, train
from training.folders import find_folders

BUDGET = {"steps": 3, "questions": 4, "samples": 2, "lr": 1e-2, "max_new_tokens": 6, "monitor_every": 2}


def command(folder: Path, run: str, method: str, processes: int = 2, **changed: Any) -> list[str]:
    """The arguments of a training run in `folder/<run>`."""
    settings = find_folders()[method].grid({}, "test")[0]
    budget = {**BUDGET, "processes": processes, **changed}
    params = {"run": run, "method": method, "settings": settings, "seed": 0, "train": budget}
    given: dict[str, Any] = {"params": json.dumps(params), "data": folder / "data", "out": folder / run}
    given |= {"student": folder / "student", "teacher": folder / "teacher", "threshold": folder / "threshold.json"}
    given |= {"checkpoints": folder / f"{run}-checkpoints"}
    return [text for name, value in given.items() for text in (f"--{name}", str(value))]


def weights(student: torch.nn.Module) -> torch.Tensor:
    """All of them, flat."""
    return torch.cat([weight.detach().flatten() for _, weight in sorted(student.named_parameters())])


def main(folder: Path) -> None:
    """All runs, one after the other."""
    atexit.register(lambda: distributed.is_initialized() and (folder / f"connected-{os.getpid()}").touch())
    checkpoint.LEAST_S = checkpoint.SHARE = 0.0
    trained = train.train

    def keeping(run: train.Run, *others: Any) -> None:
        trained(run, *others)
        torch.save(weights(run.student), folder / f"{run.out.name}-{parallel.rank()}.pt")

    train.train = keeping
    train.main(command(folder, "solutions", "sft", schedule="linear"))
    train.main(command(folder, "sampled", "dual_lagrangian"))
    update = loop.Trainer.update

    def interrupted(trainer: loop.Trainer, step: int) -> dict[str, float]:
        if step == 2:
            raise KeyboardInterrupt
        return update(trainer, step)

    loop.Trainer.update = interrupted  # type: ignore[method-assign]
    try:
        train.main(command(folder, "stopped", "dual_lagrangian"))
    except KeyboardInterrupt:
        loop.Trainer.update = update  # type: ignore[method-assign]
    train.main(command(folder, "stopped", "dual_lagrangian"))

    failing_in_one(folder)


def failing_in_one(folder: Path) -> None:
    """Runs in which an error meets the second process in its rewards or its step, or the first while it measures."""
    with pytest.MonkeyPatch.context() as patch:
        if parallel.rank() == 1:
            patch.setattr(loop, "task_rewards", raising(ValueError("no reward here")))
        train.main(command(folder, "failing", "grpo"))
    with pytest.MonkeyPatch.context() as patch:
        if parallel.rank() == 1:
            patch.setattr(loop.AdamW, "step", raising(ValueError("no step here")))
        train.main(command(folder, "stepping", "grpo"))
    for run, well in (("measuring", 0), ("later", 1)):
        with pytest.MonkeyPatch.context() as patch:
            if parallel.rank() == 0:
                full = RuntimeError("CUDA out of memory. Tried to allocate")
                patch.setattr(monitor, "generate", raising(full, [monitor.generate] * well))
            train.main(command(folder, run, "grpo"))


def raising(error: Exception, before: Sequence[Callable[..., Any]] = ()) -> Callable[..., Any]:
    """A function that raises this, whatever it is given, after a call of each of those before."""
    calls = iter(before)

    def instead(*given: Any, **named: Any) -> Any:
        for call in calls:
            return call(*given, **named)
        raise error

    return instead


if __name__ == "__main__":
    main(Path(sys.argv[1]))
