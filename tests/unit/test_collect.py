"""Collecting runs: one long table, gaps with their reasons, the same bytes for the same input."""

import json

import numpy as np
import pandas as pd
import pytest

from evaluation.collect import main
from evaluation.columns import COSTS, CURVES, METRICS, SCORES
from training.errors import UserError

FILES = ("runs.json", "scores.parquet", "curves.parquet", "costs.parquet")
COST = dict(zip(COSTS, range(1, len(COSTS) + 1), strict=True))
PAIR = {"student": "s", "teacher": "t", "threshold": {"d": 0.2, "source": "given"}, "reading": "mean"}


def entry(run, kind="method", **more):
    about = {"pair": "micro", "method": "grpo", "setting": "", "label": "GRPO", "seed": 0, "order": 1}
    return {"run": run, "kind": kind, **about, **more}


def scores(kl=0.1, rows=3):
    table = {"test": "same", "decoding": "sampled", "prompt": [f"same-{i}" for i in range(rows)], "sample": 0}
    values = dict.fromkeys(METRICS, 1.0) | dict.fromkeys([m for m in METRICS if m.startswith("kl_")], kl)
    return pd.DataFrame(table | values)


def step(number):
    return {
        "step": number, "reward": [0.0, 1.0], "length": [5, 6],
        "kl_mean": [0.1, 0.2], "kl_sum": [0.5, 1.2], "kl_prefix": [0.3, 0.4],
    }  # fmt: skip


def make_run(folder, table=None, evaluation=""):
    (folder / evaluation).mkdir(parents=True)
    (folder / "run.json").write_text('{"status": "ok", "why": ""}')
    (folder / "cost.json").write_text(json.dumps(COST))
    (folder / "curves.jsonl").write_text("".join(json.dumps(step(number)) + "\n" for number in (0, 25)))
    (scores() if table is None else table).to_parquet(folder / evaluation / "scores.parquet", index=False)
    return folder


def collect(tmp_path, *runs, out="out", **pair):
    params = {"size": "micro", "title": "Micro", "note": "", "pairs": {"micro": PAIR | pair}, "runs": list(runs)}
    folder = tmp_path / out
    main(["--params", json.dumps(params), "--runs", str(tmp_path / "runs"), "--out", str(folder)])
    index = json.loads((folder / "runs.json").read_text())
    return index, *(pd.read_parquet(folder / name) for name in FILES[1:])


def test_what_a_run_was_made_with_is_passed_on(tmp_path):
    folder = make_run(tmp_path / "runs" / "a", evaluation="eval")
    record = {
        "software": {"torch": "2", "transformers": "5", "numpy": "1"},
        "machine": {"kernels": "AVX2", "device": "cpu"},
    }
    (folder / "provenance.json").write_text(json.dumps(record))
    (folder / "eval" / "score.provenance.json").write_text(json.dumps({**record, "machine": {"device": "H100"}}))
    make_run(tmp_path / "runs" / "b")
    (tmp_path / "runs" / "b" / "provenance.json").write_text("{")
    made = [run["made"] for run in collect(tmp_path, entry("a", evaluation="eval"), entry("b"))[0]["runs"]]
    with_ = "torch 2, transformers 5"
    assert made == [[["trained", f"{with_}, AVX2, cpu"], ["scored", f"{with_}, H100"]], []]


def test_a_run_becomes_long_rows_curves_and_costs(tmp_path):
    make_run(tmp_path / "runs" / "a")
    index, long, curves, costs = collect(tmp_path, entry("a"))
    assert (index["runs"][0]["status"], index["runs"][0]["why"]) == ("ok", "")
    assert list(long.columns) == SCORES
    assert len(long) == 3 * len(METRICS)
    assert long[long["metric"] == "kl_mean"]["value"].tolist() == [0.1] * 3
    assert list(curves.columns) == CURVES
    assert curves[["step", "response", "kl_mean", "kl_prefix"]].to_numpy().tolist() == [
        [0, 0, 0.1, 0.3], [0, 1, 0.2, 0.4], [25, 0, 0.1, 0.3], [25, 1, 0.2, 0.4],
    ]  # fmt: skip
    assert costs.to_dict("records") == [{"run": "a"} | COST]


def test_what_the_plan_says_is_passed_on(tmp_path):
    make_run(tmp_path / "runs" / "a")
    index, *_ = collect(tmp_path, entry("a", label="GKD-GRPO λ=0.01", trained=True), regime={"grpo_cs_max": 0.9})
    assert index["runs"][0]["label"] == "GKD-GRPO λ=0.01"
    assert index["runs"][0]["trained"]
    assert index["pairs"]["micro"] == PAIR | {"regime": {"grpo_cs_max": 0.9}}


def test_scores_may_lie_in_a_folder_of_their_evaluation(tmp_path):
    make_run(tmp_path / "runs" / "a", evaluation="eval-1")
    index, long, *_ = collect(tmp_path, entry("a", evaluation="eval-1"))
    assert index["runs"][0]["status"] == "ok"
    assert len(long) == 3 * len(METRICS)


def test_references_and_controls_have_scores_only(tmp_path):
    (tmp_path / "runs" / "key").mkdir(parents=True)
    scores(kl=np.nan).to_parquet(tmp_path / "runs" / "key" / "scores.parquet")
    index, long, curves, costs = collect(tmp_path, entry("key", "control"))
    assert index["runs"][0]["status"] == "ok"
    assert len(curves) == len(costs) == 0
    assert set(long["metric"]) == {metric for metric in METRICS if not metric.startswith("kl_")}


def test_one_undefined_value_stays_visible(tmp_path):
    table = scores()
    table.loc[1, "kl_mean"] = np.nan
    make_run(tmp_path / "runs" / "a", table)
    long = collect(tmp_path, entry("a"))[1]
    assert long[long["metric"] == "kl_mean"]["value"].isna().tolist() == [False, True, False]


def test_a_failed_run_is_a_gap_with_its_reason(tmp_path, capsys):
    make_run(tmp_path / "runs" / "good")
    failed = make_run(tmp_path / "runs" / "bad")
    (failed / "run.json").write_text('{"status": "failed", "why": "the loss is nan at step 7"}')
    index, long, curves, costs = collect(tmp_path, entry("bad"), entry("good"))
    assert [(r["status"], r["why"]) for r in index["runs"]] == [("failed", "the loss is nan at step 7"), ("ok", "")]
    assert set(long["run"]) == set(curves["run"]) == set(costs["run"]) == {"good"}
    assert "GRPO, seed 0 (bad): failed, the loss is nan at step 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda run: (run / "run.json").unlink(), "run.json is not there"),
        (lambda run: (run / "run.json").write_text("{"), "{run}/run.json is no valid JSON"),
        (lambda run: (run / "run.json").write_text("[]"), "{run}/run.json: a JSON object is needed"),
        (lambda run: (run / "run.json").write_text("{}"), "run.json does not say how the run ended"),
        (lambda run: (run / "cost.json").unlink(), "cost.json is not there"),
        (
            lambda run: (run / "curves.jsonl").write_text('{"step": 0}\n'),
            "{run}/curves.jsonl, line 1: the key 'reward' is missing",
        ),
        (lambda run: (run / "curves.jsonl").write_bytes(b"\xff"), "{run}/curves.jsonl cannot be read"),
        (lambda run: (run / "scores.parquet").unlink(), "scores.parquet is not there"),
        (lambda run: (run / "scores.parquet").write_bytes(b"PAR1"), "scores.parquet cannot be read"),
        (lambda run: scores()[["test"]].to_parquet(run / "scores.parquet"), "scores.parquet cannot be read"),
        (lambda run: scores(rows=0).to_parquet(run / "scores.parquet"), "scores.parquet has no rows"),
    ],
)
def test_a_missing_or_damaged_file_is_a_gap_that_names_it(tmp_path, damage, why):
    run = make_run(tmp_path / "runs" / "a")
    damage(run)
    index, long, curves, costs = collect(tmp_path, entry("a"))
    assert index["runs"][0]["status"] == "missing"
    said = index["runs"][0]["why"]
    assert said.startswith(why.replace("{run}", str(run)))
    what = run / ("scores.parquet" if "scores" in why else "")
    assert said.endswith("is not there" if "not there" in why else f"; delete {what} and make the size again")
    assert len(long) == len(curves) == len(costs) == 0


def test_types_do_not_depend_on_what_was_there(tmp_path):
    make_run(tmp_path / "runs" / "a")
    full, empty = collect(tmp_path, entry("a")), collect(tmp_path, entry("absent"), out="empty")
    for with_rows, without in zip(full[1:], empty[1:], strict=True):
        assert with_rows.dtypes.to_dict() == without.dtypes.to_dict()


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for run in ("a", "b"):
        make_run(tmp_path / "runs" / run)
    for out in ("one", "two"):
        collect(tmp_path, entry("b"), entry("absent"), entry("a"), out=out)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_threshold_file_of_a_pair_is_read(tmp_path):
    file = tmp_path / "threshold.json"
    file.write_text('{"d": 0.31, "source": "calibrated: 0.9-quantile"}')
    index, *_ = collect(tmp_path, entry("absent"), threshold=str(file))
    assert index["pairs"]["micro"]["threshold"] == {"d": 0.31, "source": "calibrated: 0.9-quantile"}


@pytest.mark.parametrize(
    ("threshold", "says"),
    [("nowhere.json", "delete it and run make tables with its SIZE"), (None, "must have 'd' and 'source'")],
)
def test_a_pair_without_threshold_is_refused(tmp_path, threshold, says):
    with pytest.raises(UserError, match=says):
        collect(tmp_path, entry("absent"), threshold=threshold)
    assert not (tmp_path / "out").exists()


def test_a_damaged_threshold_file_says_what_to_do(tmp_path):
    file = tmp_path / "threshold.json"
    for text, says in (("{", "no valid JSON"), ("{}", "'d' is missing"), ('{"d": "x", "source": ""}', "'d' is 'x'")):
        file.write_text(text)
        with pytest.raises(UserError, match=f"{says}.*; delete it and run make tables with its SIZE"):
            collect(tmp_path, entry("absent"), threshold=str(file))
