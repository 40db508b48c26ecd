"""Claims: each verdict from runs made to deserve it, and what is missing is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from evaluation.claims import Claim, Finding, decide, load
from evaluation.collected import Collected, read
from evaluation.tables.claims import claims_table
from evaluation.tables.differences import differences_table
from tests.unit.synthetic import TESTS, lose, write_collected
from training.errors import UserError

Change = Callable[[pd.DataFrame], None]
ROOT = Path(__file__).parents[2]


def _size(folder: Path, change: Change = lambda scores: None, pair: str = "world", seeds: int = 1) -> Collected:
    write_collected(folder, seeds=seeds, prompts=80, steps=2, pair=pair)
    scores = pd.read_parquet(folder / "scores.parquet")
    change(scores)
    scores.to_parquet(folder / "scores.parquet", index=False)
    return read(folder)


def _set(scores: pd.DataFrame, method: str, metric: str, value: float) -> None:
    scores.loc[scores["run"].str.contains(f"-{method}-") & (scores["metric"] == metric), "value"] = value


def _all_beyond(scores: pd.DataFrame) -> None:
    """Every response of the soft Lagrangian is beyond d, none of CMDP's."""
    _set(scores, "soft_lagrangian", "kl_mean", 0.9)
    _set(scores, "cmdp", "kl_mean", 0.01)


def _claim(name: str) -> Claim:
    return next(claim for claim in load() if claim.id == name)


def _decide(name: str, size: Collected, pair: str = "world") -> Finding:
    return decide(_claim(name), size, pair, None)


def test_every_claim_of_the_paper_is_stated() -> None:
    ids = [claim.id for claim in load()]
    assert len(set(ids)) == len(ids)
    assert {name.split(",")[0] for name in ids} == {f"C{i}" for i in range(1, 10)}


def test_a_claim_needs_every_comparison(tmp_path: Path) -> None:
    found = _decide("C1", _size(tmp_path / "a", _all_beyond))
    assert found.verdict == "supported"
    assert found.number is not None
    assert found.number.mean == pytest.approx(100.0)

    def one_equal(scores: pd.DataFrame) -> None:
        _all_beyond(scores)
        equal = scores["run"].str.contains("l0.1-") & (scores["metric"] == "kl_mean")
        scores.loc[equal, "value"] = 0.01

    found = _decide("C1", _size(tmp_path / "b", one_equal))
    assert found.verdict == "undecided"
    assert "GKD-GRPO λ=0.1" in found.where
    assert "least favourable of 12" in found.where


def test_one_comparison_the_other_way_round_contradicts(tmp_path: Path) -> None:
    found = _decide("C1", _size(tmp_path, lambda scores: _set(scores, "cmdp", "kl_mean", 0.9)))
    assert found.verdict == "contradicted"
    assert found.number is not None
    assert found.number.high < 0


def test_the_margin_of_a_competitive_method_is_five_points(tmp_path: Path) -> None:
    def equal(scores: pd.DataFrame) -> None:
        for method in ("cmdp", "grpo"):
            _set(scores, method, "correct", 1.0)

    assert _decide("C3", _size(tmp_path / "a", equal)).verdict == "supported"

    def far_below(scores: pd.DataFrame) -> None:
        equal(scores)
        _set(scores, "cmdp", "correct", 0.0)

    assert _decide("C3", _size(tmp_path / "b", far_below)).verdict == "contradicted"


@pytest.mark.parametrize(("kl", "verdict"), [(0.1, "supported"), (0.3, "contradicted")])
def test_a_trained_student_is_certified(tmp_path: Path, kl: float, verdict: str) -> None:
    assert _decide("C4, trained", _size(tmp_path, lambda s: _set(s, "cmdp", "kl_mean", kl))).verdict == verdict


def test_the_certificate_beside_a_claim_is_that_of_the_worst_test_set(tmp_path: Path) -> None:
    def worse_on_longer(scores: pd.DataFrame) -> None:
        _set(scores, "cmdp", "kl_mean", 0.1)
        at = scores["run"].str.contains("-cmdp-") & scores["prompt"].isin([f"longer-{n:04d}" for n in range(20)])
        scores.loc[at & (scores["metric"] == "kl_mean"), "value"] = 0.3  # 20 of 80 prompts

    found = _decide("C4, trained", _size(tmp_path, worse_on_longer))
    assert found.verdict == "contradicted"
    assert found.where.startswith("CS, Longer chains (lowest of 3); at least ")
    assert found.number is not None
    assert found.number.mean == pytest.approx(75.0)


def test_theory_is_read_from_its_table(tmp_path: Path) -> None:
    size, claim = _size(tmp_path / "c"), _claim("C4")
    assert decide(claim, size, "world", tmp_path).verdict == "not run"
    lines = ["group,row,column,text", *(f",{key},{cost},holds" for key in ("3.1", "3.2") for cost in ("token", "kl"))]
    table = tmp_path / "theory_statements.csv"
    table.write_text("\n".join([*lines, ",3.3,token,holds", ",3.3,kl,holds"]))
    assert decide(claim, size, "world", tmp_path).verdict == "supported"
    table.write_text("\n".join([*lines, ",3.3,token,holds", ",3.3,kl,fails"]))
    found = decide(claim, size, "world", tmp_path)
    assert found.verdict == "contradicted"
    assert "3.3 holds for a fixed cost, fails for the KL" in found.where
    table.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"no statement .*correct evaluation/claims.yaml"):
        decide(claim, size, "world", tmp_path)


def test_deployment_without_a_teacher_is_what_the_generator_does(tmp_path: Path) -> None:
    found = _decide("C5", _size(tmp_path))
    assert found.verdict == "supported"
    assert "960 responses of 1 trained students" in found.where
    assert "--teacher" not in (ROOT / "evaluation" / "generate.py").read_text(encoding="utf-8")
    rule = (ROOT / "rules" / "evaluate.smk").read_text(encoding="utf-8").split("rule generate:")[1].split("\nrule ")[0]
    assert "teacher" not in rule


def test_cost_needs_the_dual_method_and_is_paired_by_seed(tmp_path: Path) -> None:
    found = _decide("C6", _size(tmp_path / "a", seeds=3))
    assert (found.verdict, found.where) == ("not run", "needs a run of dual_lagrangian")
    folder = tmp_path / "b"
    write_collected(folder, seeds=3, prompts=4, steps=2)
    index = (folder / "runs.json").read_text(encoding="utf-8")
    index = index.replace('"method": "grpo"', '"method": "dual_lagrangian"')
    (folder / "runs.json").write_text(index, encoding="utf-8")
    costs = pd.read_parquet(folder / "costs.parquet")
    costs["flops"] = [100.0 + 10.0 * int(run[-1]) for run in costs["run"]]
    costs.loc[costs["run"].str.contains("grpo"), "flops"] *= 2
    costs.to_parquet(folder / "costs.parquet", index=False)
    found = _decide("C6", read(folder))
    assert found.verdict == "supported"
    assert found.number is not None
    assert (found.number.mean, found.number.seeds) == (pytest.approx(50.0), 3)
    both = _claim("C6").model_copy(update={"against": ["dual_lagrangian", "gkd"]})
    found = decide(both, read(folder), "world", None)  # GKD costs as much as CMDP
    assert (found.verdict, found.number and found.number.mean) == ("undecided", 0.0)
    assert found.where == "% of the operations of GKD saved over the same steps"
    costs["flops"] = 1.0 / costs["flops"]
    costs.to_parquet(folder / "costs.parquet", index=False)
    assert _decide("C6", read(folder)).verdict == "contradicted"
    costs["flops"] = float("nan")
    costs.to_parquet(folder / "costs.parquet", index=False)
    assert _decide("C6", read(folder)).where == "no cost was recorded for both"


def test_numbers_of_the_paper_need_its_models_and_test_sets(tmp_path: Path) -> None:
    assert _decide("C7", _size(tmp_path / "a")).where == "needs a pair of the paper's models (qwen, llama)"
    size = _size(tmp_path / "b", pair="qwen")
    assert _decide("C7", size, "qwen").where == "needs the test set gsm8k"
    claim = _claim("C7").model_copy(update={"tests": ["same"]})
    measured = decide(claim, size, "qwen", None).number
    assert measured is not None
    row = size.row("qwen", "cmdp")
    kl = size.stacked(row, "same", "kl_mean") if row else None
    assert kl is not None
    assert measured.mean == pytest.approx(100 * (kl <= 0.2).mean())
    for value, verdict in ((measured.mean, "supported"), (measured.low - 1, "contradicted")):
        assert decide(claim.model_copy(update={"value": value}), size, "qwen", None).verdict == verdict


def test_numbers_of_the_paper_are_not_decided_by_other_models(tmp_path: Path) -> None:
    _size(tmp_path, pair="qwen")
    content = (tmp_path / "runs.json").read_text(encoding="utf-8").replace("Qwen2.5-Math-1.5B", "Qwen2.5-0.5B")
    (tmp_path / "runs.json").write_text(content, encoding="utf-8")
    found = _decide("C8", read(tmp_path), "qwen")
    assert (found.verdict, found.where) == ("not run", "needs a pair of the paper's models (qwen, llama)")


def test_a_range_is_met_missed_or_open(tmp_path: Path) -> None:
    size = _size(tmp_path, pair="qwen")
    claim = _claim("C8")
    for bounds, verdict in (((-90, 90), "supported"), ((80, 90), "contradicted")):
        assert decide(claim.model_copy(update={"range": bounds}), size, "qwen", None).verdict == verdict
    one = claim.model_copy(update={"against": ["gkd"], "tests": ["same"]})
    number = decide(one, size, "qwen", None).number
    assert number is not None
    narrow = one.model_copy(update={"range": (number.mean - 0.01, number.mean + 0.01)})
    assert decide(narrow, size, "qwen", None).verdict == "undecided"


def test_the_number_beside_a_range_is_the_estimate_farthest_out(tmp_path: Path) -> None:
    size, claim = _size(tmp_path, pair="qwen"), _claim("C8")
    single = [
        decide(claim.model_copy(update={"tests": [test], "against": [rival]}), size, "qwen", None).number
        for test, rival in product(TESTS, claim.against)
    ]
    means = [number.mean for number in single if number]
    assert len(set(means)) == 6
    for bounds, farthest in (((98.0, 99.0), min(means)), ((-99.0, -98.0), max(means)), ((-99.0, 98.0), max(means))):
        found = decide(claim.model_copy(update={"range": bounds}), size, "qwen", None)
        assert found.number is not None
        assert found.number.mean == farthest
        assert found.where.endswith("(least favourable of 6)")


def test_a_failed_run_is_not_a_verdict(tmp_path: Path) -> None:
    write_collected(tmp_path, seeds=1, prompts=4, steps=2, failed=("cmdp", "gkd"))
    size = read(tmp_path)
    found = _decide("C1", size)
    assert (found.verdict, found.number) == ("not run", None)
    assert "failed: loss became infinite at step 7" in found.where
    table = claims_table(size, None)
    verdicts = {line.cells["verdict"] for _, lines in table.groups for line in lines}
    assert verdicts == {"not run"}


def test_a_claim_about_all_rows_is_not_supported_by_those_that_are_left(tmp_path: Path) -> None:
    _size(tmp_path, _all_beyond)
    content = json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))
    gone = [run for run in content["runs"] if run["setting"] == "λ=1"]
    for run in gone:
        run.update(status="failed", why="nan")
    (tmp_path / "runs.json").write_text(json.dumps(content), encoding="utf-8")
    found = _decide("C1", read(tmp_path))
    assert gone
    assert found.verdict == "undecided"
    assert found.where.endswith("; without GKD-GRPO λ=1 (failed: nan)")


@pytest.mark.parametrize(("ours", "theirs", "verdict"), [(0.01, 0.9, "supported"), (0.9, 0.01, "contradicted")])
def test_what_is_left_of_a_row_that_lost_runs_decides_nothing(
    tmp_path: Path, ours: float, theirs: float, verdict: str
) -> None:
    def apart(scores: pd.DataFrame) -> None:
        _set(scores, "soft_lagrangian", "kl_mean", theirs)
        _set(scores, "cmdp", "kl_mean", ours)

    size = _size(tmp_path, apart, seeds=3)
    fewer = lose(size, "CMDP")
    for claim in ("C1", "C4, trained"):
        assert _decide(claim, size).verdict == verdict
        assert _decide(claim, fewer) == Finding("undecided", None, "needs every run of CMDP (1 of 3 runs)")
    assert _decide("C5", fewer).verdict == "supported"  # each response is one without a teacher


def test_a_rival_that_lost_runs_is_absent(tmp_path: Path) -> None:
    """CMDP is below one rival, λ=1, and above the others: that one alone contradicts, and only with all its runs."""

    def mixed(scores: pd.DataFrame) -> None:
        _set(scores, "soft_lagrangian", "kl_mean", 0.9)
        _set(scores, "cmdp", "kl_mean", 0.3)
        scores.loc[scores["run"].str.contains("l1-") & (scores["metric"] == "kl_mean"), "value"] = 0.01

    size = _size(tmp_path, mixed, seeds=3)
    assert _decide("C1", size).verdict == "contradicted"
    found = _decide("C1", lose(size, "GKD-GRPO λ=1"))
    assert found.verdict == "undecided"
    assert "λ=1 " not in found.where.split(";")[0]
    assert found.where.endswith("; without GKD-GRPO λ=1 (1 of 3 runs)")
    assert _decide("C1", lose(size, "GKD-GRPO λ=0.1")).verdict == "contradicted"  # by rows that lost none
    assert _decide("C3", lose(size, "GRPO")) == Finding("undecided", None, "needs every run of GRPO (1 of 3 runs)")
    labels = {line.label for _, lines in differences_table(lose(size, "CMDP")).groups for line in lines}
    assert "CMDP (1 of 3 runs) minus GRPO" in labels
    assert "GRPO" in {line.label for _, lines in differences_table(size).groups for line in lines}


def test_a_verdict_never_contradicts_the_interval_beside_it(tmp_path: Path) -> None:
    """Forty prompts of equal answers leave 8.8 points open, more than the margin, whatever a p-value of 0 says."""
    write_collected(tmp_path, seeds=1, prompts=40, steps=2)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    for method in ("cmdp", "grpo"):
        _set(scores, method, "correct", 1.0)
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    found = _decide("C3", read(tmp_path))
    assert found.number is not None
    assert found.number.low < -5.0
    assert found.verdict == "undecided"


def test_a_malformed_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text("- {id: C1, claim: x, source: y, kind: guess}")
    with pytest.raises(UserError, match="kind"):
        load(tmp_path / "claims.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "absent.yaml")
    of_kl = "- {id: C1, claim: x, source: y, kind: difference, against: [gkd], metric: kl}"
    (tmp_path / "claims.yaml").write_text(of_kl)
    with pytest.raises(UserError, match="a difference is of a rate"):
        load(tmp_path / "claims.yaml")
