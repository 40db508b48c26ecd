"""What a plan's ids depend on, and what they do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from study import code
from study.config import Size, load_size
from study.plan import asked, make_plan
from study.planned import TASK_FILES
from study.threshold import Origin, threshold
from training.errors import UserError
from training.schema import parse


def test_runs_of_the_micro_size() -> None:
    plan = make_plan("micro")
    methods = [run for run in plan.runs.values() if run.kind == "method"]
    assert {run.method for run in methods} == {"cmdp", "soft_lagrangian", "gkd", "grpo", "minillm"}
    assert len({run.seed for run in methods}) >= 3
    assert {run.method for run in plan.runs.values()} >= {"teacher", "student", "answer_key", "always_wrong", "random"}


def test_each_training_seed_is_evaluated_with_random_numbers_of_its_own() -> None:
    plan = make_plan("micro")
    seeds = {run.seed: plan.evaluation(run.id)[1]["seed"] for run in plan.runs.values() if run.method == "cmdp"}
    assert seeds == {seed: plan.size.evaluate.seed + seed for seed in plan.size.seeds}
    others = {plan.evaluation(run.id)[1]["seed"] for run in plan.runs.values() if run.kind != "method"}
    assert others == {plan.size.evaluate.seed}


def test_tables_are_told_the_reading_of_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    size = load_size("micro")
    threshold = size.threshold.model_copy(update={"d": 4.0, "calibrate": None, "reading": "sum"})
    monkeypatch.setattr("study.plan.load_size", lambda name: size.model_copy(update={"threshold": threshold}))
    plan = make_plan("micro")
    assert {pair["reading"] for pair in plan.summary()["pairs"].values()} == {"sum"}
    assert {plan.thresholds[ids["threshold"]]["reading"] for ids in plan.pairs.values()} == {"sum"}


def test_a_pair_can_have_training_seeds_of_its_own() -> None:
    plan = make_plan("pairs")
    seeds = {(run.pair, run.seed) for run in plan.runs.values() if run.kind == "method"}
    assert seeds == {(name, pair.seeds[0] if pair.seeds else 0) for name, pair in plan.size.pairs.items()}
    assert len({seed for _, seed in seeds}) == len(plan.pairs)
    models = [pair[role] for pair in plan.pairs.values() for role in ("teacher", "student")]
    assert len(set(models)) == len(models) == 2 * len(plan.pairs)


def test_pairs_are_described_by_what_their_problems_are_made_of() -> None:
    pairs = make_plan("pairs").summary()["pairs"]
    assert len({pair["data"] for pair in pairs.values()}) == 1  # the same world for six teachers and students
    assert pairs["micro"]["data"] == make_plan("micro").summary()["pairs"]["micro"]["data"]
    assert pairs["micro"]["data"] != make_plan("smoke").summary()["pairs"]["micro"]["data"]


def test_sizes_share_what_is_equal() -> None:
    ours, micro = make_plan("pairs"), make_plan("micro")
    shared = [run for name, run in micro.runs.items() if name in ours.runs and run.kind == "method"]
    assert len(shared) == 8  # every row of micro, at its first seed


def test_the_size_shown_for_a_method_makes_nothing_else_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (code.ROOT / "docs/add_a_method.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    micro = make_plan("micro")
    shown["methods"]["minillm"] = {"lr": shown["methods"].pop("mine")["lr"]}  # any row that micro has otherwise
    monkeypatch.setattr("study.plan.load_size", lambda name: parse(Size, shown, name))
    ours = make_plan("mine")
    assert {run.method for name, run in ours.runs.items() if name not in micro.runs} == {"minillm"}
    assert ours.models.keys() <= micro.models.keys()
    assert all(ours.evaluation(run) == micro.evaluation(run) for run in ours.runs.keys() & micro.runs.keys())


def test_only_methods_that_need_the_threshold_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_plan("micro")
    load = Size.model_validate(make_plan("micro").size.model_dump(by_alias=True))
    changed = load.model_copy(update={"threshold": load.threshold.model_copy(update={"d": 9.0, "calibrate": None})})
    monkeypatch.setattr("study.plan.load_size", lambda name: changed)
    after = make_plan("micro")
    gone = {before.runs[i].method for i in before.runs.keys() - after.runs.keys()}
    assert gone == {"cmdp"}


def test_a_run_for_the_threshold_alone_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has one seed, beside rows that may have several."""
    load = load_size("smoke")
    methods = {name: given for name, given in load.methods.items() if name != "gkd"}
    monkeypatch.setattr(
        "study.plan.load_size", lambda name: load.model_copy(update={"methods": methods, "seeds": [0, 1]})
    )
    plan = make_plan("smoke")
    assert [run.seed for run in plan.runs.values() if run.method == "gkd"] == [0]
    tabled = [plan.runs[run].method for run in plan.tabled]
    assert "gkd" not in tabled
    assert tabled.count("cmdp") == 2
    assert {"teacher", "student", "random"} < set(tabled)


def test_the_student_before_ends_where_its_trained_successors_do() -> None:
    """They learn the teacher's ends, so its responses would be cut otherwise than theirs."""
    plan = make_plan("smoke")
    ends = {run.method: plan.evaluation(run.id)[1].get("ends_of") for run in plan.runs.values()}
    assert ends.pop("student") == plan.pairs["micro"]["teacher"]
    assert set(ends.values()) == {None}


def test_a_folder_of_data_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("svamp/SVAMP.json", "gsm8k/test.jsonl"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).touch()
    monkeypatch.chdir(tmp_path)
    plans = [make_plan("smollm2_cpu", root) for root in ("data", "data/", "./data", str(tmp_path / "data"))]
    assert plans[0].runs.keys() == plans[1].runs.keys() == plans[2].runs.keys()
    assert not plans[0].data.keys() & plans[3].data.keys()


def test_methods_outside_are_found_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = shutil.copytree(code.ROOT / "methods" / "gkd", tmp_path / "outside" / "mine")
    monkeypatch.chdir(tmp_path)
    size = load_size("smoke").model_copy(update={"methods": {"mine": {}, "gkd": {}}, "methods_path": [Path("outside")]})
    monkeypatch.setattr("study.plan.load_size", lambda name: size)
    with pytest.raises(UserError, match="'gkd' and 'mine' would both be called 'GKD'; give one"):
        make_plan("smoke")
    declared = (mine / "method.yaml").read_text()
    (mine / "method.yaml").write_text(declared.replace("label: GKD", "label: Teacher"))
    with pytest.raises(UserError, match="'teacher' and 'mine' would both be called 'Teacher'"):
        make_plan("smoke")
    (mine / "method.yaml").write_text(declared.replace("label: GKD", "label: Mine"))
    runs = {run.method: run for run in make_plan("smoke").runs.values()}
    assert runs["mine"].params["methods_path"] == ["outside"]
    assert runs["mine"].params["code"] == runs["gkd"].params["code"]


@pytest.mark.parametrize(
    ("name", "value"), [("micro_tokens", 1000), ("processes", 2), ("cache", "static"), ("kl_warmup", 1)]
)
def test_what_an_own_trainer_lacks_is_refused(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is computed, not by the job: in the size's settings and in a pair's own."""
    load = load_size("smoke").model_copy(update={"methods": {"gkd": {}, "trl_grpo": {}}})
    size = load.model_copy(update={"train": load.train.model_copy(update={name: value})})
    monkeypatch.setattr("study.plan.load_size", lambda _: size)
    told = f"config/smoke.yaml: pair 'micro': train.{name} is {value}, but method 'trl_grpo' brings its own trainer"
    with pytest.raises(UserError, match=f"{told}, which has no such setting; take one of the two out"):
        make_plan("smoke")
    pair = load.pairs["micro"].model_copy(update={"train": {name: value}})
    size = load.model_copy(update={"pairs": {"micro": pair}})
    with pytest.raises(UserError, match=told):
        make_plan("smoke")
    size = size.model_copy(update={"methods": {"gkd": {}}, "ablations": {}})
    assert {run.params["train"][name] for run in make_plan("smoke").runs.values() if run.params} == {value}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sise": "smoke"}, "--config has no key 'sise'; did you mean 'size'"),
        ({"size": "smoke", "dataroot": "/x"}, "--config has no key 'dataroot'; did you mean 'data_root'"),
        (
            {"data_root": 7},
            "Snakemake reads 'data_root' as 7, but it must be a text; .* a folder as ./007",
        ),
        ({"size": 1.5}, "Snakemake reads 'size' as 1.5, but it must be a text; give a name that is no number"),
        ({"size": None}, "Snakemake reads 'size' as None, but it must be a text"),
    ],
)
def test_what_snakemake_is_asked_for_is_checked(given: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        asked(given)


def test_what_snakemake_is_asked_for() -> None:
    assert asked({}) == ("micro", None)
    assert asked({"size": "smoke", "data_root": "/x"}) == ("smoke", "/x")


FORESEEN = "load_size, findings; list(findings('smollm2', load_size('smollm2'), 'h100_80gb'))"


@pytest.mark.parametrize(
    "asked", ["plan import make_plan; make_plan('extended')", f"preflight.__main__ import {FORESEEN}"]
)
def test_planning_loads_no_torch(asked: str) -> None:
    program = f"import sys; from study.{asked}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=code.ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_the_content_of_a_file_counts_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "task.yaml").write_text("λ: 1", encoding="utf-8")
    before = code.code_hash(str(tmp_path / "task.yaml"))
    code._digest.cache_clear()
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, encoding="latin-1": read(path, encoding=encoding))
    assert code.code_hash(str(tmp_path / "task.yaml")) == before


def test_white_space_comments_and_docstrings_do_not_count(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.py" for name in "abc")
    first.write_text('"""Doc."""\nx = 1\n')
    second.write_text('"""Other."""\n\n\nx   =  1  # why\n')
    third.write_text("x = 2\n")
    assert code.code_hash(str(first)) == code.code_hash(str(second))
    assert code.code_hash(str(first)) != code.code_hash(str(third))


def test_a_slip_in_a_method_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "method.py").write_text("x = 1\ndef loss(:\n")
    with pytest.raises(UserError, match=r"method\.py, line 2: no valid Python"):
        code.code_hash(str(tmp_path / "method.py"))


def test_imports_are_followed() -> None:
    files = set()
    waiting = [code.ROOT / "training" / "train.py"]
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting += code._imports(path)
    names = {path.stem for path in files}
    assert {"train", "loop", "batch", "divergence", "constraint", "answers"} <= names
    assert not any("evaluation" in path.parts for path in files)


def test_a_given_threshold_is_passed_on() -> None:
    assert threshold(Origin(d=0.2), None) == {"d": 0.2, "source": "given"}


def test_a_calibrated_threshold_is_the_quantile_of_the_last_measurement(tmp_path: Path) -> None:
    curves = tmp_path / "curves.jsonl"
    first = '{"reward": [1], "kl_mean": [9], "kl_sum": [9]}'
    last = '{"reward": [1, 0, 1], "kl_mean": [0.1, 0.3, 0.2], "kl_sum": [4, 8, 6]}'
    curves.write_text(f"{first}\n{last}\n")
    params = Origin(calibrate=0.75, reading="sum", run="gkd")
    found = threshold(params, curves)
    assert found["d"] == pytest.approx(7.0)
    assert "0.75-quantile of 3 responses of run gkd" in found["source"]
    curves.write_text("")
    with pytest.raises(UserError, match="no measurement"):
        threshold(params, curves)


def test_the_fingerprint_of_a_plan_changes_with_its_evaluations_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan("smoke")
    first = plan.fingerprint()
    assert first == make_plan("smoke").fingerprint()
    monkeypatch.setattr("study.planned.TASK_FILES", TASK_FILES[1:])
    assert plan.fingerprint() != first
    monkeypatch.undo()
    plan.runs.popitem()
    assert plan.fingerprint() != first


def test_all_task_files_are_part_of_an_evaluation() -> None:
    held = [file for file in (code.ROOT / "evaluation" / "tasks").rglob("*") if file.suffix in {".yaml", ".py"}]
    assert {*TASK_FILES, "evaluation/tasks/__init__.py"} == {str(file.relative_to(code.ROOT)) for file in held}
