"""The smoke size from a clean state: everything is built, once, and the same each time."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from study.merge import merge
from tests.workflow.conftest import clone, make_tables, run_in

TABLES = (
    "main", "claims", "satisfaction", "differences", "win_matrix", "pareto", "feasible", "equal_compute", "readings",
    "kl_estimators", "intervals", "cost", "controls",
)  # fmt: skip
FIGURES = ("score_vs_kl", "pareto", "win_rates", "curves", "equal_compute", "kl_distribution")


def jobs(folder: Path, *targets: str) -> dict[str, int]:
    """What a dry run would do for the targets, by default the tables: jobs by rule."""
    asked = ("--config", "size=smoke", "--", *(targets or ("results/tables", "runs")))
    done = run_in(folder, "snakemake", "--cores", "2", "--dry-run", *asked)
    assert done.returncode == 0, done.stderr[-3000:]
    table = re.search(r"job +count\n-+ +-+\n(.*?)\ntotal", done.stdout, re.S)
    return {name: int(count) for name, count in (line.split() for line in table[1].splitlines())} if table else {}


def test_everything_is_built(smoke: Path) -> None:
    for name in TABLES:
        for kind in ("csv", "md", "tex"):
            assert (smoke / "results" / "tables" / f"{name}.{kind}").stat().st_size > 100
    for name in FIGURES:
        for kind in ("png", "pdf"):
            assert (smoke / "figures" / f"{name}.{kind}").stat().st_size > 1000
    assert "smoke" in (smoke / "results" / "tables" / "main.md").read_text().splitlines()[0]
    assert "<html" in (smoke / "results" / "report.html").read_text()
    assert "2509.22921" in (smoke / "paper_tables.md").read_text()


def test_scores_agree_with_lm_eval(smoke: Path) -> None:
    """Greedy FAC of our scorer is lm-eval's own exact_match on the same responses."""
    checked = 0
    for folder in (smoke / "results" / "runs").glob("*/eval-*"):
        scores = pd.read_parquet(folder / "scores.parquet")
        reported = pd.read_json(folder / "lm_eval.json")["results"].dropna()
        for (test, decoding), rows in scores.groupby(["test", "decoding"]):
            theirs = next(v for k, v in reported[f"{test}_{decoding}"].items() if k.startswith("exact_match,"))
            assert rows["correct"].mean() == pytest.approx(theirs, abs=1e-9)
            checked += 1
    assert checked >= 6


def test_a_second_run_has_nothing_to_do(smoke: Path) -> None:
    again = make_tables(smoke)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_deleted_run_is_rebuilt_with_what_hangs_on_it(smoke: Path) -> None:
    (run,) = (smoke / "results" / "runs").glob("micro-grpo-*")
    kept = run.with_name("kept")
    run.rename(kept)
    try:
        found = jobs(smoke)
    finally:
        kept.rename(run)
    assert found == {
        "train": 1, "generate": 1, "score": 1, "runs": 1, "collect": 1, "tables": 1,
        "figures": 1, "paper": 1, "report": 1,
        "publish": 1,
    }  # fmt: skip


def test_an_ablation_makes_only_the_rows_that_the_tables_lack(smoke: Path) -> None:
    found = jobs(smoke, "ablations")
    made = {"threshold": 3, "train": 3, "generate": 3, "score": 3}  # the reading `sum`, d = 0.1, d = 1
    assert found == {**made, "collect_ablation": 2, "ablation": 2, "ablations": 1}


def edited(folder: Path, file: str, old: str, new: str) -> dict[str, int]:
    """Jobs that an edit would cause; the file is put back with its time."""
    path, kept = folder / file, folder / "kept"
    shutil.copy2(path, kept)
    try:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return jobs(folder)
    finally:
        shutil.move(kept, path)


def test_editing_a_method_reruns_that_method_only(smoke: Path) -> None:
    found = edited(smoke, "methods/grpo/method.py", "loss = policy_loss(", "loss = 1.0 * policy_loss(")
    assert found["train"] == found["generate"] == found["score"] == 1
    assert "model" not in found


def test_editing_a_plot_reruns_the_plot(smoke: Path) -> None:
    found = edited(smoke, "evaluation/figures/curves.py", "def draw(", "NOTHING = 1\n\n\ndef draw(")
    assert found == {"figures": 1, "report": 1, "publish": 1}


def test_merged_results_are_scored_anew_by_another_scorer_alone(smoke: Path, tmp_path: Path) -> None:
    """Snakemake has no history of what was merged, but knows of killed jobs in the tree that it came to."""
    here = clone(tmp_path / "here")
    (model, *_) = (smoke / "results" / "models").iterdir()
    mark = base64.urlsafe_b64encode(f"results/models/{model.name}".encode()).decode()
    (here / ".snakemake" / "incomplete").mkdir(parents=True)
    (here / ".snakemake" / "incomplete" / mark).write_text("{}")
    merge([smoke], here)
    assert not jobs(here).keys() & {"data", "model", "train", "generate", "score", "scorer"}
    found = edited(here, "evaluation/score.py", "def main(", "NOTHING = 1\n\n\ndef main(")
    assert found["score"] == len(list((here / "results" / "runs").glob("*/eval-*")))
    assert not found.keys() & {"data", "model", "train", "generate"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("rules/train.smk", "rule train:", "# Why this rule is here.\n\n\nrule train:"),
        ("methods/cmdp/method.py", "        advantage =", "\n        # A remark.\n        advantage ="),
        ("training/loop.py", '"""The one training loop', '"""The only training loop'),
    ],
)
def test_white_space_and_comments_rerun_nothing(smoke: Path, file: str, old: str, new: str) -> None:
    assert edited(smoke, file, old, new) == {}
