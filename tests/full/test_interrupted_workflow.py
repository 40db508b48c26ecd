"""The smoke size, killed in the middle and started again; and with a method that fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import clone, run_in, smoke  # noqa: F401 (a fixture)
from tests.workflow.test_smoke import TABLES

MINE = '''"""A method that fails in its third update."""
from training.method import Method as Base


class Method(Base):
    calls = 0

    def loss(self, batch):
        self.calls += 1
        if self.calls == 3:
            raise KeyError("beta")
        return batch.mean(batch.logp).mean(), {}
'''


MAKE = ("make", "SIZE=smoke", "--assume-old=.venv/ready", "--assume-old=requirements.lock")  # set-up counts as done


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `make tables` was killed, with all its jobs, during the third training run."""
    folder = clone(tmp_path_factory.mktemp("killed"))
    with (folder / "log").open("w") as log:
        running = subprocess.Popen([*MAKE, "tables"], cwd=folder, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 1800
        while len(list(folder.glob("results/runs/*/train.jsonl"))) < 3:
            assert running.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    return folder


def test_a_killed_workflow_ends_in_the_same_tables(killed: Path, smoke: Path) -> None:  # noqa: F811
    locked = run_in(killed, *MAKE, "tables")
    assert locked.returncode != 0
    assert "--unlock" in locked.stderr
    assert run_in(killed, *MAKE, "unlock").returncode == 0
    again = run_in(killed, *MAKE, "tables")
    assert again.returncode == 0, again.stderr[-3000:]
    for name in set(TABLES) - {"cost"}:
        file = Path("results") / "tables" / f"{name}.csv"
        assert (killed / file).read_bytes() == (smoke / file).read_bytes(), f"{file} differs"
    assert not list((killed / "results" / "checkpoints").glob("*"))


def test_a_failed_run_is_a_gap_and_retried_alone(killed: Path) -> None:
    method = killed / "methods" / "mine"
    method.mkdir(parents=True)
    (method / "method.py").write_text(MINE)
    (method / "method.yaml").write_text("label: Mine\nneeds: {teacher: false, threshold: false}\n")
    config = killed / "config" / "smoke.yaml"
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**values, "methods": {**values["methods"], "mine": {}}}))
    done = run_in(killed, *MAKE, "tables")
    assert done.returncode == 0, done.stderr[-3000:]
    reason = "failed: KeyError at step 3: 'beta' (mine/method.py, line 11)"
    assert reason in (killed / "results" / "tables" / "main.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in killed.glob("results/runs/*/run.json")}
    again = run_in(killed, *MAKE, "retry")
    assert again.returncode == 0, again.stderr[-3000:]
    changed = [path.parent.name for path, at in before.items() if path.stat().st_mtime_ns != at]
    assert len(changed) == 1
    assert re.match("micro-mine-", changed[0])
    assert reason in (killed / "results" / "tables" / "main.md").read_text()
