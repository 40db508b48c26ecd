"""Two workflows in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.workflow.conftest import run_in

COMMAND = ("snakemake", "--cores", "1", "--config", "size=smoke", "--forcerun", "publish", "--", "results/tables")


def test_a_second_workflow_in_the_same_folder_is_refused(smoke: Path) -> None:
    """The first is held still while it has the lock, and goes on unharmed. Snakemake locks what it reads, then what it
    writes; between the two a second one with the same inputs would get in."""
    environment = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    first = subprocess.Popen(COMMAND, cwd=smoke, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(lock.stat().st_size for lock in (smoke / ".snakemake" / "locks").glob("*.output.lock")):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first.send_signal(signal.SIGSTOP)
    try:
        second = run_in(smoke, *COMMAND)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait(120) == 0
