"""Tables over pairs of models: pairs in place of training seeds give the same numbers, and each pair keeps its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.across import across_pairs
from evaluation.claims import decide, load
from evaluation.collected import Collected, read
from evaluation.figures.__main__ import draw_all
from evaluation.paired import differences
from evaluation.pairwise import net_wins
from evaluation.tables.across_pairs import across_tables
from evaluation.tables.differences import differences_table
from evaluation.tables.main import main_table
from evaluation.tables.satisfaction import satisfaction_table
from tests.unit.synthetic import cells_of, write_collected
from tests.unit.test_figures import NAMES

SEEDS = 3
ALL = f"all {SEEDS}"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pair with three training seeds."""
    return write_collected(tmp_path_factory.mktemp("seeds"), seeds=SEEDS, prompts=30)


def as_pairs(folder: Path, out: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Collected:
    """The same measurements told otherwise: every training seed is a pair, with a copy of the untrained rows."""
    index = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    scores = pd.read_parquet(folder / "scores.parquet")
    (world,) = index["pairs"].values()
    names = [f"pair{seed}" for seed in range(SEEDS)]
    index["pairs"] = {name: {**world, "student": f"student {name}", "teacher": f"teacher {name}"} for name in names}
    runs, frames = [], [scores]
    for run in index["runs"]:
        if run["kind"] == "method":
            runs.append({**run, "pair": names[run["seed"]], "seed": 7})
            continue
        for name in names:
            runs.append({**run, "pair": name, "run": f"{name}-{run['run']}"})
            own = scores[scores["run"] == run["run"]].assign(run=f"{name}-{run['run']}")
            frames.append(own)
    index["runs"] = runs
    if change:
        change(index)
    out.mkdir(parents=True)
    (out / "runs.json").write_text(json.dumps(index), encoding="utf-8")
    pd.concat(frames).to_parquet(out / "scores.parquet", index=False)
    for name in ("curves.parquet", "costs.parquet"):
        (out / name).write_bytes((folder / name).read_bytes())
    return read(out)


def test_pairs_in_place_of_seeds_give_the_same_numbers(seeds: Path, tmp_path: Path) -> None:
    one, several = read(seeds), as_pairs(seeds, tmp_path / "pairs")
    found = {table.name: cells_of(table) for table in across_tables(several, None)}
    assert set(found) == {"across_pairs", "across_pairs_differences", "across_pairs_claims"}
    known = cells_of(main_table(one))
    numbers = ("estimate", "low", "high", "seeds", "prompts", "samples")
    compared = 0
    for (group, row, column), cell in known.items():
        if row in {"Teacher", "Student before", "Runs"}:  # three pairs have three of them, one pair has one
            continue
        other = found["across_pairs"][group.replace("(pair world)", f"(pair {ALL})"), row, column]
        assert [cell[key] for key in numbers] == [other[key] for key in numbers], (group, row, column)
        compared += 1
    assert compared == 3 * 8 * 5  # test sets, trained rows, columns
    for (group, row, column), cell in cells_of(satisfaction_table(one)).items():
        if column in {"low", "verdict"} and row == "CMDP":
            other = found["across_pairs"][group.replace("(pair world)", f"(pair {ALL})"), row, column]
            assert (cell["estimate"], cell["text"]) == (other["estimate"], other["text"])
    mine = found["across_pairs_differences"]
    for (group, row, column), cell in cells_of(differences_table(one)).items():
        if row not in {"Teacher", "Student before", "Runs"}:
            other = mine[group.replace("(pair world)", f"(pair {ALL})"), row, column]
            assert [cell[key] for key in numbers] == [other[key] for key in numbers], (group, row, column)


def test_claims_are_decided_over_pairs_as_over_seeds(seeds: Path, tmp_path: Path) -> None:
    one, several = read(seeds), across_pairs(as_pairs(seeds, tmp_path / "pairs"))
    assert several is not None
    between_rows = [claim for claim in load() if claim.kind in {"difference", "certified"} and not claim.pairs]
    assert len(between_rows) > 3
    for claim in between_rows:
        expected, found = decide(claim, one, "world", None), decide(claim, several, ALL, None)
        assert (expected.verdict, expected.number) == (found.verdict, found.number), claim.id


def test_a_pair_is_compared_with_its_own_teacher(seeds: Path, tmp_path: Path) -> None:
    size = as_pairs(seeds, tmp_path / "pairs")
    teacher = size.row("pair1", "teacher")
    assert teacher is not None
    changed = size._scores["run"].eq(teacher.runs[0].run) & size._scores["metric"].isin(["correct", "reasoning"])
    size._scores.loc[changed, "value"] = 0.0  # the second pair's teacher knows nothing
    whole = across_pairs(size)
    assert whole is not None
    student, expert = whole.row(ALL, "cmdp"), whole.row(ALL, "teacher")
    assert student is not None
    assert expert is not None
    own = [
        float(size.stacked(row, "same", "correct").mean() - size.stacked(ref, "same", "correct").mean())  # type: ignore[union-attr]
        for pair in size.pairs
        if (row := size.row(pair, "cmdp")) and (ref := size.row(pair, "teacher"))
    ]
    found = differences(whole, student, expert, "same")["FAC"]
    np.testing.assert_allclose(found.values.mean(axis=(1, 2)), own)
    assert own[1] > 0.0 > own[0]
    wins = net_wins(whole, student, expert, "same")
    assert wins is not None
    assert wins.shape[0] == SEEDS
    assert wins[1].mean() > 0.9  # it can only win or tie against a teacher without a single step


def test_captions_speak_of_pairs_and_gaps_of_runs(seeds: Path, tmp_path: Path) -> None:
    def fail_one(index: dict[str, Any]) -> None:
        run = next(run for run in index["runs"] if run["pair"] == "pair2" and run["method"] == "gkd")
        run.update(status="failed", why="loss became infinite")

    table = across_tables(as_pairs(seeds, tmp_path / "pairs", fail_one), None)[0]
    assert "; 2\N{EN DASH}3 pairs." in table.caption
    assert " seeds." not in table.caption
    assert f"Pair {ALL}: 3 students" in table.caption
    cells = cells_of(table)
    assert cells[f"Longer chains (pair {ALL})", "GKD (2 of 3 runs)", "fac"]["seeds"] == "2"
    for test in ("Same distribution", "Longer chains"):  # what is left of a row is a selection
        assert cells[f"{test} (pair {ALL})", "GKD (2 of 3 runs)", "verdict"]["text"] == "undecided"
    low, high = cells[f"Same distribution (pair {ALL})", "CMDP", "range"]["text"].split("\N{EN DASH}")
    assert float(low) <= float(cells[f"Same distribution (pair {ALL})", "CMDP", "cs"]["estimate"]) <= float(high)


def _drop_a_pair(index: dict[str, Any]) -> None:
    index["runs"] = [run for run in index["runs"] if run["pair"] != "pair2"]
    del index["pairs"]["pair2"]


def _two_seeds(index: dict[str, Any]) -> None:
    run = next(run for run in index["runs"] if run["pair"] == "pair2" and run["method"] == "gkd")
    index["runs"].append({**run, "run": "another", "seed": 8, "status": "failed", "why": "stopped"})


@pytest.mark.parametrize(
    "change",
    [
        _drop_a_pair,
        _two_seeds,
        lambda index: index["pairs"]["pair0"].update(threshold={"d": 0.3, "source": "given"}),
        lambda index: index["pairs"]["pair0"].update(teacher="teacher pair1"),
        lambda index: index["pairs"]["pair0"].update(tests=[{"name": "other", "title": "Another"}]),
        lambda index: index["pairs"]["pair0"].update(reading="sum"),
        lambda index: index["pairs"]["pair0"].update(data="made from another seed"),
    ],
    ids=[
        "two pairs",
        "several seeds",
        "another d",
        "a shared teacher",
        "other test sets",
        "another reading",
        "other problems of the same ids",
    ],
)
def test_pairs_that_are_no_sample_of_one_kind_are_not_taken_together(
    change: Callable[[dict[str, Any]], None], seeds: Path, tmp_path: Path
) -> None:
    assert across_pairs(read(seeds)) is None
    assert across_tables(as_pairs(seeds, tmp_path / "pairs", change), None) == []


def test_a_test_set_with_other_questions_in_one_pair_is_left_out(seeds: Path, tmp_path: Path) -> None:
    size = as_pairs(seeds, tmp_path / "pairs")
    own = {run.run for run in size.runs if run.pair == "pair1"}
    other = size._scores["run"].isin(own) & size._scores["test"].eq("longer")
    size._scores.loc[other, "prompt"] = "other-" + size._scores.loc[other, "prompt"]
    whole = across_pairs(size)
    assert whole is not None
    assert [test.name for test in whole.pairs[ALL].tests] == ["same", "symbolic"]
    row = whole.row(ALL, "cmdp")
    assert row is not None
    assert whole.stacked(row, "same", "correct") is not None


def test_the_figure_shows_every_pair_and_the_estimates_of_the_table(seeds: Path, tmp_path: Path) -> None:
    size = as_pairs(seeds, tmp_path / "pairs")
    whole = across_pairs(size)
    assert whole is not None
    *usual, drawn = draw_all(size)
    assert [figure.name for figure in usual] == list(NAMES)  # all that a size of one pair has
    assert drawn.name == "across_pairs"
    assert drawn.runs == across_tables(size, None)[0].runs
    first = drawn.figure.axes[0]
    grey = [line for line in first.lines if line.get_color() == "#b0b0b0"]
    rows = whole.rows(ALL, "method", "reference")
    assert [len(line.get_xdata()) for line in grey] == [len(rows)] * SEEDS
    shown = np.mean([line.get_xdata() for line in grey], axis=0)
    cells = cells_of(across_tables(size, None)[0])
    expected = [float(cells[f"Same distribution (pair {ALL})", row.label, "cs"]["estimate"]) for row in rows]
    np.testing.assert_allclose(shown, expected, atol=1e-4)
