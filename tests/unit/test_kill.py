"""A killed job, started again, leaves what an undisturbed one leaves: a handful of places (all: tests/full)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killing import Kill, job, state_of
from tests.resumable import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Tiny models, and one undisturbed run of each method asked for."""
    return Study(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize(
    "kill",
    [
        Kill("torch:multinomial", 20),  # in a rollout
        Kill("torch.optim:AdamW.step", 4, "after"),  # in an update: the copies are stepped, the weights are not
        Kill("training.checkpoint:save_file", 3, "torn"),  # in the middle of a checkpoint
        Kill("training.checkpoint:Checkpoints.save", 5, "after"),  # right after one
    ],
    ids=str,
)
def test_a_killed_run_goes_on_to_the_same_bits(study: Study, kill: Kill, tmp_path: Path) -> None:
    study.assert_goes_on("dual_lagrangian", kill, tmp_path)


def test_a_damaged_checkpoint_is_found_and_the_one_before_used(study: Study, tmp_path: Path) -> None:
    out, kept, log = tmp_path / "run", tmp_path / "checkpoints", tmp_path / "log"
    arguments = study.training("dual_lagrangian", out, kept)
    assert job("training.train", arguments, log, Kill("training.train:save_policy")) == -9
    assert sorted(path.name for path in kept.iterdir()) == ["step-00000005", "step-00000006"]
    state = kept / "step-00000006" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"?")
    assert job("training.train", arguments, log) == 0
    assert "step-00000006 is not used and removed: state.safetensors is not what was written" in log.read_text()
    assert "goes on after step 5" in log.read_text()
    assert state_of(out) == study.undisturbed("dual_lagrangian")
    assert not kept.exists()


def test_killed_responses_are_generated_again(study: Study, tmp_path: Path) -> None:
    study.assert_repeats("generate", Kill("evaluation.generate:write_whole", 1, "after"), tmp_path)


def test_another_runs_checkpoint_is_not_used(study: Study, tmp_path: Path) -> None:
    kept, log = tmp_path / "checkpoints", tmp_path / "log"
    other = study.training("gkd", tmp_path / "other", kept)
    assert job("training.train", other, log, Kill("training.train:save_policy")) == -9
    assert job("training.train", study.training("dual_lagrangian", tmp_path / "run", kept), log) == 0
    assert "it is of a run with other settings" in log.read_text()
    assert state_of(tmp_path / "run") == study.undisturbed("dual_lagrangian")
