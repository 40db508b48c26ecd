"""From a cell to its prompts: what is shown, and that a damaged file on the way is one sentence with the remedy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from evaluation.table_files import Column, Line, Table, to_csv
from evaluation.trace import main
from training.errors import UserError

SOURCES = {
    "size": "tiny", "tests": {"Same": "same"}, "runs": {"a": {"row": "CMDP", "seed": 0, "evaluation": "eval"}},
    "tables": {"main": {"headings": {"FAC": "fac"}, "compared": [],
                        "rows": [{"group": "Same", "row": "CMDP", "runs": ["a"]}]}},
}  # fmt: skip
RECORD = {
    "git": {"commit": "0123456789ab", "dirty": False, "diff": None}, "machine": {"device": "cpu", "processor": "CPU"},
    "code": {"training": "abc"}, "start": "1", "end": "2",
}  # fmt: skip
TABLE = Table("main", "Main", "", (Column("fac", "FAC"),), (("Same", (Line("CMDP", {"fac": 1.0}, runs=("a",)),)),))
CSV, RUN = "tables/main.csv", "runs/a"
SAMPLES, SCORES = f"{RUN}/eval/samples.jsonl", f"{RUN}/eval/scores.parquet"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A table of one cell, its run, and four prompts of it."""
    (tmp_path / "tables").mkdir()
    (tmp_path / RUN / "eval").mkdir(parents=True)
    (tmp_path / CSV).write_text(to_csv(TABLE))
    (tmp_path / "tables" / "sources.json").write_text(json.dumps(SOURCES))
    (tmp_path / RUN / "provenance.json").write_text(json.dumps(RECORD))
    (tmp_path / RUN / "run.json").write_text('{"seed": 0, "settings": {}}')
    about = [{"test": "same", "decoding": "sampled", "sample": 0} for _ in range(4)]
    samples = [
        {**row, "prompt_id": f"p{i}", "prompt": "q", "question": "How many?", "answer": "1", "response": "one",
         "tokens": [1], "finished": True}
        for i, row in enumerate(about)
    ]  # fmt: skip
    (tmp_path / SAMPLES).write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    pd.DataFrame([{**row, "prompt": f"p{i}", "correct": 1.0} for i, row in enumerate(about)]).to_parquet(
        tmp_path / SCORES, index=False
    )
    return tmp_path


def trace(place: Path) -> None:
    main(["--cell", "main/CMDP/same/FAC", "--tables", str(place / "tables"), "--runs", str(place / "runs")])


def test_a_cell_is_traced_to_its_prompts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace(place)
    said = capsys.readouterr().out
    assert "provenance.json: commit 0123456789; code: training abc; CPU; 1 to 2" in said
    assert "p2: How many? (answer 1)\n        0: correct 1; 'one'" in said
    assert said.endswith("and 1 prompts more (--all)\n")


def test_a_reader_that_has_seen_enough_is_no_error(place: Path) -> None:
    command = [sys.executable, "-m", "evaluation.trace", "--cell", "main/CMDP/same/FAC"]
    command += ["--tables", str(place / "tables"), "--runs", str(place / "runs")]
    unread, pipe = os.pipe()
    os.close(unread)
    done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes(content)


def cut(name: str) -> Callable[[Path], object]:
    return lambda place: os.truncate(place / name, (place / name).stat().st_size - 20)


DAMAGES = [
    (cut(SAMPLES), "samples.jsonl, line 4: no valid JSON"),
    (put(SAMPLES, b"\xff"), "samples.jsonl cannot be read as text"),
    (put(SAMPLES, b""), "samples.jsonl and scores.parquet are not of the same responses"),
    (cut(SCORES), "scores.parquet cannot be read"),
    (put(SCORES, b""), "scores.parquet cannot be read"),
    (lambda place: (place / CSV).unlink(), "main.csv cannot be read"),
    (put(CSV, b"\xff"), "main.csv cannot be read"),
    (put(CSV, b""), "main.csv is no table"),
    (cut(CSV), "main.csv is no table"),
    (put(f"{RUN}/provenance.json", b"{}"), "provenance.json, 'git': Field required"),
    (put(f"{RUN}/run.json", b"[]"), "run.json: a JSON object is needed"),
    (put("tables/sources.json", b"{}"), "sources.json, 'tests': Field required"),
    (put("tables/sources.json", json.dumps({**SOURCES, "tables": {"main": 3}}).encode()), "sources.json, 'tables.main"),
    (put("tables/sources.json", json.dumps(SOURCES).replace("CMDP", "GKD").encode()), "names no runs of 'CMDP'"),
    (lambda place: (place / "tables" / "sources.json").unlink(), "sources.json cannot be read"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_a_damaged_file_is_one_sentence_with_the_remedy(
    place: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(place)
    with pytest.raises(UserError, match=told) as refused:
        trace(place)
    assert "delete " in str(refused.value)
    assert "run make tables" in str(refused.value)
    assert "\n" not in str(refused.value)
