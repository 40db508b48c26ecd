"""Which run is exported, and what its model card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from evaluation.collected import Collected, read
from evaluation.export import choose, export
from tests.unit.synthetic import write_collected
from training.errors import UserError

RECORD = {
    "method": "cmdp", "settings": {"n": 20.0}, "train": {"steps": 6, "max_new_tokens": 64}, "code": "abc",
    "inputs": {"data": "world-1"}, "seed": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return read(write_collected(tmp_path_factory.mktemp("size"), seeds=2, prompts=10, steps=2, failed=("grpo",)))


def make_run(runs: Path, run: str) -> Path:
    """The files of a run that an export reads."""
    (runs / run / "policy").mkdir(parents=True)
    (runs / run / "policy" / "config.json").write_text("{}")
    (runs / run / "run.json").write_text(json.dumps(RECORD))
    (runs / run / "samples.jsonl").write_text(json.dumps({"prompt": 'say "one"\n'}) + "\n")
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
    with pytest.raises(UserError, match="not whole"):
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
