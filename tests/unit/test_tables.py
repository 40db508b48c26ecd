"""Table files: their numbers, their forms, gaps, controls and byte stability."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.certify import certify
from evaluation.collected import Collected, read
from evaluation.pairwise import overall
from evaluation.statistics import Estimate, spread
from evaluation.table_files import (
    Column,
    Line,
    Table,
    read_markdown,
    replace_folder,
    to_latex,
    to_markdown,
)
from evaluation.tables import __main__ as tables
from evaluation.tables.differences import differences_table
from evaluation.tables.kl_estimators import kl_estimators_table
from evaluation.tables.satisfaction import satisfaction_table
from tests.unit.synthetic import cells_of, lose, write_collected
from training.errors import UserError

NAMES = (
    "main", "claims", "satisfaction", "differences", "win_matrix", "pareto", "feasible", "equal_compute", "readings",
    "kl_estimators", "intervals", "cost", "controls",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collected(tmp_path_factory.mktemp("collected"), prompts=40, steps=2, failed=("grpo",), note="A & B.")


@pytest.fixture(scope="module")
def size(folder: Path) -> Collected:
    return read(folder)


def test_every_table_is_written_in_three_forms_and_stale_files_go(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "tables"
    out.mkdir(parents=True)
    (out / "stale.csv").write_text("old")
    tables.main(["--collected", str(folder), "--out", str(out)])
    forms = {f"{n}.{end}" for n in NAMES for end in ("csv", "md", "tex")}
    assert {path.name for path in out.iterdir()} == forms | {"sources.json"}
    assert [path.name for path in out.parent.iterdir()] == ["tables"]


def test_equal_input_gives_equal_bytes(folder: Path, size: Collected, tmp_path: Path) -> None:
    shuffled = shutil.copytree(folder, tmp_path / "again")
    scores = pd.read_parquet(shuffled / "scores.parquet").sample(frac=1, random_state=3)
    scores.to_parquet(shuffled / "scores.parquet", index=False)
    assert tables.files(tables.all_tables(read(shuffled))) == tables.files(tables.all_tables(size))


def test_main_numbers_are_the_scores_in_percent_with_counts(size: Collected) -> None:
    row = size.row("world", "cmdp")
    assert row is not None
    correct, kl = size.stacked(row, "same", "correct"), size.stacked(row, "same", "kl_mean")
    assert correct is not None
    assert kl is not None
    cells = cells_of(tables.main_table(size))
    group = "Same distribution (pair world)"
    fac, cs = cells[group, "CMDP", "fac"], cells[group, "CMDP", "cs"]
    assert float(fac["estimate"]) == pytest.approx(100 * correct.mean())
    assert float(cs["estimate"]) == pytest.approx(100 * np.mean(kl <= 0.2))
    assert float(cells[group, "CMDP", "kl"]["estimate"]) == pytest.approx(kl.mean())
    match = overall(size, row, "same")
    assert match is not None
    assert match.win.mean > 1.1 * match.loss.mean
    for table in (cells, cells_of(tables.win_table(size))):
        rates = [float(table[group, "CMDP", column]["estimate"]) for column in ("rwr", "rlr")]
        assert rates == pytest.approx([100 * match.win.mean, 100 * match.loss.mean])
    assert (fac["prompts"], fac["samples"], fac["seeds"], fac["unit"]) == ("40", "4", "3", "%")
    assert float(fac["low"]) < float(fac["estimate"]) < float(fac["high"])


def test_settings_are_rows_of_their_own(size: Collected) -> None:
    labels = {row for _, row, _ in cells_of(tables.main_table(size))}
    assert {"GKD-GRPO λ=0.001", "GKD-GRPO λ=0.01", "GKD-GRPO λ=0.1", "GKD-GRPO λ=1"} <= labels


def test_a_failed_method_is_a_gap_that_says_why(size: Collected) -> None:
    table = tables.main_table(size)
    gap = cells_of(table)["Longer chains (pair world)", "GRPO", "fac"]
    assert (gap["estimate"], gap["text"]) == ("", "failed: loss became infinite at step 7")
    assert "| GRPO | failed: loss became infinite at step 7 |" in to_markdown(table)
    assert r"GRPO & \multicolumn{5}{l}{failed: loss became infinite at step 7}" in to_latex(table)


def test_a_missing_seed_is_said_in_the_row(folder: Path, tmp_path: Path) -> None:
    partial = shutil.copytree(folder, tmp_path / "partial")
    index = json.loads((partial / "runs.json").read_text())
    next(run for run in index["runs"] if run["run"] == "world-gkd-1").update(status="failed", why="stopped")
    (partial / "runs.json").write_text(json.dumps(index))
    cells = cells_of(tables.main_table(read(partial)))
    assert cells["Same distribution (pair world)", "GKD (2 of 3 runs)", "fac"]["seeds"] == "2"


def test_a_row_that_lost_runs_is_not_tested_and_has_no_verdict(size: Collected) -> None:
    """What is left is a selection; of one seed all looks certain."""
    fewer = lose(size, "CMDP")
    key = ("Same distribution (pair world)", "CMDP (1 of 3 runs)")
    satisfied = cells_of(satisfaction_table(fewer))
    assert (satisfied[*key, "verdict"]["text"], satisfied[*key, "prompts"]["text"]) == ("undecided", "every run")
    wins, whole = cells_of(tables.win_table(fewer)), cells_of(tables.win_table(size))
    assert wins[*key, "leads"]["text"] == ""
    assert wins[*key, "p GKD"]["text"] in ("", "–")
    assert whole["Same distribution (pair world)", "CMDP", "p GKD"]["text"] not in ("", "–")


def test_captions_name_size_d_reading_tests_n_seeds_and_note(size: Collected) -> None:
    for table in tables.all_tables(size):
        for part in ("tiny", "d = 0.2 nats (given)", "mean reading", "Longer chains", "Note: A & B."):
            assert part in table.caption, (table.name, part)
        assert "seeds." in table.caption or "1 seed." in table.caption, table.name
    assert "n = 40 prompts × 4 samples per test set; 1\N{EN DASH}3 seeds." in tables.main_table(size).caption


def test_one_seed_is_said_and_has_no_cost_interval(tmp_path: Path) -> None:
    table = tables.cost_table(read(write_collected(tmp_path, seeds=1, prompts=6, steps=2)))
    assert "conditional on it" in table.caption
    assert "(no interval)" in to_markdown(table)
    assert cells_of(table)["Pair world", "GKD", "wall_s"]["low"] == ""


def test_win_matrix_keeps_ties_and_losses_in_the_csv(size: Collected) -> None:
    table = tables.win_table(size)
    cells = cells_of(table)
    key = ("Same distribution (pair world)", "CMDP")
    shares = [float(cells[*key, f"{kind} GKD"]["estimate"]) for kind in ("win", "tie", "loss")]
    assert sum(shares) == pytest.approx(100.0)
    assert "tie GKD" not in to_markdown(table)


def test_text_is_escaped_in_both_forms() -> None:
    line = Line("a_b & 5% | λ≤1 <x>", {"x": Estimate(1.26, 1.0, 1.5, 2, 2, 1), "y": None})
    table = Table("t_1", "T", "cap_tion #1", (Column("x", "X"), Column("y", "Y")), (("", (line,)),))
    assert "| a_b & 5% \\| λ≤1 <x> | 1.3 [1.0, 1.5] | – |" in to_markdown(table)
    assert r"a\_b \& 5\% $|$ $\lambda$$\leq$1 $<$x$>$ & 1.3 [1.0, 1.5] & -- \\" in to_latex(table)
    assert r"\caption{T}" in to_latex(table)
    assert r"{\footnotesize cap\_tion \#1 Runs: none" in to_latex(table)


def test_markdown_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    line = Line("a | b \\ c", {"x": "1 [0, 2]"})
    table = Table("t", "Title", "Caption.", (Column("x", "X"),), (("Group | 1", (line,)),))
    (tmp_path / "t.md").write_text(to_markdown(table), encoding="utf-8")
    found = read_markdown(tmp_path / "t.md")
    assert (found.name, found.title, found.caption, found.heading) == ("t", "Title", "Caption.", ("", "X"))
    assert found.rows == (("**Group | 1**", ""), ("a | b \\ c", "1 [0, 2]"))


def test_replacing_a_folder_leaves_nothing_beside_it(tmp_path: Path) -> None:
    replace_folder(tmp_path / "out", {"a.txt": "1"})
    replace_folder(tmp_path / "out", {"b.txt": "2"})
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["out", "out/b.txt"]


def test_bad_input_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.*; run make tables SIZE="):
        read(tmp_path / "nowhere")
    holes = shutil.copytree(folder, tmp_path / "holes")
    scores = pd.read_parquet(holes / "scores.parquet")
    scores.loc[
        (scores["run"] == "world-gkd-0") & (scores["metric"] == "kl_mean") & (scores["sample"] == 1), "value"
    ] = np.nan
    scores.to_parquet(holes / "scores.parquet", index=False)
    with pytest.raises(UserError, match="'kl_mean' is undefined for 40 of 160 sampled responses"):
        tables.main_table(read(holes))


def test_settings_stand_in_the_order_of_the_config(folder: Path, tmp_path: Path) -> None:
    """As words, 10 would come before 2; the first setting is the one that claims speak of."""
    turned = shutil.copytree(folder, tmp_path / "turned")
    index = json.loads((turned / "runs.json").read_text())
    names = {"λ=0.001": "λ=2", "λ=0.01": "λ=10"}
    for run in index["runs"]:
        run["setting"] = names.get(run["setting"], run["setting"])
    (turned / "runs.json").write_text(json.dumps(index))
    settings = [row.setting for row in read(turned).rows("world", "method") if row.method == "soft_lagrangian"]
    assert settings[:2] == ["λ=2", "λ=10"]


def test_two_methods_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    twins = shutil.copytree(folder, tmp_path / "twins")
    index = json.loads((twins / "runs.json").read_text())
    for run in index["runs"]:
        run["label"] = "CMDP" if run["method"] == "gkd" else run["label"]
    (twins / "runs.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="'cmdp' and 'gkd' are both called 'CMDP' in pair 'world'; give one of them"):
        read(twins)


def test_runs_of_a_row_with_unlike_samples_are_refused(folder: Path, tmp_path: Path) -> None:
    uneven = shutil.copytree(folder, tmp_path / "uneven")
    scores = pd.read_parquet(uneven / "scores.parquet")
    scores[(scores["run"] != "world-cmdp-0") | (scores["sample"] < 2)].to_parquet(uneven / "scores.parquet")
    with pytest.raises(UserError, match="runs of CMDP have 2\N{EN DASH}4 samples per prompt of 'same'; generate them"):
        tables.main_table(read(uneven))


def test_satisfaction_has_a_bound_a_verdict_and_the_size_of_violations(size: Collected) -> None:
    cells = cells_of(satisfaction_table(size))
    group = "Same distribution (pair world)"
    row = size.row("world", "soft_lagrangian", "λ=0.01")
    assert row is not None
    kl = size.stacked(row, "same", "kl_mean")
    assert kl is not None
    found = {column: cells[group, "GKD-GRPO λ=0.01", column] for _, r, column in cells if r == "GKD-GRPO λ=0.01"}
    assert found["verdict"]["text"] == "fails"
    assert float(found["low"]["estimate"]) == pytest.approx(100 * certify((kl <= 0.2).astype(float)).low)
    assert float(found["low_prefix"]["estimate"]) < float(found["low_mean"]["estimate"])
    assert float(found["excess"]["estimate"]) == pytest.approx((kl[kl > 0.2] - 0.2).mean())
    assert float(found["worst"]["estimate"]) == pytest.approx(np.sort(kl.ravel())[-24:].mean())
    assert float(found["se"]["estimate"]) == pytest.approx(spread(kl).error)
    assert cells[group, "Teacher", "excess"]["text"] == "no violation"
    assert [cells[group, "Teacher", key]["text"] for key in ("verdict", "prompts")] == ["undecided", "59"]


def test_violations_are_measured_in_the_pairs_reading(folder: Path) -> None:
    size = read(folder)
    size.pairs["world"] = size.pairs["world"].model_copy(update={"reading": "prefix"})
    row = size.row("world", "cmdp")
    assert row is not None
    cost, kl = (size.stacked(row, "same", f"kl_{reading}") for reading in ("prefix", "mean"))
    cells = cells_of(satisfaction_table(size))
    own = {key: cell for (group, label, key), cell in cells.items() if (group[:4], label) == ("Same", "CMDP")}
    found = {key: float(own[key]["estimate"]) for key in ("excess", "worst", "se")}
    assert found["se"] == pytest.approx(spread(kl).error)  # of the KL, which is a mean in every reading
    assert found["excess"] == pytest.approx((cost[cost > 0.2] - 0.2).mean())
    assert found["worst"] == pytest.approx(np.sort(cost.ravel())[-24:].mean())


def test_estimators_agree_in_mean_and_differ_in_variance(size: Collected) -> None:
    cells = cells_of(kl_estimators_table(size))
    group = "Same distribution (pair world)"
    row = size.row("world", "cmdp")
    assert row is not None
    exact = size.stacked(row, "same", "kl_mean")
    assert exact is not None
    for name in ("k1", "k3"):
        found = size.stacked(row, "same", f"kl_{name}")
        assert found is not None
        assert float(cells[group, "CMDP", name]["estimate"]) == pytest.approx(found.mean())
        ratio = cells[group, "CMDP", f"ratio_{name}"]
        assert float(ratio["estimate"]) == pytest.approx(found.var() / exact.var())
        assert float(ratio["low"]) < float(ratio["estimate"]) < float(ratio["high"])
    assert cells[group, "Teacher", "ratio_k1"]["text"] == "–"


def test_differences_are_against_every_other_row_and_a_gap_stays_one(size: Collected) -> None:
    cells = cells_of(differences_table(size))
    group = "Same distribution (pair world)"
    assert {row for g, row, _ in cells if g == group} == {
        "Teacher", "Student before", "GKD-GRPO λ=0.001", "GKD-GRPO λ=0.01", "GKD-GRPO λ=0.1", "GKD-GRPO λ=1", "GKD",
        "GRPO", "Mini-LLM",
    }  # fmt: skip
    assert cells[group, "GRPO", "FAC"]["text"].startswith("failed")
    main = cells_of(tables.main_table(size))
    gap = float(main[group, "CMDP", "rwr"]["estimate"]) - float(main[group, "GKD", "rwr"]["estimate"])
    assert float(cells[group, "GKD", "RWR"]["estimate"]) == pytest.approx(gap)


def test_marks_and_plain_numbers_are_printed_in_every_form() -> None:
    line = Line("r", {"x": Estimate(1.0, 0.5, 1.5, 2, 2, 1), "y": 0.25}, marks={"x": "*"})
    table = Table("t", "T", "c", (Column("x", "X"), Column("y", "Y", "", 2)), (("", (line,)),))
    assert "| r | 1.0 [0.5, 1.5]* | 0.25 |" in to_markdown(table)
    assert r"r & 1.0 [0.5, 1.5]* & 0.25 \\" in to_latex(table)
    cells = cells_of(table)
    assert (cells["", "r", "y"]["estimate"], cells["", "r", "x"]["text"]) == ("0.25", "1.0 [0.5, 1.5]*")


def test_the_win_matrix_marks_what_holm_leaves_and_the_leading_group(tmp_path: Path) -> None:
    table = tables.win_table(read(write_collected(tmp_path, seeds=1, prompts=120, steps=2)))
    cells = cells_of(table)
    group = "Same distribution (pair world)"
    assert cells[group, "CMDP", "win GRPO"]["text"].endswith("*")
    assert cells[group, "GRPO", "win CMDP"]["text"].endswith("*")
    assert float(cells[group, "CMDP", "p GRPO"]["estimate"]) < 0.05
    assert (cells[group, "CMDP", "leads"]["text"], cells[group, "GRPO", "leads"]["text"]) == ("leads", "")
