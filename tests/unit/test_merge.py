"""Results of several machines in one tree: taken whole, equal ones accepted, clashes refused before any copy."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from study import merge as module
from study.code import code_hash
from study.merge import COPYING, STAMP, main, marked_unfinished, merge
from study.provenance import _named
from training.errors import UserError

RUN = "results/runs/micro-cmdp-s0-1"
EVALUATION = f"{RUN}/eval-1"
NOBODY = 65534


def scored_by(scorer: str, start: str = "here") -> str:
    """The record of a job that scored: by `scorer`, a file of the repository."""
    return json.dumps({"code": _named([f"evaluation={scorer}"], follow=True), "start": start})


def write(tree: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A tree in which one run is trained, and its responses are generated and scored."""
    tree = tmp_path / "made"
    write(tree, {
        "results/data/d1/train.jsonl": "problems", f"results/data/d1/{STAMP}": "",
        "results/models/m1/model.safetensors": "weights", f"results/models/m1/{STAMP}": "",
        "results/thresholds/t1.json": '{"d": 0.2}', "results/provenance/0a.txt": "packages",
        f"{RUN}/policy/model.safetensors": "trained", f"{RUN}/policy/{STAMP}": "", f"{RUN}/run.json": "ok",
        f"{RUN}/train.jsonl": "steps", f"{RUN}/curves.jsonl": "curves", f"{RUN}/cost.json": "10 s",
        f"{RUN}/train.log": "log", f"{RUN}/provenance.json": "here",
        f"{EVALUATION}/samples.jsonl": "responses", f"{EVALUATION}/samples.jsonl.sha256": "sum",
        f"{EVALUATION}/lm_eval.json": "2 s", f"{EVALUATION}/generate.provenance.json": "here",
        f"{EVALUATION}/scores.parquet": "scores", f"{EVALUATION}/tokens.jsonl": "tokens",
        f"{EVALUATION}/score.provenance.json": scored_by("evaluation/score.py"),
    })  # fmt: skip
    return tree


def files(tree: Path) -> dict[str, str]:
    return {str(p.relative_to(tree)): p.read_text() for p in sorted(tree.rglob("*")) if p.is_file()}


def test_everything_finished_is_taken_once(made: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    assert merge([made], here) == "taken: 7 results, 1 of them trained runs and 1 scores; 0 were here already"
    assert files(here) == files(made)
    assert merge([made], here) == "taken: 0 results, 0 of them trained runs and 0 scores; 7 were here already"


def test_nothing_taken_is_older_than_what_it_was_made_from(made: Path, tmp_path: Path) -> None:
    os.utime(made / EVALUATION / "scores.parquet", (1, 1))
    here = tmp_path / "here"
    merge([made], here)
    assert len({path.stat().st_mtime for path in here.rglob("*") if path.is_file()}) == 1
    assert (here / EVALUATION / "scores.parquet").stat().st_mtime > 1


def test_what_a_killed_job_left_marked_is_taken_as_made(made: Path, tmp_path: Path) -> None:
    """Snakemake would make it again, and all that hangs on it; what was not taken stays marked."""
    here, long = tmp_path / "here", "results/models/" + "x" * 300
    names = ["results/models/m1", "results/models/m2", f"{RUN}/policy", long]
    marks = {name: base64.urlsafe_b64encode(name.encode()).decode() for name in names}
    marks[long] = f"@{marks[long][:200]}/{marks[long][200:]}"
    write(here, {f".snakemake/incomplete/{mark}": "{}" for mark in marks.values()})
    merge([made], here)
    assert set(marked_unfinished(here)) == {"results/models/m2", long}


def test_only_the_marker_of_this_trees_scorer_is_kept(made: Path, tmp_path: Path) -> None:
    """One of other code, as old as what was merged or older, would later make those scores seem to be of that code."""
    here, ours = tmp_path / "here", code_hash("evaluation/score.py")
    write(made, {f"results/scorers/{ours}": "", "results/scorers/0a1b2c3d": ""})
    write(here, {"results/scorers/4e5f6a7b": ""})
    assert merge([made], here).startswith("taken: 8 results")
    assert [path.name for path in (here / "results" / "scorers").iterdir()] == [ours]


def test_stages_of_one_run_come_from_several_machines(made: Path, tmp_path: Path) -> None:
    whole, scored, here = files(made), tmp_path / "scored", tmp_path / "here"
    shutil.copytree(made, scored)
    for name in (f"{RUN}/run.json", f"{RUN}/provenance.json"):
        (scored / name).unlink()
    shutil.rmtree(made / EVALUATION)
    merge([made, scored], here)
    assert files(here) == whole


@pytest.mark.parametrize(
    "name", ["cost.json", "train.log", "provenance.json", "eval-1/lm_eval.json", "eval-1/score.provenance.json"]
)
def test_clocks_and_machines_may_differ(made: Path, tmp_path: Path, name: str) -> None:
    here = tmp_path / "here"
    shutil.copytree(made, here)
    (made / RUN / name).write_text(scored_by("evaluation/score.py", start="elsewhere"))
    assert merge([made], here) == "taken: 0 results, 0 of them trained runs and 0 scores; 7 were here already"
    assert "elsewhere" not in (here / RUN / name).read_text()


@pytest.mark.parametrize(
    "record", [scored_by("evaluation/trace.py"), "{}", "[]", "no record"], ids=["another", "unnamed", "list", "damaged"]
)
def test_scores_of_another_scorer_are_left_to_be_made_again(made: Path, tmp_path: Path, record: str) -> None:
    here, other, kept = tmp_path / "here", tmp_path / "other", f"{EVALUATION}/scores.parquet"
    shutil.copytree(made, other)
    write(other, {f"{EVALUATION}/score.provenance.json": record, kept: "other scores"})
    said = merge([other], here)
    assert said.endswith("; 1 scores of another evaluation/score.py were left out, to be made again here")
    assert (here / EVALUATION / "samples.jsonl").exists()
    assert not (here / kept).exists()
    write(here, {f"{EVALUATION}/score.provenance.json": record, kept: "other scores"})
    assert "1 scores; 6 were here already" in merge([made, other], here)  # no clash: those here were to be made again
    assert files(here) == files(made)


@pytest.mark.parametrize("name", [
    "results/data/d1/train.jsonl", "results/models/m1/model.safetensors", "results/thresholds/t1.json",
    f"{RUN}/policy/model.safetensors", f"{RUN}/run.json", f"{RUN}/train.jsonl", f"{RUN}/curves.jsonl",
    f"{EVALUATION}/samples.jsonl", f"{EVALUATION}/scores.parquet",
])  # fmt: skip
@pytest.mark.parametrize("among_sources", [False, True])
def test_a_clash_is_refused_before_anything_is_copied(
    made: Path, tmp_path: Path, name: str, among_sources: bool
) -> None:
    other, here = tmp_path / "other", tmp_path / "here"
    shutil.copytree(made, other)
    (other / name).write_text("another result")
    write(made, {f"results/data/d0/{STAMP}": ""})  # could be taken
    if not among_sources:
        shutil.copytree(other, here)
    before = files(here)
    with pytest.raises(UserError, match=r"is not what .* nothing was copied") as refused:
        merge([made, other], here)
    assert any(str(Path(*Path(name).parts[:parts])) in str(refused.value) for parts in (3, 4))
    assert files(here) == before


@pytest.mark.parametrize("removed", ["run.json", "curves.jsonl", "eval-1/samples.jsonl"])
def test_what_was_removed_here_is_no_clash_and_is_taken(made: Path, tmp_path: Path, removed: str) -> None:
    here = tmp_path / "here"
    shutil.copytree(made, here)
    (here / RUN / removed).unlink()
    assert merge([made], here).startswith("taken: 1 results")
    assert files(here) == files(made)


def test_a_failed_run_to_be_retried_is_no_clash_with_one_that_did_not_fail(made: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(made, here)
    (here / RUN / "run.json").unlink()  # as `make retry` does
    (here / RUN / "train.jsonl").write_text("steps up to the failure")
    assert "1 of them trained runs" in merge([made], here)
    assert files(here) == files(made)


@pytest.mark.parametrize(("missing", "left"), [
    (f"results/data/d1/{STAMP}", "results/data/d1"), (f"{RUN}/policy/{STAMP}", f"{RUN}/policy"),
    (f"{RUN}/provenance.json", f"{RUN}/run.json"),
    (f"{EVALUATION}/score.provenance.json", f"{EVALUATION}/scores.parquet"),
])  # fmt: skip
def test_what_no_job_finished_is_left_out(made: Path, tmp_path: Path, missing: str, left: str) -> None:
    (made / missing).unlink()
    merge([made], tmp_path / "here")
    assert not (tmp_path / "here" / left).exists()
    assert (tmp_path / "here" / EVALUATION / "samples.jsonl").exists()


def test_an_interrupted_merge_leaves_nothing_half_and_goes_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, flush = tmp_path / "here", module.flush

    def full(path: Path) -> None:
        if path.name == "curves.jsonl":
            raise OSError(28, "No space left on device", str(path))
        flush(path)

    monkeypatch.setattr(module, "flush", full)
    with pytest.raises(OSError, match="No space left"):
        merge([made], here)
    assert (here / "results" / "models" / "m1" / STAMP).exists()
    assert not (here / "results" / COPYING).exists()
    assert not list((here / RUN).iterdir())
    write(here, {f"results/{COPYING}/old": "of a merge that was killed", f"{RUN}/policy/half": "likewise"})
    monkeypatch.setattr(module, "flush", flush)
    merge([made], here)
    assert files(here) == files(made)


@contextmanager
def as_owner(tree: Path) -> Iterator[None]:
    """Within it root, who may write anywhere, is a user who owns the tree and must reach it by relative paths."""
    if os.geteuid() == 0:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


def test_a_read_only_tree_is_merged_also_after_a_merge_that_failed_on_one(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, here = files(made), tmp_path / "here"
    write(here, {f"results/{COPYING}/policy/half": "left by a merge that failed"})
    for tree in (made, here / "results" / COPYING):
        for path in (tree, *tree.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
    monkeypatch.chdir(tmp_path)
    with as_owner(tmp_path):
        merge([Path("made")], Path("here"))
    assert files(here) == whole
    assert not (here / "results" / COPYING).exists()
    assert all(path.stat().st_mode & stat.S_IWUSR for path in here.rglob("*"))


def test_the_command_says_what_it_took(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--from", str(made), str(made), "--into", str(tmp_path / "here")])
    assert capsys.readouterr().out.startswith("taken: 7 results")


@pytest.mark.parametrize(("words", "said"), [
    ([], "nothing to merge"), (["--from", "nowhere"], "nowhere/results is no folder"),
    (["--from", "."], "name in FROM other"),
])  # fmt: skip
def test_mistakes_are_one_sentence(made: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str) -> None:
    monkeypatch.chdir(made)
    with pytest.raises(UserError, match=said):
        main(words)
