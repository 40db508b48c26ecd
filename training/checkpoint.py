"""Checkpoints: what a run needs to go on to the same bits after its process was killed.

A checkpoint is a folder of tensors (safetensors), facts (JSON), the logs up to its step, and a sha256 of each file, in
the format of `sha256sum`; nothing is pickled. It is written beside its place, flushed and renamed, so that it is there
whole or not at all. The last two are kept: where the newest was damaged since, the one before serves.

How often is a matter of time, not a setting: it changes no result, so it must not change a run's id either, and one
rule suits models of a megabyte and of ten gigabytes.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.files import digest, flush

KEPT = 2
LEAST_S = 10.0  # seconds between checkpoints,
SHARE = 20.0  # or this many times what writing one takes: at most a twentieth of a run
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Saved:
    """A checkpoint read back: the updates done, tensors (on the CPU), facts, and the logs' texts by file name.

    The tensors are the mapped file: while one of them lives, the file takes disk space even when it is removed.
    """

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    logs: dict[str, str]


class Checkpoints:
    """The checkpoints of one run in `folder`. `run` is what determines it: another run's are not gone on from."""

    def __init__(self, folder: Path, run: dict[str, Any], logs: tuple[Path, ...]) -> None:
        self.folder, self.run, self.logs = folder, run, logs
        self.next = time.monotonic() + LEAST_S

    def due(self) -> bool:
        """Whether it is time for one."""
        return time.monotonic() >= self.next

    def save(self, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write the checkpoint after `step` updates; where it cannot be written, say so and go on without it."""
        start = time.monotonic()
        fresh = self.folder / "unfinished"
        try:
            self._write(fresh, step, tensors, facts)
        except (OSError, SafetensorError) as error:
            print(f"no checkpoint at step {step} ({error}); training goes on", file=sys.stderr, flush=True)
            shutil.rmtree(fresh, ignore_errors=True)
        now = time.monotonic()
        self.next = now + max(LEAST_S, SHARE * (now - start))

    def newest(self) -> Saved | None:
        """The newest whole checkpoint of this run, None where there is none; damaged ones are named and removed."""
        for folder in reversed(self._folders()):
            try:
                saved = self._read(folder)
            except (OSError, ValueError, KeyError, SafetensorError) as damage:
                print(f"checkpoint {folder} is not used and removed: {damage}", file=sys.stderr, flush=True)
                _remove(folder)
            else:
                print(f"goes on after step {saved.step} from {folder}", file=sys.stderr, flush=True)
                return saved
        return None

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def _write(self, fresh: Path, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(tensors, fresh / "state.safetensors")
        (fresh / "state.json").write_text(json.dumps({"step": step, "run": self.run, **facts}), encoding="utf-8")
        for log in self.logs:
            shutil.copyfile(log, fresh / log.name)
        sums = "".join(f"{digest(file)}  {file.name}\n" for file in sorted(fresh.iterdir()))
        (fresh / SUMS).write_text(sums, encoding="utf-8")
        for path in (*fresh.iterdir(), fresh):
            flush(path)
        fresh.rename(self.folder / f"step-{step:08d}")
        flush(self.folder)
        for old in self._folders()[:-KEPT]:
            _remove(old)

    def _read(self, folder: Path) -> Saved:
        """A folder's content; raises ValueError, KeyError, OSError or SafetensorError where it is not as written."""
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: expected for expected, name in (line.split("  ") for line in lines)}
        for name in ("state.safetensors", "state.json", *(log.name for log in self.logs)):
            if digest(folder / name) != sums[name]:
                raise ValueError(f"{name} is not what was written")
        facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if facts.pop("run") != self.run:
            raise ValueError("it is of a run with other settings")
        logs = {log.name: (folder / log.name).read_text(encoding="utf-8") for log in self.logs}
        return Saved(facts.pop("step"), load_file(folder / "state.safetensors"), facts, logs)


def _remove(folder: Path) -> None:
    """Remove a checkpoint; one that cannot be removed is named, and stops neither training nor other removals."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        print(f"checkpoint {folder} cannot be removed ({error}); training goes on", file=sys.stderr, flush=True)
