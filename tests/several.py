"""What each of two processes does in tests of runs in several processes; `python -m tests.several FOLDER`, launched.

Runs of the command line: on data-set solutions, sampled, the same stopped after two updates and gone on, and one in
which the second process alone meets an error. Each process leaves the weights it ends with in `FOLDER/<run>-<rank>.pt`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from training import checkpoint, loop, parallel, train
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
    checkpoint.LEAST_S = checkpoint.SHARE = 0.0
    trained, rewards = train.train, loop.task_rewards

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

    def failing(*given: Any) -> torch.Tensor:
        if parallel.rank() == 1:
            raise ValueError("no reward here")
        return rewards(*given)

    loop.task_rewards = failing
    train.main(command(folder, "failing", "grpo"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
