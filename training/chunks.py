"""Values of each token that need its whole vocabulary, without ever holding the logits of all tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

PerToken = Callable[..., tuple[Tensor, ...]]  # f(logits (n, V), others of n rows each ...): tensors of n values


def in_chunks(
    f: PerToken, head: nn.Linear, width: int, hidden: Tensor, others: Sequence[Tensor], rows: int
) -> tuple[Tensor, ...]:
    """`f(logits, *others)` of N tokens, each `(N,)`, at most `rows` tokens at a time.

    `logits` are the first `width` ids of `head(hidden)`, `hidden` `(N, H)`; the `others` have N rows and no gradient.
    With one chunk autograd keeps what it needs. With several nothing as wide as the vocabulary outlives its chunk: the
    backward pass makes the logits again, and adds each chunk's part to one gradient of the head, in float32 or better.
    """
    weight: Tensor = head.weight
    bias: Tensor | None = head.bias
    if len(weight) > width:
        weight, bias = weight[:width], None if bias is None else bias[:width]
    if len(hidden) <= rows:
        return f(linear(hidden, weight, bias), *others)
    results: tuple[Tensor, ...] = _InChunks.apply(f, rows, hidden, weight, bias, *others)
    return results


class _InChunks(torch.autograd.Function):
    """`in_chunks` for several chunks."""

    @staticmethod
    def forward(
        ctx: Any, f: PerToken, rows: int, hidden: Tensor, weight: Tensor, bias: Tensor | None, *others: Tensor
    ) -> tuple[Tensor, ...]:
        """Values of all tokens; only the inputs are kept."""
        ctx.f, ctx.rows = f, rows
        ctx.save_for_backward(hidden, weight, bias, *others)
        ctx.set_materialize_grads(False)  # a value that the loss leaves out costs nothing in the backward pass
        results = [f(linear(piece, weight, bias), *rest) for piece, *rest in _pieces(rows, hidden, *others)]
        return tuple(torch.cat(parts) for parts in zip(*results, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of hidden states, weight and bias."""
        hidden, weight, bias, *others = ctx.saved_tensors
        used = {i: gradient for i, gradient in enumerate(gradients) if gradient is not None}
        to_weight, to_bias = _zeros(weight), None if bias is None else _zeros(bias)
        to_hidden = []
        for piece, *rest in _pieces(ctx.rows, hidden, *used.values(), *others):
            given = dict(zip(used, rest, strict=False))
            to_logits = _to_logits(ctx.f, linear(piece, weight, bias), rest[len(used) :], given)
            to_hidden.append(to_logits @ weight)
            _add_product(to_weight, to_logits.T, piece)
            if to_bias is not None:
                to_bias += to_logits.sum(0)
        to_bias = None if to_bias is None else to_bias.to(bias.dtype)
        return None, None, torch.cat(to_hidden), to_weight.to(weight.dtype), to_bias, *(None for _ in others)


def _pieces(rows: int, *values: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(v.split(rows) for v in values), strict=True)


def _to_logits(f: PerToken, logits: Tensor, others: Sequence[Tensor], gradients: dict[int, Tensor]) -> Tensor:
    """Gradient of the logits from that of some of f's values, by their place."""
    with torch.enable_grad():
        results = f(logits.requires_grad_(), *others)
    places = [i for i in gradients if results[i].requires_grad]
    return torch.autograd.grad([results[i] for i in places], logits, [gradients[i] for i in places])[0]


def _zeros(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter, dtype=torch.promote_types(parameter.dtype, torch.float32))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """`total += left @ right`, without a copy of that size where the types agree."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
