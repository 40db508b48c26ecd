"""The built smoke size against its reference tables, and the records of its runs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.workflow.conftest import run_in

REFERENCE = "tests/reference/smoke"


def test_the_tables_are_the_reference_ones(smoke: Path) -> None:
    """Exactly, where this kind of processor made the reference; else within the bands of study/reference.py."""
    done = run_in(smoke, "python", "-m", "study.verify", "--built", ".", "--against", REFERENCE)
    remedy = f"changed on purpose? python -m study.verify --update {REFERENCE} [--built <a tree with the smoke size>]"
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{remedy}"
    assert "size smoke: the same" in done.stdout


def test_every_run_says_what_it_ran_on(smoke: Path) -> None:
    runs = json.loads((smoke / "results/built/smoke/collected/runs.json").read_text(encoding="utf-8"))["runs"]
    parts: set[str] = set()
    for run in runs:
        folder = smoke / "results" / "runs" / run["run"]
        files = [folder / run["evaluation"] / f"{job}.provenance.json" for job in ("generate", "score")]
        files += [folder / "provenance.json"] if run["trained"] else []
        for record in (json.loads(file.read_text(encoding="utf-8")) for file in files):
            parts |= record["code"].keys()
            assert all(len(digest) == 64 for digest in record["inputs"].values())
            assert (smoke / record["software"]["packages"]).is_file()
            assert run["kind"] == "control" or record["machine"]["threads"] == 1  # a control loads no torch
            assert record["start"] <= record["end"]
    assert parts == {"method", "training", "evaluation"}


def test_a_published_cell_is_traced_to_its_prompts(smoke: Path) -> None:
    done = run_in(smoke, "make", "trace", "CELL=main/CMDP/same/FAC", "--assume-old=.venv/ready",
                  "--assume-old=requirements.lock")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "runs: 1\n  results/runs/micro-cmdp-s0-" in done.stdout
    assert "same-0000: " in done.stdout
