"""Checkpoints: random states go on; one that was gone on from lets go of its file, one that stays stops nothing."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.test_loop import trainer
from training import checkpoint
from training.state import restore, snapshot

MAPS = Path("/proc/self/maps")


def files_in_use() -> str | None:
    """What the system says of the files that this process has mapped; None where it does not say (it is no Linux)."""
    return MAPS.read_text() if MAPS.exists() else None


def test_a_run_that_goes_on_holds_nothing_of_its_checkpoint(tmp_path: Path) -> None:
    """Else the removed file would take disk space until the run ends. A method may keep the tensors it is given."""
    made, other = trainer("cmdp"), trainer("cmdp", seed=1)
    made.update(0)
    made.method.state_dict = lambda: {"kept": torch.arange(3.0)}  # type: ignore[method-assign]
    taken: dict[str, Any] = {}
    other.method.load_state_dict = taken.update  # type: ignore[method-assign]
    kept = checkpoint.Checkpoints(tmp_path, {}, ())
    kept.save(1, *snapshot(made))
    saved = kept.newest()
    assert saved is not None
    given = {tensor.untyped_storage().data_ptr() for tensor in saved.tensors.values()}
    before, resumed, after = files_in_use(), restore(other, saved), files_in_use()
    held = [*other.student.parameters(), *other.optimizer.tensors().values(), taken["kept"]]
    assert resumed == 1
    assert not given & {tensor.untyped_storage().data_ptr() for tensor in held}
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert str(tmp_path) in before
        assert str(tmp_path) not in after
    assert saved.tensors == {}
    assert taken["kept"].tolist() == [0.0, 1.0, 2.0]
    for key, value in made.optimizer.tensors().items():
        torch.testing.assert_close(other.optimizer.tensors()[key], value, rtol=0, atol=0)


def test_the_random_states_of_all_libraries_go_on_where_they_were(tmp_path: Path) -> None:
    """A method may draw from any of them."""
    made = trainer("cmdp")

    def drawn() -> list[float]:
        return [random.random(), float(np.random.standard_normal()), float(torch.rand(1))]

    drawn()
    kept = checkpoint.Checkpoints(tmp_path, {}, ())
    kept.save(1, *snapshot(made))
    expected, saved = drawn(), kept.newest()
    assert saved is not None
    restore(made, saved)
    assert drawn() == expected


def test_a_checkpoint_that_cannot_be_removed_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, where a file in use leaves another one in its folder."""
    remove = shutil.rmtree

    def stuck(path: Path, **more: Any) -> None:
        if path.name == "step-00000001":
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        remove(path, **more)

    monkeypatch.setattr(shutil, "rmtree", stuck)
    kept = checkpoint.Checkpoints(tmp_path, {}, ())
    for step in (1, 2, 3, 4):
        kept.save(step, {"weight": torch.ones(2)}, {})
    said = capsys.readouterr().err
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["1", "3", "4"]
    assert f"checkpoint {tmp_path}/step-00000001 cannot be removed (" in said
    assert "no checkpoint" not in said


def test_a_damaged_checkpoint_that_cannot_be_removed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoint.Checkpoints(tmp_path, {}, ())
    for step in (1, 2):
        kept.save(step, {"weight": torch.ones(2)}, {})
    (tmp_path / "step-00000002" / "state.json").write_text("{}")

    def stuck(path: Path, **_: Any) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))

    monkeypatch.setattr(shutil, "rmtree", stuck)
    saved = kept.newest()
    assert saved is not None
    assert saved.step == 1
