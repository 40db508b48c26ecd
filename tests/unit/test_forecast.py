"""The forecast: jobs as Snakemake counts them, seconds as measured, and what is not known said so."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from study.durations import DURATIONS
from study.forecast import seconds, told
from study.workflow import dry_run, jobs
from training.errors import UserError
from training.folders import ROOT

TABLE = "job        count\n-------  -------\ntables         1\ntrain          3\ntotal          4\n"
CPU = {"device": "cpu", "cores": 2, "processor": "a processor"}


def test_jobs_are_read_from_the_dry_run() -> None:
    assert jobs(f"Building DAG\nJob stats:\n{TABLE}") == {"tables": 1, "train": 3}
    assert jobs("Nothing to be done") == {}


PROFILE = "Using workflow specific profile profiles/default for setting default command line arguments.\n"


@pytest.mark.parametrize(("out", "cause"), [
    ('WorkflowError in file "Snakefile", line 29:\nerror: it is not there\n  File "Snakefile", line 29, in <module>\n',
     "error: it is not there"),
    ('ZeroDivisionError in file "Snakefile", line 77:\ndivision by zero\n  File "Snakefile", line 77, in <module>\n',
     'ZeroDivisionError in file "Snakefile", line 77: division by zero'),
    ("MissingInputException in rule tables:\nMissing input files:\n    results/a\n",
     "MissingInputException in rule tables: Missing input files: results/a"),
    ("stopped\n", "stopped"),
])  # fmt: skip
def test_a_plan_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, out: str, cause: str) -> None:
    """Snakemake names the profile on one stream and, in a dry run, the error on the other."""
    done = subprocess.CompletedProcess([], 1, stdout=out, stderr=PROFILE)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError) as refused:
        dry_run("smoke", None)
    assert str(refused.value) == f"Snakemake cannot plan size smoke: {cause}"


def test_finished_runs_replace_the_stated_seconds(tmp_path: Path) -> None:
    assert seconds("micro", ["a", "b", "c"], tmp_path)["train"][1].startswith("stated")
    for run, wall, status in (("a", 10.0, "ok"), ("b", 30.0, "ok"), ("d", 0.1, "failed")):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "cost.json").write_text(json.dumps({"wall_s": wall, "steps": 3}))
        (tmp_path / "runs" / run / "run.json").write_text(json.dumps({"status": status}))
    assert seconds("micro", ["a", "b", "c", "d"], tmp_path)["train"] == (20.0, "median of 2 finished runs")


def test_the_total_is_the_sum_over_the_cores_and_gaps_are_said() -> None:
    each = {"train": (60.0, "stated"), "tables": (120.0, "stated")}
    lines = told("micro", {"train": 3, "tables": 1, "runs": 1}, each, CPU)
    assert "together about 5 min of jobs, 2 min of waiting" in lines
    assert "a processor" in lines[-1]
    assert "no GPU" in lines[-1]
    lines = told("micro", {"train": 3, "score": 2}, each, {**CPU, "device": "a GPU"})
    assert any(line.split()[:3] == ["score", "2", "jobs"] and "not measured" in line for line in lines)
    assert "together at least about 3 min of jobs, 3 min of waiting" in lines
    assert told("micro", {}, each, CPU) == ["size micro: nothing to be done, everything is there"]


def test_stated_seconds_are_of_rules_and_sizes_that_exist() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    for values in (DURATIONS["shared"], *DURATIONS["sizes"].values()):
        for rule, value in values.items():
            assert f"rule {rule}:" in rules
            assert value > 0
    assert {name for name in DURATIONS["sizes"] if not (ROOT / "config" / f"{name}.yaml").is_file()} == set()
