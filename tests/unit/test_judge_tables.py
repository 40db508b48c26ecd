"""Win rates, order effects and agreement from verdicts small enough to count by hand."""

from __future__ import annotations

import csv
import io
import json
from copy import copy
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from evaluation.collected import Collected, read
from evaluation.controls import checks
from evaluation.pairwise import compare, judge_name, opponents, overall
from evaluation.table_files import Table, to_csv
from evaluation.tables.__main__ import all_tables
from evaluation.tables.judge_agreement import VERIFIER, Signs, agreement, kappa, outcomes
from evaluation.tables.judges import _share, judges_table
from evaluation.tables.main import main_table
from evaluation.verdicts import COLUMNS, FILE, Meeting, Verdicts, judged_samples
from tests.unit.synthetic import TESTS, write_collected
from training.errors import UserError

JUDGED = 10  # questions of each test set
nan = float("nan")


def meet(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two runs are of different rows and, where both are trained, of one seed."""
    rows_differ = (a["label"], a["setting"]) != (b["label"], b["setting"])
    return rows_differ and (a["kind"] != b["kind"] or a["seed"] == b["seed"])


def add_verdicts(folder: Path, judges: dict[str, float]) -> Path:
    """Verdicts on all rows of `folder`: the exact verifier's, each order replaced by chance with a probability."""
    rng = np.random.default_rng(3)
    runs = [run for run in json.loads((folder / "runs.json").read_text())["runs"] if run["kind"] != "control"]
    scores = pd.read_parquet(folder / "scores.parquet")
    verified = scores[(scores["metric"] == "reasoning") & (scores["decoding"] == "sampled")]
    steps = verified.set_index(["run", "prompt", "sample"])["value"].to_dict()
    met = [(a["run"], b["run"]) for a, b in combinations(runs, 2) if meet(a, b)]
    rows = []
    for judge, noise in judges.items():
        for (left, right), test, n in product([*met, (runs[1]["run"],) * 2], TESTS, range(JUDGED)):
            prompt = f"{test}-{n:04d}"
            one, other = judged_samples(left, right) if left != right else (0, 0)
            exact = float(np.sign(steps[left, prompt, one] - steps[right, prompt, other]))
            both = [float(rng.choice([1, 0, -1])) if rng.random() < noise else exact for _ in range(2)]
            about = [judge, f"model of {judge}", "world", test, prompt, left, right]
            rows.append([*about, left == right, True, *both, 10, 20])
    pd.DataFrame(rows, columns=COLUMNS).to_parquet(folder / FILE, index=False)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_collected(tmp_path_factory.mktemp("collected"), prompts=12, samples=2, steps=2)
    return add_verdicts(made, {"exact": 0.0, "noisy": 0.5})


@pytest.fixture(scope="module")
def size(folder: Path) -> Collected:
    return read(folder)


def cells(table: Table) -> dict[tuple[str, str, str], dict[str, str]]:
    return {(row["group"], row["row"], row["column"]): row for row in csv.DictReader(io.StringIO(to_csv(table)))}


def test_a_meeting_ties_where_the_orders_disagree_or_a_reply_holds_no_verdict() -> None:
    forth, back = np.array([1.0, 1, -1, 0, 1, nan, nan, 0]), np.array([1.0, -1, -1, 0, 0, 1, nan, 0])
    asked = np.array([1.0, 1, 1, 1, 1, 1, 1, 0])
    met = Meeting(forth, back, asked, np.array([10.0, 8, 7, 0, 5, 1, 1, 1]), np.array([10.0, 10, 10, 0, 4, 1, 1, 1]))
    assert met.sign.tolist() == [1, 0, -1, 0, 0, 0, 0, 0]
    assert met.parsed.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert met.flip.tolist() == [0, 1, 0, 0, 1, 0, 0, 0]
    assert met.unparsable.tolist() == [0, 0, 0, 0, 0, 1, 2, 0]
    assert met.decisive.tolist() == [2, 2, 2, 0, 1, 1, 0, 0]
    assert met.first.tolist() == [1, 2, 1, 0, 1, 0, 0, 0]  # the second always names the response shown first
    assert met.close.tolist() == [1, 1, 0, 1, 1, 1, 1, 1]
    turned = met.turned()
    assert turned.sign.tolist() == (-met.sign + 0.0).tolist()
    for name in ("parsed", "flip", "unparsable", "decisive", "first", "close"):
        assert getattr(turned, name).tolist() == getattr(met, name).tolist()


def test_a_judge_is_shown_responses_of_unlike_numbers_whichever_run_is_named_first() -> None:
    assert judged_samples("a-0", "b-0") == (0, 1)
    assert judged_samples("b-0", "a-0") == (1, 0)


def test_a_judge_that_agrees_with_the_verifier_gives_its_win_rates(size: Collected) -> None:
    row, other = size.row("world", "cmdp"), size.row("world", "grpo")
    assert row is not None
    assert other is not None
    signs = []
    for opponent in opponents(size, row):
        left, right = size.stacked(row, "same", "reasoning"), size.stacked(opponent, "same", "reasoning")
        assert left is not None
        assert right is not None
        one, another = judged_samples(row.runs[0].run, opponent.runs[0].run)
        signs.append(np.sign(left[:, :, one] - right[:, :, another])[:, :JUDGED, None])
    found = overall(size, row, "same", "exact")
    assert found is not None
    assert found.win.mean == pytest.approx(np.mean(np.stack(signs) == 1))
    assert found.loss.mean == pytest.approx(np.mean(np.stack(signs) == -1))
    assert (found.win.prompts, found.win.samples, found.win.seeds) == (JUDGED, 1, 3)


def test_the_verifier_decides_where_there_is_one_and_else_the_first_judge(size: Collected, folder: Path) -> None:
    row, other = size.row("world", "cmdp"), size.row("world", "grpo")
    assert row is not None
    assert other is not None
    exact = compare(size, row, other, "same")
    assert exact is not None
    assert exact.win.samples == 2
    assert judge_name(size) == "the exact step verifier"
    unverified = Collected.__new__(Collected)
    unverified.__dict__.update({k: v for k, v in vars(size).items() if not k.startswith("_")})
    unverified._scores = size._scores[~size._scores["metric"].isin(["reasoning", "sound"])]
    nobody = copy(unverified)
    nobody.verdicts = Verdicts(pd.DataFrame(columns=COLUMNS))
    assert judge_name(nobody) == "a verifier or a judge, of which this size has neither"
    found = compare(unverified, row, other, "same")
    assert found is not None
    assert found.win.samples == 1
    assert judge_name(unverified) == "the language-model judge 'exact' (model of exact)"
    assert "by the language-model judge 'exact' (model of exact), mean over" in main_table(unverified).caption
    assert outcomes(unverified, "world", "same", VERIFIER).signs == {}


def test_the_table_counts_wins_order_effects_and_lengths(size: Collected) -> None:
    judges = judges_table(size)
    found = cells(judges)
    group = "Same distribution (pair world), judge noisy (model of noisy)"
    row = size.row("world", "cmdp")
    assert row is not None
    met = [
        size.verdicts.meeting("noisy", "same", run.run, other.run)
        for opponent in opponents(size, row) for run, other in zip(row.runs, opponent.runs, strict=True)
    ]  # fmt: skip
    flips = np.concatenate([meeting.flip for meeting in met if meeting])
    assert len(flips) == 3 * 7 * JUDGED
    assert float(found[group, "CMDP", "flip"]["estimate"]) == pytest.approx(100 * flips.mean())
    rates = [float(found[group, "CMDP", key]["estimate"]) for key in ("rwr", "tie", "rlr")]
    assert sum(rates) == pytest.approx(100)
    assert found[group, "CMDP", "close"]["estimate"] == "0.0"
    assert found[group, "CMDP", "close_rwr"]["estimate"] == ""  # 10 tokens against 20 throughout
    assert found[group, "CMDP", "unparsable"]["estimate"] == "0.0"
    exact = "Same distribution (pair world), judge exact (model of exact)"
    flips = found[exact, "CMDP", "flip"]
    assert (flips["estimate"], flips["low"]) == ("0.0", "0.0")
    assert float(flips["high"]) == pytest.approx(100 * (1 - 0.025 ** (1 / JUDGED)))  # ten questions without a flip
    assert found[exact, "CMDP", "first"]["estimate"] == "50.0"


def test_wins_among_close_lengths_and_replies_without_a_verdict_are_counted(folder: Path, tmp_path: Path) -> None:
    """Every second question has answers of 10 and 9 tokens, every fifth no verdict in the first order."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    met = pd.read_parquet(folder / FILE)
    number = met["prompt"].str.slice(-2).astype(int)
    met.loc[number % 2 == 0, "right_tokens"] = 9
    met.loc[number % 5 == 0, "forth"] = nan
    met.to_parquet(tmp_path / FILE, index=False)
    runs = {run["run"]: run for run in json.loads((folder / "runs.json").read_text())["runs"]}
    trained = {name for name, run in runs.items() if run["kind"] == "method"}
    mine = {name for name in trained if runs[name]["method"] == "cmdp"}
    own = met[
        (met["judge"] == "noisy") & (met["test"] == "same") & met["left"].isin(trained) & met["right"].isin(trained)
    ]
    own = own[own["left"].isin(mine) != own["right"].isin(mine)]
    assert len(own) == 3 * 7 * JUDGED
    wins = (own["forth"] == own["back"]) & (own["forth"] == np.where(own["left"].isin(mine), 1.0, -1.0))
    close = own["right_tokens"] == 9
    expected = {"close": 50.0, "close_rwr": 100 * wins[close].mean(), "unparsable": 10.0}
    found = cells(judges_table(read(tmp_path)))
    for column, share in expected.items():
        cell = found["Same distribution (pair world), judge noisy (model of noisy)", "CMDP", column]
        assert float(cell["estimate"]) == pytest.approx(share), column


def test_kappa_is_cohen_s(size: Collected) -> None:
    left, right = (outcomes(size, "world", "same", judge) for judge in ("noisy", VERIFIER))
    shared = [(rows, seed) for rows in left.signs for seed in left.signs[rows]]
    assert len(shared) == 3 * (28 + 16)  # eight trained rows among themselves and against two references
    a = np.concatenate([left.signs[rows][seed] for rows, seed in shared])
    b = np.concatenate([right.signs[rows][seed][:JUDGED] for rows, seed in shared])
    found = agreement(left, right)
    assert found["kappa"].mean == pytest.approx(cohen_kappa_score(a, b))  # type: ignore[union-attr]
    assert found["kappa"].low < found["kappa"].mean < found["kappa"].high  # type: ignore[union-attr]
    assert found["agree"].mean == pytest.approx(100 * np.mean(a == b))  # type: ignore[union-attr]
    perfect = agreement(outcomes(size, "world", "same", "exact"), right)
    assert perfect["kappa"].mean == pytest.approx(1.0)  # type: ignore[union-attr]


def test_full_agreement_on_few_questions_is_not_certain() -> None:
    """As every rate of no exceptions: four questions leave open what the fifth would show."""
    signs = {("A", "B"): {0: np.array([1.0, -1, 0, 1])}, ("A", "C"): {0: np.array([1.0, 1, -1, 0])}}
    one = Signs(["a", "b", "c", "d"], signs)
    same = agreement(one, one)["agree"]
    assert (same.mean, same.high) == (100.0, 100.0)  # type: ignore[union-attr]
    assert same.low == pytest.approx(100 * 0.025 ** (1 / 4))  # type: ignore[union-attr]


def test_kappa_has_an_interval_where_nearly_all_are_ties() -> None:
    """Draws of nothing but ties leave kappa undefined; the others give its interval."""
    left, right = np.zeros(50), np.zeros(50)
    left[:3], right[:3] = (1.0, 1.0, -1.0), (1.0, 1.0, 1.0)
    prompts = [str(n) for n in range(50)]
    sides = [Signs(prompts, {("A", "B"): dict.fromkeys(range(3), signs)}) for signs in (left, right)]
    found = agreement(*sides)["kappa"]
    assert found.low < found.mean < found.high  # type: ignore[union-attr]


def test_kappa_is_undefined_where_both_always_say_the_same_and_0_by_chance() -> None:
    same = np.array([[1.0], [1], [1], [0], [0], [0], [0]])
    chance = np.array([[0.5], [0.5], [0.5], [0], [0], [0.5], [0.5]])
    assert np.isnan(kappa(same)).all()
    assert kappa(chance).tolist() == [0.0]


def test_without_judges_there_is_no_table_and_no_control(tmp_path: Path) -> None:
    plain = read(write_collected(tmp_path, prompts=6, samples=2, steps=2))
    assert not [made for made in all_tables(plain) if "judge" in made.name]
    assert not any("Judge" in check.name for check in checks(plain, "world"))


def test_a_judge_that_heeds_instructions_is_out_of_range(size: Collected, folder: Path, tmp_path: Path) -> None:
    checked = {check.name: check for check in checks(size, "world")}
    honest = checked["Judge exact, wins minus losses of instructing it"]
    assert (honest.verdict, honest.measured.mean if honest.measured else None) == ("ok", 0.0)
    frame = pd.read_parquet(folder / FILE)
    frame.loc[frame["control"], ["forth", "back"]] = 1.0
    swayed = write_collected(tmp_path, prompts=12, samples=2, steps=2)
    frame.to_parquet(swayed / FILE, index=False)
    found = [check for check in checks(read(swayed), "world") if check.name.startswith("Judge")]
    assert [check.verdict for check in found] == ["out of range"] * 2
    assert found[0].measured is not None
    assert found[0].measured.prompts == 3 * JUDGED


def test_files_that_are_no_verdicts_or_do_not_fit_each_other_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    bad = write_collected(tmp_path, prompts=6, samples=2, steps=2)
    (bad / FILE).write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"holds no readable verdicts \(.*delete it and run make tables with its SIZE"):
        read(bad)
    frame = pd.read_parquet(folder / FILE)
    torn = Verdicts(frame.drop(index=0))
    with pytest.raises(UserError, match=r"judge 'exact' saw other questions of 'same' .* judge again"):
        torn.meeting("exact", "same", "a", "b")


@pytest.mark.parametrize(("part", "low", "high"), [(0.0, 0.0, 97.5), (1.0, 2.5, 97.5), (2.0, 2.5, 100.0)])
def test_a_share_of_one_question_is_as_open_as_one_question(part: float, low: float, high: float) -> None:
    of = np.zeros((1, 20, 1))
    of[0, 3] = 2.0
    found = _share(of / 2.0 * part, of)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((50.0 * part, low, high))
