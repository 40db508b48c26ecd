"""What will run at scale has been run: every rule of the workflow on shadows of the paper's pairs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import clone, run_in

HERE = Path(__file__).parent
RULES = {
    "data", "model", "threshold", "train", "generate", "score", "collect", "theory", "tables", "figures", "paper",
    "report",
}  # fmt: skip
METHODS = {"gkd", "minillm", "soft_lagrangian", "cmdp", "grpo"}
PROBLEMS = {
    "gsm8k": lambda i: {"question": f"Ann has {i} nuts and finds 2. How many now?", "answer": f"{i}+2\n#### {i + 2}"},
    "math": lambda i: {"problem": f"What is ${i}/3$?", "solution": f"It is $\\boxed{{\\frac{{{i}}}{{3}}}}$."},
}  # made up: the published ones stay with their authors


@pytest.fixture(scope="module")
def shadows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which every job of the size `shadows` was run, in one process."""
    folder = clone(tmp_path_factory.mktemp("shadows"))
    shutil.copy(HERE / "shadows.yaml", folder / "config")
    for name, row in PROBLEMS.items():
        (folder / "copies" / name).mkdir(parents=True)
        for first, split in enumerate(("train", "test")):
            rows = "".join(json.dumps(row(10 * first + i)) + "\n" for i in range(7))
            (folder / "copies" / name / f"{split}.jsonl").write_text(rows)
    targets = [f"results/built/shadows/{name}" for name in ("report.html", "paper_tables.md")]
    options = ("--config", "size=shadows", "data_root=copies", "--rerun-triggers", "mtime", "--", *targets)
    planned = run_in(folder, "snakemake", "--cores", "1", "--dry-run", "--printshellcmds", *options)
    assert planned.returncode == 0, planned.stdout[-2000:] + planned.stderr[-2000:]
    assert {line.split()[1].rstrip(":") for line in planned.stdout.splitlines() if line.startswith("rule ")} >= RULES
    command = [sys.executable, "-m", "tests.workflow.in_one_process"]
    done = subprocess.run(command, cwd=folder, input=planned.stdout, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_every_method_trains_on_both_pairs(shadows: Path) -> None:
    records = [json.loads(file.read_text()) for file in shadows.glob("results/runs/*/run.json")]
    assert {(r["run"].split("-")[0], r["method"]) for r in records} == {
        (p, m) for p in ("qwen", "llama") for m in METHODS
    }
    assert {r["status"] for r in records} == {"ok"}, [r["why"] for r in records]
    for record in records:
        rows = [json.loads(line) for line in (shadows / "results/runs" / record["run"] / "train.jsonl").open()]
        assert len(rows) == 2  # 0.8 epochs of five problems, two at a time
        assert "kl" in rows[0] or record["run"].startswith("qwen")  # Llama's first update is the KL warm-up


def test_divergence_is_measured_across_unequal_widths(shadows: Path) -> None:
    sizes = {}
    for config in shadows.glob("results/models/qwen-*/config.json"):
        sizes[config.parent.name.split("-")[1]] = json.loads(config.read_text())["vocab_size"]
    assert sizes == {"student": 151936, "teacher": 152064}
    scores = pd.read_parquet(shadows / "results" / "built" / "shadows" / "collected" / "scores.parquet")
    kl = scores[scores["metric"] == "kl_mean"]
    trained = kl[kl["run"].str.contains("-s0-")]
    assert trained["run"].nunique() == 10
    assert trained["value"].between(0.1, 20).all()
    assert kl[kl["run"].str.contains("-teacher-")]["value"].abs().max() < 1e-6


def test_a_student_that_ends_otherwise_learns_to_stop_where_the_teacher_does(shadows: Path) -> None:
    (teacher,) = shadows.glob("results/models/llama-teacher-*/generation_config.json")
    (student,) = shadows.glob("results/models/llama-student-*/generation_config.json")
    (policy,) = shadows.glob("results/runs/llama-gkd-*/policy/generation_config.json")
    stops = [json.loads(file.read_text())["eos_token_id"] for file in (teacher, student, policy)]
    assert sorted(stops[0]) == stops[2]
    assert stops[1] != stops[2]
