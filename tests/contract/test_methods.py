"""What every loss must keep, a stranger's too. A failure says which file to change and how.

Folders that bring their own `train(run)` have no loss to look at; `test_training.py` is what they must keep. Which
folders: see `conftest.py`.
"""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch

from tests import tiny
from training.batch import Batch
from training.folders import Folder
from training.method import Method
from training.rollout import Rollouts

LENGTHS = [4, 1, 6, 2, 3, 0, 6, 1]
TOLERANCE = 2e-6  # of the largest entry, and of 1: what rounding in float32 may add to any entry

pytestmark = pytest.mark.needs_loss


def make(folder: Folder) -> Method:
    """The method with its default settings and a threshold that splits the test batch."""
    threshold = 1.0 if folder.declares.needs.threshold else None
    return folder.load()(folder.grid({}, "contract")[0], threshold)


def make_batch(
    folder: Folder, student: object, rolled: Rollouts, rows: torch.Tensor | slice | None = None, **more: int
) -> Batch:
    teacher = tiny.llama(2).requires_grad_(False) if folder.declares.needs.teacher else None
    rewards, group = torch.tensor([1.0, 0, 0, 1, 0, 0, 1, 0]), torch.arange(2).repeat_interleave(4)
    rows = slice(None) if rows is None else rows
    return Batch(rolled.rows(rows), rewards[rows], group[rows], student, teacher, **more)


def usual() -> Rollouts:
    return tiny.rollouts([3, 3, 3, 3, 5, 5, 5, 5], LENGTHS)


def loss_and_gradient(
    folder: Folder, rolled: Rollouts, rows: torch.Tensor | None = None, **more: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, gradient, and the statistics in the order of their names."""
    student = tiny.llama(1)
    loss, statistics = make(folder).loss(make_batch(folder, student, rolled, rows, **more))
    return loss.detach(), tiny.gradients(student, loss), torch.tensor([statistics[name] for name in sorted(statistics)])


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to rounding: entries of a gradient are sums that cancel, with errors of the largest one's size."""
    return torch.allclose(a, b, rtol=2e-3, atol=TOLERANCE * max(1.0, b.abs().max().item()))


def expect_same(folder: Folder, what: str, found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    for name, a, b in zip(("loss", "gradient", "statistics"), found, expected, strict=True):
        assert close(a, b), (
            f"{folder.path / 'method.py'}: the {name} changes with {what} (by up to {(a - b).abs().max():.2g}); "
            "use batch.mean for token means, batch.mask for sums, and couple rows of one group only"
        )


def test_loss_is_a_finite_scalar_with_finite_gradient(folder: Folder) -> None:
    loss, gradient, _ = loss_and_gradient(folder, usual())
    assert loss.shape == (), f"{folder.path / 'method.py'}: loss(batch) must return a scalar, not {tuple(loss.shape)}"
    assert torch.isfinite(loss), (
        f"{folder.path / 'method.py'}: the loss is {loss}; an empty response must not divide by 0"
    )
    assert torch.isfinite(gradient).all(), f"{folder.path / 'method.py'}: the gradient is not finite"
    assert gradient.abs().max() > 0, f"{folder.path / 'method.py'}: nothing is learnt, the gradient is 0"


def test_declared_statistics_are_delivered_as_plain_finite_numbers(folder: Folder) -> None:
    _, statistics = make(folder).loss(make_batch(folder, tiny.llama(1), usual()))
    declared = folder.declares.statistics
    assert statistics.keys() == declared.keys(), (
        f"{folder.path / 'method.yaml'} declares the statistics {sorted(declared)}, but loss(batch) returns "
        f"{sorted(statistics)}; name each with its meaning under 'statistics', or return it"
    )
    for name, value in statistics.items():
        assert isinstance(value, float), f"{folder.path / 'method.py'}: statistic '{name}' must be a float (.item())"
        assert value - value == 0, f"{folder.path / 'method.py'}: statistic '{name}' is {value}; it must be finite"


def test_padding_changes_nothing(folder: Folder) -> None:
    rolled = usual()
    wide = Rollouts(
        torch.cat([torch.full((8, 3), tiny.PAD), rolled.prompt], 1),
        torch.cat([torch.zeros(8, 3, dtype=torch.long), rolled.prompt_mask], 1),
        torch.cat([rolled.response, torch.full((8, 2), tiny.PAD)], 1),
        torch.cat([rolled.mask, torch.zeros(8, 2, dtype=torch.bool)], 1),
        rolled.finished,
    )
    expect_same(folder, "padding", loss_and_gradient(folder, wide), loss_and_gradient(folder, rolled))


def test_what_stands_under_the_padding_changes_nothing(folder: Folder) -> None:
    rolled = usual()
    filled = replace(
        rolled,
        response=torch.where(rolled.mask, rolled.response, 7),
        prompt=torch.where(rolled.prompt_mask.bool(), rolled.prompt, 9),
    )
    expect_same(folder, "the ids under padding", loss_and_gradient(folder, filled), loss_and_gradient(folder, rolled))


def test_order_of_rows_changes_nothing(folder: Folder) -> None:
    torch.manual_seed(0)
    shuffled = loss_and_gradient(folder, usual(), torch.randperm(8))
    expect_same(folder, "the order of rows", shuffled, loss_and_gradient(folder, usual()))


def test_micro_batches_of_whole_groups_add_up(folder: Folder) -> None:
    halves = [loss_and_gradient(folder, usual(), torch.arange(a, a + 4)) for a in (0, 4)]
    mean = tuple((a + b) / 2 for a, b in zip(*halves, strict=True))
    expect_same(folder, "the split into micro-batches", mean, loss_and_gradient(folder, usual()))


@pytest.mark.parametrize("tile", [1, 4])
def test_vocabulary_tiles_change_nothing(folder: Folder, tile: int) -> None:
    pieces = loss_and_gradient(folder, usual(), tile=tile)
    expect_same(folder, "the number of tokens whose logits exist at a time", pieces, loss_and_gradient(folder, usual()))


def test_prompt_tokens_do_not_count(folder: Folder) -> None:
    """Only through the hidden states: with a student that ignores its context, prompts change nothing."""
    rolled, student = usual(), tiny.llama(1)
    for layer in student.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    other = replace(rolled, prompt=torch.where(rolled.prompt_mask.bool(), rolled.prompt.flip(0), tiny.PAD))
    other.prompt[:, -1] = rolled.prompt[:, -1]
    found = []
    for these in (rolled, other):
        batch = make_batch(folder, student, these)
        batch._teacher = student if folder.declares.needs.teacher else None
        found.append((make(folder).loss(batch)[0].detach(),))
    for a, b in zip(*found, strict=True):
        assert close(a, b), f"{folder.path / 'method.py'}: prompt tokens take part in the loss"


def test_the_teacher_gets_no_gradient(folder: Folder) -> None:
    teacher = tiny.llama(2)
    batch = make_batch(folder, tiny.llama(1), usual())
    batch._teacher = teacher if folder.declares.needs.teacher else None
    make(folder).loss(batch)[0].backward()
    assert all(p.grad is None for p in teacher.parameters()), f"{folder.path / 'method.py'}: gradient into the teacher"


def moved(folder: Folder) -> Method:
    """The method after three updates."""
    method = make(folder)
    for _ in range(3):
        _, statistics = method.loss(make_batch(folder, tiny.llama(1), usual()))
        method.after_update({"loss": 0.0, **statistics})
    return method


def test_a_checkpoint_holds_all_that_moves(folder: Folder) -> None:
    """Through a file and back: the copy states the same and computes the same loss."""
    method, copy, file = moved(folder), make(folder), io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    copy.load_state_dict(torch.load(file, weights_only=True))
    losses = [made.loss(make_batch(folder, tiny.llama(1), usual()))[0].item() for made in (method, copy)]
    assert (losses[0], str(method.state_dict())) == (losses[1], str(copy.state_dict())), (
        f"{folder.path / 'method.py'}: after a checkpoint the loss is {losses[1]:.6g} and not {losses[0]:.6g}; return "
        "all that after_update changes in state_dict, and take it up in load_state_dict"
    )


def test_only_an_update_moves_the_state(folder: Folder) -> None:
    """`loss` runs once per micro-batch: state that it moved would depend on how an update is split."""
    method = moved(folder)
    before = str(method.state_dict())
    losses = [method.loss(make_batch(folder, tiny.llama(1), usual()))[0].item() for _ in range(2)]
    assert (losses[0], before) == (losses[1], str(method.state_dict())), (
        f"{folder.path / 'method.py'}: loss(batch) changes the method's state; move it in after_update(statistics)"
    )
