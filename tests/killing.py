"""Jobs in processes of their own that kill themselves (SIGKILL) at a chosen call, and what such a job must leave.

The processes are forked from a server that has imported the heavy libraries once, and runs nothing else: a job costs
its own work and no start-up.
"""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
import os
import signal
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.files import digest

TIMEOUT_S = 240
PRELOADED = [
    "torch", "transformers.models.llama.modeling_llama", "lm_eval.evaluator", "lm_eval.tasks", "pandas",
    "training.train", "evaluation.score", "evaluation.policy_lm", "evaluation.tables.__main__",
]  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """Where a job dies: at the `call`-th call of `function` (`module:name` or `module:Class.name`).

    `when` is "before" or "after" the call, or "torn": after it, with the file that it wrote cut in half.
    """

    function: str
    call: int = 1
    when: str = "before"

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.when}-{self.function.rpartition(':')[2]}-{self.call}"


def job(module: str, arguments: list[str], log: Path, kill: Kill | None = None) -> int:
    """Run a module's command line in a process of its own; its exit code, -9 where it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_work, args=(module, arguments, log, kill))
    process.start()
    process.join(TIMEOUT_S)
    assert not process.is_alive(), f"{module} hangs; see {log}"
    assert process.exitcode is not None
    return process.exitcode


def _work(module: str, arguments: list[str], log: Path, kill: Kill | None) -> None:
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    _checkpoint_after_every_update()
    if kill is not None:
        _arm(kill)
    importlib.import_module(module).main(arguments)


def _checkpoint_after_every_update() -> None:
    """And rewards that differ, so that every method has something to learn."""
    from training import checkpoint, monitor

    checkpoint.LEAST_S = checkpoint.SHARE = 0.0
    monitor.is_correct = lambda text, answer: zlib.crc32(text.encode()) % 2 == 0  # type: ignore[assignment]


def _arm(kill: Kill) -> None:
    module, _, names = kill.function.partition(":")
    *owners, name = names.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, name, _deadly(getattr(owner, name), kill))


def _deadly(function: Callable[..., Any], kill: Kill) -> Callable[..., Any]:
    calls = 0

    @functools.wraps(function)
    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == kill.call and kill.when == "before":
            _die()
        result = function(*arguments, **named)
        if calls == kill.call:
            if kill.when == "torn":
                _tear(next(a for a in arguments if isinstance(a, Path)))
            _die()
        return result

    return counted


def _tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def state_of(folder: Path) -> dict[str, str]:
    """What a job left: a hash per file, of costs without seconds and memory, which differ each time."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.name == "cost.json":
            cost = json.loads(path.read_text())
            found[name] = str({k: v for k, v in cost.items() if not k.endswith("_s") and k != "peak_memory_bytes"})
        else:
            found[name] = digest(path)
    return found
