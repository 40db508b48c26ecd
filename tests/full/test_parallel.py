"""A process that dies without a word ends the others, and the command says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.several import command
from tests.unit.tiny_models import tiny_policy, tiny_world
from training.folders import ROOT

DYING = """
import os
from methods.grpo.method import Method as Base

class Method(Base):
    def loss(self, batch):
        return os._exit(3) if os.environ["RANK"] == "1" else super().loss(batch)
"""


def test_a_process_that_dies_ends_all(tmp_path: Path) -> None:
    tiny_world(tmp_path / "data")
    for name, seed in (("student", 1), ("teacher", 2)):
        tiny_policy(tmp_path / name, seed)
    (tmp_path / "threshold.json").write_text('{"d": 0.5}')
    folder = tmp_path / "methods" / "dying"
    folder.mkdir(parents=True)
    (folder / "method.yaml").write_text((ROOT / "methods" / "grpo" / "method.yaml").read_text())
    (folder / "method.py").write_text(DYING)
    words = command(tmp_path, "out", "grpo")
    params = {**json.loads(words[1]), "method": "dying", "methods_path": [str(folder.parent)]}
    job = [sys.executable, "-m", "training.train", words[0], json.dumps(params), *words[2:]]
    done = subprocess.run(job, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: one of the 2 processes of this run ended (exit code 1)")
    assert not (tmp_path / "out" / "run.json").exists()
