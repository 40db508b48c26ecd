"""Sources under tables and figures, the way from a cell to its samples, and the quality report."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation import lineage, quality, trace
from evaluation.captions import in_percent
from evaluation.collected import Collected, read
from evaluation.figures import score_vs_kl
from evaluation.figures.style import save, save_captions
from evaluation.statistics import Estimate
from evaluation.tables import __main__ as tables
from tests.unit.synthetic import D, write_collected
from training.errors import UserError

RUN = "world-cmdp-0"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collected size with a failed method, its tables and quality.md, and the samples of one run."""
    root = tmp_path_factory.mktemp("quality")
    write_collected(root / "collected", seeds=2, prompts=6, samples=2, steps=30, failed=("gkd",))
    tables.main(["--collected", str(root / "collected"), "--out", str(root / "tables"),
                 "--quality", str(root / "quality.md")])  # fmt: skip
    folder = root / "runs" / RUN
    folder.mkdir(parents=True)
    keys = [
        {"test": "same", "decoding": "sampled", "sample": k, "id": f"same-{p:04d}"} for p in range(6) for k in (0, 1)
    ]
    said = {"prompt": "How many?", "question": "How many?", "answer": "9", "response": "#### 9"}
    rows = [{**key, **said, "prompt_id": key["id"], "tokens": [2], "finished": True} for key in keys]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    frame = pd.DataFrame(keys).rename(columns={"id": "prompt"})
    frame.assign(correct=1.0, kl_mean=0.125, sound=np.nan).to_parquet(folder / "scores.parquet")
    record = {"git": {"unknown": "git is not installed"}, "code": {"method": "abc"}, "start": "S", "end": "E",
              "machine": {"device": "cpu", "processor": "P"}}  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(record), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def size(built: Path) -> Collected:
    return read(built / "collected")


def test_runs_that_were_not_made_alike_are_a_warning(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "collected", tmp_path / "mixed")
    index = json.loads((tmp_path / "mixed" / "runs.json").read_text(encoding="utf-8"))
    finished = [run for run in index["runs"] if run["status"] == "ok"]
    for place, run in enumerate(finished):
        run["made"] = [("trained", "torch 2" if place else "torch 3"), ("scored", "torch 2")]
    (tmp_path / "mixed" / "runs.json").write_text(json.dumps(index), encoding="utf-8")
    (found,) = (one for one in quality.findings(read(tmp_path / "mixed")) if "alike" in one.what)
    assert found.severity == quality.WARNING
    assert (
        f"not trained alike, so that rows may differ for that alone (torch 2: {len(finished) - 1}; torch 3: 1)"
        in found.what
    )


def test_every_form_of_every_table_ends_with_its_runs(built: Path) -> None:
    listed = json.loads((built / "tables" / lineage.BESIDE).read_text(encoding="utf-8"))["tables"]
    assert set(listed) == {file.stem for file in (built / "tables").glob("*.csv")}
    for name, table in listed.items():
        said = lineage.line(lineage.union(row["runs"] for row in table["rows"]))
        assert said.startswith("Runs: ")
        assert "none" not in said
        ends = {"csv": said, "md": said, "tex": said.replace("_", r"\_")}
        for kind, text in ends.items():
            assert (
                text
                in (built / "tables" / f"{name}.{kind}")
                .read_text(encoding="utf-8")
                .splitlines()[-2 if kind == "tex" else -1]
            )


def test_each_row_names_its_own_runs_and_a_gap_those_that_left_it(built: Path) -> None:
    listed = json.loads((built / "tables" / lineage.BESIDE).read_text(encoding="utf-8"))["tables"]
    runs = {row["row"]: row["runs"] for row in listed["main"]["rows"]}
    assert runs["CMDP"] == ["world-cmdp-0", "world-cmdp-1"]
    assert runs["GKD"] == ["world-gkd-0", "world-gkd-1"]
    beside = {row["row"]: row["runs"] for row in listed["differences"]["rows"]}
    assert beside["GRPO"] == ["world-grpo-0", "world-grpo-1", "world-cmdp-0", "world-cmdp-1"]


def test_a_figure_ends_with_its_runs(size: Collected, tmp_path: Path) -> None:
    drawn = score_vs_kl.draw(size)
    save(drawn, tmp_path)
    save_captions([drawn], tmp_path)
    assert drawn.figure.texts[-1].get_text().startswith("Runs: ")
    kept = json.loads((tmp_path / "captions.json").read_text(encoding="utf-8"))["score_vs_kl"]
    assert {"world-cmdp-0", "world-teacher-0"} <= set(kept["runs"])
    assert not any("gkd" in run for run in kept["runs"])
    assert lineage.digest(kept["runs"]).encode() in (tmp_path / "score_vs_kl.png").read_bytes()


def test_a_few_runs_are_named_and_many_counted() -> None:
    assert lineage.line(["b", "a"]) == "Runs: b, a."
    many = [f"run-{i}" for i in range(9)]
    assert lineage.line(many) == lineage.line(many[::-1])
    assert re.fullmatch(r"Runs: 9, set [0-9a-f]{8}, listed in sources\.json\.", lineage.line(many))


def test_trace_goes_from_a_cell_to_runs_and_prompts(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.main(["--cell", "main/cmdp/same/FAC", "--tables", str(built / "tables"), "--runs", str(built / "runs")])
    text = capsys.readouterr().out
    with (built / "tables" / "main.csv").open(encoding="utf-8") as lines:
        cell = next(c for c in csv.DictReader(lines) if (c["row"], c["column"]) == ("CMDP", "fac"))
    assert cell["text"] in text
    assert "prompts: 6, samples: 2, seeds: 2" in text
    assert "provenance.json: git is not installed; code: method abc; P; S to E" in text
    assert "same-0002: How many? (answer 9)" in text
    assert "0: correct 1, kl_mean 0.125; '#### 9'" in text
    assert "and 3 prompts more (--all)" in text
    assert "its samples are not in" in text  # of the second seed


def test_trace_names_the_rows_that_a_cell_is_compared_with(built: Path) -> None:
    found = trace.find("main/CMDP/same/RWR", built / "tables")
    assert found.runs == ["world-cmdp-0", "world-cmdp-1"]
    assert {"world-grpo-0", "world-teacher-0"} <= set(found.beside)
    assert trace.find("main/CMDP/same/KL", built / "tables").beside == []
    gap = trace.find("differences/GRPO/same/RWR", built / "tables")  # of two means over all opponents
    assert {"world-teacher-0", "world-minillm-0"} & set(gap.beside)


def test_trace_leads_to_what_a_cell_without_a_test_set_rests_on(built: Path) -> None:
    """Of training to its logs; a control or a claim names its test set in words, so to all responses."""
    folders = {"tables": built / "tables", "runs": built / "runs"}
    cost, control = (trace.find(cell, folders["tables"]) for cell in (
        "cost/CMDP/wall_s", "controls/Teacher, greedy FAC, Same distribution/Measured"))  # fmt: skip
    assert any("see train.jsonl" in line for line in trace.told(cost, folders["runs"], False))
    said = list(trace.told(control, folders["runs"], False))
    assert any("its responses, of every test set, are in " in line for line in said)
    assert not any("train.jsonl" in line for line in said)
    for measure in ("fac", "cs", "kl"):
        found = trace.find(f"intervals/CMDP/same/{measure} bootstrap", folders["tables"])
        assert found.line["column"] == f"{measure}_boot"


def test_trace_knows_a_computed_table(tmp_path: Path) -> None:
    (tmp_path / "sources.json").write_text('{"tables": {}, "tests": {}, "runs": {}}')
    (tmp_path / "theory.csv").touch()
    with pytest.raises(UserError, match="table 'theory' was computed, not measured"):
        trace.find("theory/3.1/x", tmp_path)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("main/CMDP", "must be table/row/group/column"),
        ("mian/CMDP/same/FAC", "no table 'mian'; did you mean 'main'?"),
        ("main/CMPD/same/FAC", "no row of table 'main' 'CMPD'; did you mean 'CMDP'?"),
        ("main/CMDP/sane/FAC", "no group of table 'main' 'sane'; did you mean 'same'?"),
        ("main/CMDP/same/FAX", "no column of table 'main' 'FAX'"),
        ("main/CMDP/same/R", "fits several: rwr; rlr"),
        (r"main/PPO\/KL/same/FAC", "no row of table 'main' 'PPO/KL'"),
    ],
)
def test_an_unknown_cell_is_answered_with_the_nearest(built: Path, cell: str, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        trace.find(cell, built / "tables")


def test_quality_says_what_failed_and_what_is_open(built: Path) -> None:
    text = (built / "quality.md").read_text(encoding="utf-8")
    assert "| error | world | GKD, seed 1: failed, loss became infinite at step 7. | `world-gkd-1` |" in text
    assert "Control not measured: GKD after training" in text
    assert "Undecided in table satisfaction: " in text
    assert text.splitlines()[2].startswith("Quality: 2 errors, ")
    assert text.splitlines()[-1].startswith("Runs: 21, set ")


def changed(built: Path, folder: Path, edit: dict[tuple[str, str], float]) -> list[quality.Finding]:
    """Findings after every value of a run's metric is replaced."""
    folder.mkdir()
    for file in (built / "collected").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    scores = pd.read_parquet(folder / "scores.parquet")
    for (run, metric), value in edit.items():
        scores.loc[(scores["run"] == run) & (scores["metric"] == metric), "value"] = value
    scores.to_parquet(folder / "scores.parquet", index=False)
    return quality.findings(read(folder))


def test_quality_tells_small_shares_from_large_ones(built: Path, tmp_path: Path) -> None:
    runs = [(f"world-{method}-{seed}", metric) for method, metric in (("grpo", "floored"), ("cmdp", "finished"))
            for seed in (0, 1)]  # fmt: skip
    small = changed(built, tmp_path / "small", dict.fromkeys(runs[:2], 0.005))
    large = changed(built, tmp_path / "large", {**dict.fromkeys(runs[:2], 0.02), **dict.fromkeys(runs[2:], 0.0)})
    assert {f.severity for f in small if "probability floor" in f.what} == {"note"}
    assert {f.severity for f in large if "probability floor" in f.what} == {"warning"}
    cut = [f for f in large if f.what.startswith("Responses cut")]
    assert [f.where for f in cut] == [f"world, {test.title}" for test in read(built / "collected").pairs["world"].tests]
    assert all(f.severity == "warning" and "CMDP 100.0 %" in f.what for f in cut)


def test_quality_hears_a_scorer_and_a_log_that_disagree(built: Path, tmp_path: Path) -> None:
    runs = [(f"world-cmdp-{seed}", "kl_mean") for seed in (0, 1)]
    found = changed(built, tmp_path / "far", dict.fromkeys(runs, 5 * D))
    said = next(f for f in found if "trainer's log" in f.what)
    assert said.severity == "warning"
    assert said.what.startswith("CMDP: the trainer's log has ")
    assert "the scorer 0.0 %" in said.what
    lenient = changed(built, tmp_path / "lenient", {("world-grpo-0", "kl_mean"): 0.0, ("world-grpo-1", "kl_mean"): 0.0})
    assert any(f.what.startswith("GRPO: the trainer's log") and "the scorer 100.0 %" in f.what for f in lenient)
    agreeing = changed(built, tmp_path / "near", dict.fromkeys(runs, D / 2))
    assert not any("CMDP: the trainer's log" in f.what for f in agreeing)


def test_a_log_without_a_violation_agrees_with_a_scorer_that_found_few(tmp_path: Path) -> None:
    """32 prompts without one are likely at the scorer's 97.5 % (0.975 ** 32 = 0.44), not at its 50 %."""
    write_collected(tmp_path, seeds=2, prompts=100, samples=2, steps=2)
    curves, scores = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("curves", "scores"))
    curves.assign(kl_mean=D / 2).to_parquet(tmp_path / "curves.parquet", index=False)
    own = scores["run"].str.contains("-cmdp-") & (scores["metric"] == "kl_mean")
    for prompts, warned in ((5, False), (100, True)):
        beyond = scores["prompt"].isin([f"same-{i:04d}" for i in range(prompts)]) & (scores["sample"] == 0)
        scores.loc[own, "value"] = np.where(beyond[own], 2 * D, D / 2)
        scores.to_parquet(tmp_path / "scores.parquet", index=False)
        found = [f for f in quality.findings(read(tmp_path)) if f.what.startswith("CMDP: the trainer's log")]
        assert bool(found) is warned


def test_a_share_of_tokens_is_not_negative(built: Path, tmp_path: Path) -> None:
    """One response in twelve at the floor: 8.3 points, 18 to each side by the t interval."""
    write_collected(tmp_path, seeds=1, prompts=12, samples=2, steps=2)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    at = scores["run"].eq("world-grpo-0") & scores["metric"].eq("floored") & scores["prompt"].eq("same-0000")
    scores.loc[at, "value"] = 1.0
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    said = next(f.what for f in quality.findings(read(tmp_path)) if "probability floor" in f.what)
    assert "GRPO 8.3 % [0.0, 26.7]" in said


def test_a_scorer_that_is_wrong_on_a_known_answer_is_an_error(built: Path, tmp_path: Path) -> None:
    found = changed(built, tmp_path / "wrong", {("world-answer_key-0", "correct"): 0.0})
    said = next(f for f in found if "Answer key, FAC" in f.what)
    assert (said.severity, said.runs) == ("error", ("world-answer_key-0",))


def test_a_rate_of_one_prompt_says_that_it_has_no_interval() -> None:
    assert in_percent(Estimate(0.5, 0.25, 0.75, 8, 1, 1)) == "50.0 % [25.0, 75.0]"
    assert in_percent(Estimate(0.5, math.nan, math.nan, 1, 4, 1)) == "50.0 % (no interval)"
