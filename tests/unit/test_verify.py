"""Comparing two builds: nothing where they are equal, else the first differing step and quantity."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from study import reference, verify
from study.compare import differences
from study.config import ModelSource, load_size
from training.errors import UserError

RESPONSE = "test same, decoding sampled, prompt same-1, sample 0"
HEADER = "group,row,column,unit,estimate,low,high,prompts,samples,seeds,text\n"
CELL = '"Same, all",CMDP,fac,%,{0},{1},{2},40,2,1,"{0} [{1}, {2}]"\n'
FAILED = '"Same, all",CMDP,fac,%,,,,,,,"failed: the loss is nan at step 3"\n'
RUNS = ',Runs,runs,,,,,,,,"Runs: {0}."\n'


def write_table(tables: Path, estimate: float = 50.0, runs: str = "a") -> None:
    """A table with one cell, its interval 10 to both sides."""
    tables.mkdir(parents=True, exist_ok=True)
    text = HEADER + CELL.format(estimate, estimate - 10, estimate + 10) + RUNS.format(runs)
    (tables / "main.csv").write_text(text, encoding="utf-8")


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal trees with a data set, one run and a table."""
    results = tmp_path / "one" / "results"
    run = results / "runs" / "r-s0"
    (run / "policy").mkdir(parents=True)
    (run / "eval-1").mkdir()
    (results / "data" / "d").mkdir(parents=True)
    (results / "data" / "d" / "train.jsonl").write_text('{"id": "q-1", "answer": "3"}\n', encoding="utf-8")
    steps = [{"step": step, "reward": 0.5, "kl": 0.1} for step in (1, 2, 3)]
    (run / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in steps), encoding="utf-8")
    (run / "curves.jsonl").write_text('{"step": 2, "reward": [0.0, 1.0]}\n', encoding="utf-8")
    save_file({"a": np.zeros(3, "float32"), "b": np.ones(2, "float32")}, run / "policy" / "model.safetensors")
    sample = {"test": "same", "decoding": "sampled", "prompt_id": "same-1", "sample": 0, "response": "9"}
    (run / "eval-1" / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    scores = pd.DataFrame([{"test": "same", "decoding": "sampled", "prompt": "same-1", "sample": 0, "kl_mean": 0.5,
                            "sound": np.nan}])  # fmt: skip
    scores.to_parquet(run / "eval-1" / "scores.parquet")
    write_table(results / "built" / "s" / "tables")
    (results / "built" / "s" / "collected").mkdir()
    (results / "built" / "s" / "collected" / "runs.json").write_text('{"runs": [{"run": "r-s0"}]}', encoding="utf-8")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    return tmp_path / "one", tmp_path / "two"


def test_what_other_sizes_made_is_not_compared(trees: tuple[Path, Path]) -> None:
    (trees[0] / "results" / "runs" / "other-s0").mkdir()
    (trees[0] / "results" / "data" / "other").mkdir()
    assert list(differences(*trees, "s")) == []


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def diverged(runs: list[Path]) -> None:
    """Curves with the same NaN, and another KL."""
    for run, kl in zip(runs, (0.2, 0.3), strict=True):
        (run / "curves.jsonl").write_text(f'{{"step": 2, "reward": [NaN, 1.0], "kl": {kl}}}\n', encoding="utf-8")


def edit_scores(run: Path) -> None:
    frame = pd.read_parquet(run / "eval-1" / "scores.parquet")
    frame.assign(kl_mean=0.25).to_parquet(run / "eval-1" / "scores.parquet")


def test_equal_trees_do_not_differ_whatever_their_clocks_say(trees: tuple[Path, Path]) -> None:
    (trees[0] / "results/runs/r-s0/cost.json").write_text('{"wall_s": 1}', encoding="utf-8")
    (trees[1] / "results/runs/r-s0/provenance.json").write_text('{"start": 1}', encoding="utf-8")
    write_table(trees[1] / "results/built/s/tables")
    (trees[1] / "results/built/s/tables/cost.csv").write_text("x", encoding="utf-8")
    (trees[1] / "results/data/d/made.json").write_text('{"wall_s": 2}', encoding="utf-8")
    assert list(differences(*trees, "s")) == []


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda run: replaced(run / "train.jsonl", '3, "reward": 0.5, "kl": 0.1', '3, "reward": 0.5, "kl": 0.2'),
            "run r-s0: train.jsonl: step 3: kl 0.1 against 0.2",
        ),
        (
            lambda run: replaced(run / "train.jsonl", '{"step": 3, "reward": 0.5, "kl": 0.1}\n', ""),
            "run r-s0: train.jsonl: ends before line 3 in the second",
        ),
        (
            lambda run: replaced(run / "curves.jsonl", "[0.0, 1.0]", "[0.0, 0.0]"),
            "run r-s0: curves.jsonl: step 2: reward [1] 1.0 against 0.0",
        ),
        (
            lambda run: diverged([run.parents[3] / "one/results/runs/r-s0", run]),
            "run r-s0: curves.jsonl: step 2: kl 0.2 against 0.3",  # not reward, which is NaN in both
        ),
        (
            lambda run: save_file(
                {"a": np.zeros(3, "float32"), "b": np.full(2, 1.5, "float32")}, run / "policy" / "model.safetensors"
            ),
            "run r-s0: policy/model.safetensors: b: up to 0.5 apart",
        ),
        (
            lambda run: replaced(run / "eval-1" / "samples.jsonl", '"9"', '"8"'),
            f"run r-s0: eval-1/samples.jsonl: {RESPONSE}: response '9' against '8'",
        ),
        (
            edit_scores,
            f"run r-s0: eval-1/scores.parquet: {RESPONSE}: kl_mean",
        ),
        (
            lambda run: replaced(run.parents[1] / "data/d/train.jsonl", '"3"', '"4"'),
            "data/d/train.jsonl: line 1: answer '3' against '4'",
        ),
        (lambda run: shutil.rmtree(run), "run r-s0: only in the first"),
        (
            lambda run: write_table(run.parents[1] / "built/s/tables", 51.0),
            "table main.csv: CMDP / Same, all / fac: estimate 50.0 against 51.0",
        ),
    ],
)
def test_the_first_difference_is_named(
    trees: tuple[Path, Path], edit: Callable[[Path], None], sentence: str
) -> None:  # fmt: skip
    edit(trees[1] / "results" / "runs" / "r-s0")
    (found,) = differences(*trees, "s")
    assert found.startswith(sentence)


def test_verify_ends_with_the_verdict(trees: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--size", "s", "--built", str(trees[0]), "--against", str(trees[1])]
    verify.main(words)
    assert capsys.readouterr().out.endswith("size s: the same\n")
    replaced(trees[1] / "results/runs/r-s0/train.jsonl", '{"step": 2, "reward": 0.5', '{"step": 2, "reward": 0.75')
    with pytest.raises(SystemExit) as ended:
        verify.main(words)
    assert ended.value.code == 1
    assert "the first difference: run r-s0: train.jsonl: step 2: reward 0.5 against 0.75" in capsys.readouterr().out


def test_a_reference_is_exact_on_its_own_kind_of_processor(
    trees: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, kept = ["--size", "s", "--built", str(trees[0])], tmp_path / "reference"
    verify.main([*words, "--update", str(kept)])
    write_table(trees[0] / "results/built/s/tables", runs="b")  # other ids of the same runs
    verify.main([*words, "--against", str(kept)])
    assert "this kind of processor" in capsys.readouterr().out
    write_table(trees[0] / "results/built/s/tables", 51.0)
    with pytest.raises(SystemExit):
        verify.main([*words, "--against", str(kept)])
    assert "estimate 51.0 against 50.0" in capsys.readouterr().out
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    verify.main([*words, "--against", str(kept)])
    assert "another kind of processor" in capsys.readouterr().out
    write_table(trees[0] / "results/built/s/tables", 71.0)
    with pytest.raises(SystemExit):
        verify.main([*words, "--against", str(kept)])
    assert "beyond the band" in capsys.readouterr().out


def test_tables_and_rows_that_are_missing_are_named(trees: tuple[Path, Path], tmp_path: Path) -> None:
    tables, kept = trees[0] / "results/built/s/tables", tmp_path / "reference"
    reference.update(tables, kept)
    (tables / "main.csv").write_text(HEADER, encoding="utf-8")
    assert list(reference.departures(tables, kept, exact=False)) == ["table main.csv: 0 lines against 2"]
    (tables / "main.csv").unlink()
    assert list(reference.departures(tables, kept, exact=False)) == ["table main.csv: not there"]
    (kept / reference.MADE_ON).unlink()
    with pytest.raises(UserError, match="make the reference again with --update"):
        reference.same_kind(kept)


def test_a_reference_of_some_tables_leaves_other_files_alone(trees: tuple[Path, Path], tmp_path: Path) -> None:
    tables, kept = trees[0] / "results/built/s/tables", tmp_path / "reference"
    shutil.copyfile(tables / "main.csv", tables / "claims.csv")
    verify.main(["--size", "s", "--built", str(trees[0]), "--update", str(kept)])
    (kept / "figure.png").write_text("x", encoding="utf-8")
    words = ["--size", "s", "--built", str(trees[0]), "--update", str(kept), "--tables"]
    verify.main([*words, "main"])
    assert sorted(file.name for file in kept.iterdir()) == ["figure.png", "made_on.json", "main.csv"]
    with pytest.raises(UserError, match=r"--tables clams: .* did you mean 'claims'"):
        verify.main([*words, "clams"])
    with pytest.raises(UserError, match="name its folder with --update"):
        verify.main(["--tables", "main"])
    assert (kept / "main.csv").is_file()


def test_an_interval_that_is_lost_departs_on_any_processor(trees: tuple[Path, Path], tmp_path: Path) -> None:
    tables, kept = trees[0] / "results/built/s/tables", tmp_path / "reference"
    reference.update(tables, kept)
    whole = (tables / "main.csv").read_text(encoding="utf-8")
    (tables / "main.csv").write_text(whole.replace(",40.0,60.0,", ",,,"), encoding="utf-8")
    (found,) = reference.departures(tables, kept, exact=False)
    assert "one alone has an interval" in found


def test_a_row_that_failed_departs_on_any_processor(trees: tuple[Path, Path], tmp_path: Path) -> None:
    tables, kept = trees[0] / "results/built/s/tables", tmp_path / "reference"
    reference.update(tables, kept)
    replaced(tables / "main.csv", CELL.format(50.0, 40.0, 60.0), FAILED)
    (found,) = reference.departures(tables, kept, exact=False)
    assert "failed: the loss is nan" in found


def test_what_is_not_there_is_named_before_any_build(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        verify.main(["--against", str(tmp_path / "nothing")])
    with pytest.raises(UserError, match="build the size first: make tables SIZE=s"):
        verify.main(["--size", "s", "--built", str(tmp_path)])


def test_a_build_reads_what_relative_paths_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths stay as given, since they are part of ids: from the new folder they lead to the same files."""
    for name in ("data", "work/models/student", "work/outside/mine"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")
    size = load_size("smoke").model_copy(update={"methods_path": [Path("outside")]})
    pair, source = size.pairs["micro"], ModelSource(pretrained="models/student")
    hub = ModelSource(pretrained="someone/model")
    size.pairs["micro"] = pair.model_copy(update={"student": source, "teacher": hub})
    monkeypatch.setattr(verify, "load_size", lambda name: size)
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command) or argparse.Namespace(returncode=0))
    place = verify.build("smoke", tmp_path / "scratch" / "first", "../data")
    assert "data_root=../data" in ran[0]
    assert ran[0][ran[0].index("--directory") + 1] == str(place)
    for path in ("../data", "models/student", "outside"):
        assert (place / path).resolve() == Path(path).resolve()
    assert not (place / "someone").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "scratch", "work"]


def test_a_size_that_cannot_be_built_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="size 'smollm2_cpu' could not be built"):
        verify.build("smollm2_cpu", tmp_path / "first", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="there is no size 'smok'"):
        verify.build("smok", tmp_path / "first")
