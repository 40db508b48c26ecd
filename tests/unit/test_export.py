"""Which run is exported, and what its model card says."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evaluation.collected import Collected, read
from evaluation.export import choose, export, main
from tests.unit.synthetic import write_collected
from tests.unit.tiny_models import tiny_policy
from training.errors import UserError, cli

RECORD = {
    "method": "cmdp", "settings": {"n": 20.0}, "train": {"steps": 6, "max_new_tokens": 64}, "code": "abc",
    "inputs": {"data": "world-1"}, "seed": 1,
}  # fmt: skip
SAMPLE = {
    "test": "same", "decoding": "sampled", "prompt_id": "a-1", "sample": 0, "prompt": 'say "one"\n', "answer": "1",
    "response": "1", "tokens": [1], "finished": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return read(write_collected(tmp_path_factory.mktemp("size"), seeds=2, prompts=10, steps=2, failed=("grpo",)))


def make_run(runs: Path, run: str) -> Path:
    """The files of a run that an export reads."""
    tiny_policy(runs / run / "policy", seed=0)
    (runs / run / "run.json").write_text(json.dumps(RECORD))
    (runs / run / "samples.jsonl").write_text(json.dumps(SAMPLE) + "\n")
    return runs


def test_a_run_is_chosen_by_method_setting_and_seed(size: Collected) -> None:
    assert choose(size, method="cmdp", seed=1).run == "world-cmdp-1"
    assert choose(size, method="soft_lagrangian", setting="λ=0.1", seed=0).run == "world-soft_lagrangian-l0.1-0"
    assert choose(size, run="world-gkd-0").method == "gkd"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"method": "cmpd"}, "did you mean 'cmdp'"),
        ({"method": "cmdp", "seed": 7}, "no trained run with method cmdp, seed 7"),
        ({"method": "cmdp", "setting": "λ=1"}, "not together"),
        ({"method": "cmdp"}, "fits 2 runs .* world-cmdp-0, world-cmdp-1"),
        ({"method": "grpo", "seed": 0}, "left no model .loss became infinite"),
        ({"run": "world-teacher-0"}, "no trained run"),
    ],
)
def test_a_wrong_choice_is_one_sentence(size: Collected, asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        choose(size, **asked)


def test_the_card_carries_scores_provenance_and_licence(size: Collected, tmp_path: Path) -> None:
    run = choose(size, method="cmdp", seed=1)
    export(size, run, make_run(tmp_path / "runs", run.run), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "other"
    assert front["pipeline_tag"] == "text-generation"
    lines = [line for line in card.splitlines() if line.startswith("| Longer chains")]
    assert len(lines) == 1
    assert lines[0].count("[") == 4, "each score has its interval"
    assert lines[0].endswith("| 10 × 4 |")
    for said in (
        "`world-cmdp-1`",
        "n = 20.0",
        "`teacher of the world`",
        "training seed | 1",
        "`world-1`",
        "d of CS above | 0.2 nats",
        "threshold trained for | ",
    ):
        assert said in card, said
    assert "prompt = 'say \"one\"\\n'" in card
    assert (tmp_path / "out" / "config.json").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == RECORD


def test_nothing_is_overwritten_and_gone_files_are_one_sentence(size: Collected, tmp_path: Path) -> None:
    run = choose(size, method="cmdp", seed=0)
    with pytest.raises(UserError, match=r"run.json cannot be read .* make it again: make tables SIZE=tiny"):
        export(size, run, tmp_path / "runs", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    make_run(tmp_path / "runs", run.run)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(UserError, match="there already"):
        export(size, run, tmp_path / "runs", tmp_path / "out")


def test_a_policy_that_needs_its_teacher_is_not_exported(size: Collected, tmp_path: Path) -> None:
    run = choose(size, method="cmdp", seed=0)
    (make_run(tmp_path / "runs", run.run) / run.run / "policy" / "budget.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="which takes the teacher; export another method"):
        export(size, run, tmp_path / "runs", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def put(name: str, content: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text(content)


def cut(name: str) -> Callable[[Path], object]:
    return lambda run: os.truncate(run / name, (run / name).stat().st_size // 2)


def remove(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).unlink()


DAMAGES = [
    (cut("policy/model.safetensors"), "policy holds no whole model"),
    (put("policy/model.safetensors", ""), "policy holds no whole model"),
    (remove("policy/model.safetensors"), "holds no weights"),
    (remove("policy/tokenizer.json"), "holds no tokenizer"),
    (put("run.json", "{}"), "run.json lacks what a card tells"),
    (put("run.json", json.dumps({**RECORD, "train": 3})), "run.json lacks what a card tells"),
    (put("run.json", "[]"), "run.json: a JSON object is needed, not list"),
    (put("samples.jsonl", "{}\n"), "samples.jsonl, line 1: the key 'test' is missing"),
    (put("samples.jsonl", "[]\n"), "samples.jsonl, line 1: a JSON object is needed"),
    (put("samples.jsonl", ""), "samples.jsonl is empty"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_a_damaged_run_is_not_exported(
    size: Collected, tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    run = choose(size, method="cmdp", seed=0)
    damage(make_run(tmp_path / "runs", run.run) / run.run)
    with pytest.raises(UserError, match=told) as refused:
        export(size, run, tmp_path / "runs", tmp_path / "out")
    assert "make tables" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_full_disk_leaves_nothing_half_and_is_one_sentence(
    size: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = choose(size, method="cmdp", seed=0)
    make_run(tmp_path / "runs", run.run)

    def full(source: str, target: str, **_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(SystemExit) as ended:
            cli(lambda _: export(size, run, tmp_path / "runs", tmp_path / "out"))
    said = capsys.readouterr().err.splitlines()[-1]  # below the bar of loading a model
    assert ended.value.code == 2
    assert said.startswith("error: ")
    assert "No space left on device; free disk space and start again" in said
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    (tmp_path / "out").mkdir()  # empty: may be filled
    export(size, run, tmp_path / "runs", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_place_that_cannot_be_made_is_one_sentence(size: Collected, tmp_path: Path) -> None:
    run = choose(size, method="cmdp", seed=0)
    make_run(tmp_path / "runs", run.run)
    for place in (Path("/proc/x/y"), tmp_path / "runs" / run.run / "run.json" / "x"):
        with pytest.raises(UserError, match=r"cannot be made \(.*; name another folder with OUT"):
            export(size, run, tmp_path / "runs", place)


@pytest.mark.parametrize(
    ("given", "told"), [(["--out", ""], "OUT is empty"), (["--out", "o", "--seed", "x"], "SEED is 'x', but must be a")]
)
def test_a_wrong_variable_is_one_sentence(given: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        main(["--collected", "c", *given])


def test_a_size_that_was_never_made_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "built" / "micro" / "collected"
    with pytest.raises(UserError, match=r"not a readable collected size .*; run make tables SIZE=micro"):
        main(["--collected", str(folder), "--method", "cmdp", "--out", "o"])
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="; delete it and run make tables SIZE=micro"):
        main(["--collected", str(folder), "--method", "cmdp", "--out", "o"])
