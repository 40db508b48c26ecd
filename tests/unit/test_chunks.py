"""Values over the vocabulary in chunks against all logits at once."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from training.chunks import in_chunks

N, H, V = 7, 3, 11


def values(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    log_pi = logits.log_softmax(-1)
    return log_pi.gather(1, tokens[:, None])[:, 0], (log_pi.exp() * log_pi).sum(1)


def gradients(
    rows: int, width: int, bias: bool, loss: Callable[[Tensor, Tensor], Tensor], ids: Tensor
) -> list[Tensor | None]:
    torch.manual_seed(0)
    head = nn.Linear(H, V, bias=bias).double()
    hidden = torch.randn(N, H, dtype=torch.float64, requires_grad=True)
    loss(*in_chunks(values, head, width, hidden, (ids,), rows)).backward()
    return [hidden.grad, *(p.grad for p in head.parameters())]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("width", [V, V - 2])
@pytest.mark.parametrize("rows", [1, 3, N - 1])
def test_gradients_are_those_of_one_chunk(rows: int, width: int, bias: bool) -> None:
    def loss(logp: Tensor, entropy: Tensor) -> Tensor:
        weights = torch.linspace(-1, 2, N, dtype=torch.float64)  # each token counts differently
        return (weights * logp).sum() + (weights.flip(0) * entropy).square().sum()

    ids = torch.arange(N) % width
    torch.testing.assert_close(gradients(rows, width, bias, loss, ids), gradients(N, width, bias, loss, ids))


def test_a_value_that_the_loss_leaves_out_adds_nothing() -> None:
    ids = torch.zeros(N, dtype=torch.long)
    for loss in (lambda logp, entropy: logp.sum(), lambda logp, entropy: entropy.sum()):
        torch.testing.assert_close(gradients(2, V, False, loss, ids), gradients(N, V, False, loss, ids))


def test_many_chunks_of_a_bfloat16_head_lose_no_small_gradient() -> None:
    # Each token adds 1 to every entry. Summed in bfloat16, whose numbers are 2 apart above 256, it would stop there.
    head, count = nn.Linear(1, 2, bias=False).bfloat16(), 600
    in_chunks(lambda logits: (logits.sum(1),), head, 2, torch.ones(count, 1).bfloat16(), (), 1)[0].sum().backward()
    assert head.weight.grad is not None
    assert head.weight.grad.tolist() == [[count], [count]]


def test_no_logits_are_kept_for_the_backward_pass() -> None:
    kept: list[int] = []
    head, hidden = nn.Linear(H, 1000), torch.randn(64, H, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        results = in_chunks(values, head, 1000, hidden, (torch.zeros(64, dtype=torch.long),), 8)
    assert max(kept) == head.weight.numel() < 64 * 1000
    assert all(value.requires_grad for value in results)
