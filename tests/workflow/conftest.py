"""A copy of the repository in which the smoke size is built with the README's own command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training.folders import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


def clone(target: Path) -> Path:
    """The files git knows of (or would), at their times, with this environment as the copy's own."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
    return target


def run_in(
    folder: Path, *command: str, timeout: int = 900, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command in a folder, in this environment with further variables; output is captured.

    What a surrounding `make test` hands down is left out: a make below it would take its size, and say where it enters
    and leaves.
    """
    left_out = {"OMP_NUM_THREADS", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "SIZE"}
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    environment |= variables or {}
    environment["PATH"] = f"{sys.prefix}/bin:{environment['PATH']}"
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)


def make_tables(folder: Path) -> subprocess.CompletedProcess[str]:
    """`make tables SIZE=smoke`, with the set-up of this environment counted as done."""
    return run_in(folder, "make", "tables", "SIZE=smoke", "--assume-old=.venv/ready", "--assume-old=requirements.lock")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the smoke size built in it."""
    folder = clone(tmp_path_factory.mktemp("smoke"))
    done = make_tables(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder
