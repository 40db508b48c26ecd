"""Kill (SIGKILL) every job at many points, start it again, and compare what it leaves with an undisturbed one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.killing import Kill, job, state_of
from tests.resumable import BUDGETS, Study

MOMENTS = [
    Kill("training.train:Report._measure", 1, "after"),
    Kill("training.loop:generate", 1),
    Kill("training.loop:generate", 4, "after"),
    Kill("torch:multinomial", 9),
    Kill("torch:multinomial", 33),
    Kill("training.loop:task_rewards", 3),
    Kill("training.loop:Batch", 2),
    Kill("training.loop:Trainer._loss", 5, "after"),
    Kill("torch:Tensor.backward", 2),
    Kill("torch:Tensor.backward", 4, "after"),
    Kill("torch.nn.utils:clip_grad_norm_", 3),
    Kill("torch.optim:AdamW.step", 3),
    Kill("torch.optim:AdamW.step", 5, "after"),
    Kill("training.optimizer:AdamW.step", 2, "after"),
    Kill("training.train:_append", 4),
    Kill("training.train:_append", 5, "torn"),
    Kill("training.monitor:Monitor.measure", 2),
    Kill("training.monitor:Monitor.measure", 3, "after"),
    Kill("training.train:snapshot", 2),
    Kill("training.train:snapshot", 4, "after"),
    Kill("training.checkpoint:save_file", 1, "torn"),
    Kill("training.checkpoint:save_file", 5, "torn"),
    Kill("training.checkpoint:shutil.copyfile", 4),
    Kill("training.checkpoint:digest", 10),
    Kill("training.checkpoint:flush", 2),
    Kill("training.checkpoint:flush", 17),
    Kill("pathlib:Path.rename", 1),
    Kill("pathlib:Path.rename", 3),
    Kill("pathlib:Path.rename", 4, "after"),
    Kill("training.checkpoint:Checkpoints.save", 1, "after"),
    Kill("training.checkpoint:Checkpoints.save", 3, "after"),
    Kill("training.checkpoint:Checkpoints.save", 6, "after"),
    Kill("training.train:save_policy", 1),
    Kill("training.train:save_policy", 1, "after"),
    Kill("training.train:write_whole", 1),
]

JOBS = [
    ("generate", Kill("evaluation.policy_lm:generate", 3)),
    ("generate", Kill("evaluation.generate:write_whole", 1)),
    ("generate", Kill("training.files:flush", 1)),
    ("generate", Kill("evaluation.generate:write_whole", 2)),
    ("generate", Kill("evaluation.generate:write_whole", 2, "after")),
    ("score", Kill("training.batch:token_kl", 2)),
    ("score", Kill("evaluation.score:write_whole", 1)),
    ("score", Kill("evaluation.score:write_whole", 1, "after")),
    ("score", Kill("training.files:flush", 3)),
    ("collect", Kill("pandas:DataFrame.to_parquet", 1)),
    ("collect", Kill("pandas:DataFrame.to_parquet", 3, "after")),
    ("tables", Kill("pathlib:Path.write_text", 7, "torn")),
    ("tables", Kill("pathlib:Path.rename", 1)),
    ("tables", Kill("pathlib:Path.rename", 1, "after")),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Tiny models, and one undisturbed state of each job asked for."""
    return Study(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize(("place", "kill"), enumerate(MOMENTS), ids=map(str, MOMENTS))
def test_a_killed_run_goes_on_to_the_same_bits(study: Study, place: int, kill: Kill, tmp_path: Path) -> None:
    """Methods take turns; every second time the outputs are left lying as the killed job left them."""
    method = list(BUDGETS)[place % len(BUDGETS)]
    study.assert_goes_on(method, kill, tmp_path, outputs_removed=place % 2 == 0)


def test_a_run_killed_again_and_again_arrives(study: Study, tmp_path: Path) -> None:
    out, kept, log = tmp_path / "run", tmp_path / "checkpoints", tmp_path / "log"
    arguments = study.training("dual_lagrangian", out, kept)
    kills = 0
    while job("training.train", arguments, log, Kill("training.loop:generate", 2)) == -9:  # one update each time
        kills += 1
    assert kills == 5
    assert state_of(out) == study.undisturbed("dual_lagrangian")


@pytest.mark.parametrize(("name", "kill"), JOBS, ids=[f"{name}-{kill}" for name, kill in JOBS])
def test_a_killed_evaluation_job_is_repeated(study: Study, name: str, kill: Kill, tmp_path: Path) -> None:
    study.assert_repeats(name, kill, tmp_path)
