"""What will run at scale has been run: every rule of the workflow on shadows of the paper's pairs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from evaluation.judge.__main__ import prompts_of, source
from evaluation.judge.cache import key_of
from evaluation.judge.comparisons import comparisons
from evaluation.judge.settings import Job
from tests.workflow.conftest import clone, run_in
from training.folders import ROOT

HERE = Path(__file__).parent
TARGETS = ("results/tables", "results/built/shadows/tuning", "ablations")
METHODS = {"gkd", "minillm", "soft_lagrangian", "cmdp", "grpo"}
PROBLEMS = {
    "gsm8k": lambda i: {"question": f"Ann has {i} nuts and finds 2. How many now?", "answer": f"{i}+2\n#### {i + 2}"},
    "math": lambda i: {"problem": f"What is ${i}/3$?", "solution": f"It is $\\boxed{{\\frac{{{i}}}{{3}}}}$."},
    "plums": lambda i: {"question": f"{i} plums and 2 more?", "final": i + 2},  # a set of one's own
}  # made up: the published ones stay with their authors


def names(text: str) -> set[str]:
    """The rules that a plan, or a file of rules, names."""
    return set(re.findall(r"^(?:local)?rule (\w+):", text, re.M))


def rules() -> set[str]:
    """All rules of the workflow."""
    return names("\n".join(file.read_text() for file in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]))


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
    options = ("--config", "size=shadows", "data_root=copies", "--rerun-triggers", "mtime", "--", *TARGETS)
    planned = run_in(folder, "snakemake", "--cores", "1", "--dry-run", "--printshellcmds", *options)
    assert planned.returncode == 0, planned.stdout[-2000:] + planned.stderr[-2000:]
    assert names(planned.stdout) >= rules() - {"all", "runs"}  # those two compute nothing
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


def test_problems_of_ones_own_are_tested_beside_published_ones(shadows: Path) -> None:
    scores = pd.read_parquet(shadows / "results" / "built" / "shadows" / "collected" / "scores.parquet")
    own = scores[scores["test"] == "plums"]
    assert own["run"].nunique() == 5 + 4  # trained rows, teacher, student and both controls
    key = own[own["run"].str.contains("answer_key") & (own["metric"] == "correct")]
    assert set(key["value"]) == {1.0}


def test_a_student_that_ends_otherwise_learns_to_stop_where_the_teacher_does(shadows: Path) -> None:
    (teacher,) = shadows.glob("results/models/llama-teacher-*/generation_config.json")
    (student,) = shadows.glob("results/models/llama-student-*/generation_config.json")
    (policy,) = shadows.glob("results/runs/llama-gkd-*/policy/generation_config.json")
    stops = [json.loads(file.read_text())["eos_token_id"] for file in (teacher, student, policy)]
    assert sorted(stops[0]) == stops[2]
    assert stops[1] != stops[2]


def test_a_local_judge_is_asked_in_both_orders(shadows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shadows)
    frame = pd.read_parquet("results/built/shadows/verdicts/own.parquet")
    command = json.loads(Path("results/built/shadows/verdicts/own.provenance.json").read_text())["config"]
    job = Job.model_validate_json(command[command.index("--params") + 1])
    pairs = [prompts_of(pair) for pair in comparisons(job.runs, Path("results/runs"), job.prompts)]
    each = 2 * (10 + 10 + 1 + 1)
    # Of two questions: five rows with each other, with both references, these with each other, and the control.
    assert frame["pair"].value_counts().to_dict() == {"qwen": 2 * each, "llama": each}  # qwen on two test sets
    assert {len(both) for both, asked in zip(pairs, frame["asked"], strict=True) if asked} == {2}
    kept, identity = {file.stem for file in Path("results/judge-cache").rglob("*.json")}, source(job).identity()
    assert kept == {key_of(identity, prompt) for both in pairs for prompt in both}
    # Responses of shadows are mostly equal texts, which tie unasked, but never the control; no reply holds a verdict.
    assert frame.loc[frame["control"], "asked"].tolist() == [True] * 6
    assert frame.loc[frame["asked"], ["forth", "back"]].isna().all(axis=None)
    assert (frame.loc[~frame["asked"], ["forth", "back"]] == 0).all(axis=None)


def test_an_ablation_of_rows_that_the_tables_have_trains_nothing(shadows: Path) -> None:
    trained = {file.parent.name for file in shadows.glob("results/runs/*/run.json")}
    assert len(trained) == len(("qwen", "llama")) * len(METHODS)
    listed = json.loads((shadows / "results/built/shadows/ablations/known/sources.json").read_text())
    used = {run for run in trained if run in json.dumps(listed)}
    assert {re.sub("-s0-.*", "", run) for run in used} == {
        f"{pair}-{row}" for pair in ("qwen", "llama") for row in ("cmdp", "soft_lagrangian-lambda=0.01")
    }


def test_what_is_published_is_what_was_built(shadows: Path) -> None:
    for published, built in (("results/tables/main.csv", "tables/main.csv"), ("results/report.html", "report.html")):
        assert (shadows / published).read_bytes() == (shadows / "results/built/shadows" / built).read_bytes()
    assert (shadows / "results/built/shadows/tuning/tuning.csv").is_file()


def test_a_judge_by_vllm_has_the_environment_of_vllm(shadows: Path) -> None:
    text = (shadows / "config" / "shadows.yaml").read_text().replace("local: {", "local: {backend: vllm, ")
    (shadows / "config" / "served.yaml").write_text(text)
    options = ("--config", "size=served", "data_root=copies", "--rerun-triggers", "mtime", "--",
               "results/built/served/verdicts/own.parquet")  # fmt: skip
    command = ("snakemake", "--cores", "1", "--dry-run", "--printshellcmds", *options)
    refused = run_in(shadows, *command, variables={"VLLM_PYTHON": ""})
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "judges.own.local.backend is 'vllm', which has an environment of its own; set VLLM_PYTHON" in said
    assert "Traceback" not in said
    planned = run_in(shadows, *command, variables={"VLLM_PYTHON": "/elsewhere/python"})
    (line,) = (line for line in planned.stdout.splitlines() if line.startswith("Shell command: "))
    assert line.startswith('Shell command: "${VLLM_PYTHON:-python}" -m study.provenance')
    assert " evaluation.judge " in line
