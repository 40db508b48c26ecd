"""Values of each token that need its whole vocabulary, without ever holding the logits of all tokens.

Tokens are taken in pieces of two sizes. The products with the output layers are fast with many rows, so the tokens of a
tile share them; their logits lie in one buffer for each model, which the next tile uses again. What comes after passes
many times over the same numbers, which is fast while they stay in a processor's cache: it is done for a slice of the
tile at a time, and the gradient of a slice's logits takes their place in the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from training.divergence import log_policy

TILE = 2**24  # logits of a tile (tokens x vocabulary), 64 MiB in float32, and as many of the teacher
LEAST_ROWS = 512  # of a tile, whatever the vocabulary: with fewer, products and the weight's gradient slow down
SLICE = 2**18  # logits of a slice on a CPU: some copies of them stay in a core's cache
LARGE_SLICE = 2**22  # elsewhere, where many small kernels would take longer than what they compute

# f(log pi (n, V), log mu (n, V) or None, others of n rows ...): values (n,) of n tokens. The first is of pi alone;
# where mu is None the others mean nothing.
PerToken = Callable[..., tuple[Tensor, ...]]


class Output(NamedTuple):
    """Hidden states `(N, H)` of N tokens and the layer that makes logits of them: weight `(V, H)`, bias `(V,)`."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None

    def of(self, index: Tensor) -> Output:
        """The same of some of the tokens."""
        return self._replace(hidden=self.hidden[index])

    def buffer(self, rows: int) -> Tensor:
        """Room `(rows, V)` for the logits of so many tokens, in the type of the hidden states."""
        return self.hidden.new_empty(rows, len(self.weight))

    def logits(self, rows: slice, buffer: Tensor) -> Tensor:
        """Logits `(n, V)` of the n tokens `rows`, in the first rows of the buffer."""
        hidden, into = self.hidden[rows], buffer[: rows.stop - rows.start]
        if self.bias is None:
            return torch.mm(hidden, self.weight.T, out=into)
        return torch.addmm(self.bias, hidden, self.weight.T, out=into)


@dataclass(frozen=True)
class Asked:
    """What is asked of N tokens: `f` of the student's policy, the teacher's `mu` and `others` (N rows, no gradient)."""

    f: PerToken
    mu: Output | None
    others: tuple[Tensor, ...]
    rows: int | None  # tokens of a tile; None: all at once, autograd keeps what it needs and nothing is made twice

    def of(self, index: Tensor, with_teacher: bool) -> Asked:
        """The same of some of the tokens."""
        mu = self.mu.of(index) if self.mu and with_teacher else None
        return replace(self, mu=mu, others=tuple(values[index] for values in self.others))


def tile_rows(tokens: int, width: int) -> int | None:
    """Tokens of a tile, by their number and the size of the vocabulary; None where one tile holds them all."""
    return None if tokens * width <= TILE else max(LEAST_ROWS, TILE // width)


def per_token(asked: Asked, pi: Output) -> tuple[Tensor, ...]:
    """`f` of all tokens: values `(N,)` each, with gradient in `pi`.

    In pieces, logits are made again in the backward pass: six products of all tokens with a vocabulary. Those of tokens
    without gradient are left out, and the teacher's where only f's first value has one.
    """
    if asked.rows is not None:
        results: tuple[Tensor, ...] = _PerToken.apply(asked, *pi)
        return results
    with torch.no_grad():
        log_mu = None if asked.mu is None else log_policy(linear(*asked.mu))
    return asked.f(log_policy(linear(*pi)), log_mu, *asked.others)


def weighted_sum(asked: Asked, pi: Output, weights: Tensor) -> Tensor:
    """Sum over tokens of `weights` `(N,)` times f's last value, with gradient in `pi`; always in pieces.

    Value and gradient are made together, since the weights are known: four products in place of six.
    """
    total: Tensor = _WeightedSum.apply(asked, weights, *pi)
    return total


class _PerToken(torch.autograd.Function):
    """`per_token` in pieces."""

    @staticmethod
    def forward(ctx: Any, asked: Asked, *pi: Tensor) -> tuple[Tensor, ...]:
        """Values of all tokens; only the inputs are kept."""
        ctx.asked = asked
        ctx.save_for_backward(*pi)
        ctx.set_materialize_grads(False)  # a value that the loss leaves out costs nothing
        found = _Found(len(pi[0]))
        for tile in _tiles(asked, Output(*pi)):
            for at, logits, rest in _slices(asked, tile):
                found.put(at, asked.f(log_policy(logits), *rest))
        return tuple(found.values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of hidden states, weight and bias."""
        total = _Total(Output(*ctx.saved_tensors))
        joint = total.tokens_of(gradients[1:])
        alone = total.tokens_of(gradients[:1]) & ~joint
        for chosen, given in ((joint, gradients), (alone, gradients[:1])):
            if chosen.any():
                total.add(ctx.asked, chosen.nonzero()[:, 0], given)
        return None, *total.gradients()


class _WeightedSum(torch.autograd.Function):
    """`weighted_sum` in pieces."""

    @staticmethod
    def forward(ctx: Any, asked: Asked, weights: Tensor, *pi: Tensor) -> Tensor:
        """The sum; its gradient is kept."""
        total, every = _Total(Output(*pi)), torch.arange(len(weights), device=weights.device)
        values = total.add(asked, every, (None, None, weights))
        ctx.save_for_backward(*total.gradients())
        return (weights * values[-1]).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """What was made before, times the sum's own gradient."""
        return None, None, *(None if g is None else g * gradient for g in ctx.saved_tensors)


class _Total:
    """Gradients of hidden states, weight and bias; the latter two are summed in float32 or better."""

    def __init__(self, pi: Output) -> None:
        self.pi, self.hidden = pi, torch.zeros_like(pi.hidden)
        self.weight, self.bias = _zeros(pi.weight), None if pi.bias is None else _zeros(pi.bias)

    def tokens_of(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """Which tokens have one of these gradients `(N,)` that is not 0."""
        found = torch.zeros(len(self.hidden), dtype=torch.bool, device=self.hidden.device)
        for gradient in gradients:
            if gradient is not None:
                found |= gradient != 0
        return found

    def add(self, asked: Asked, index: Tensor, gradients: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Add the part of the tokens `index`, from gradients `(N,)` of f's first values; returns f's values of them."""
        pi, asked = self.pi.of(index), asked.of(index, with_teacher=len(gradients) > 1)
        given, found = [None if g is None else g[index] for g in gradients], _Found(len(index))
        for tile in _tiles(asked, pi):
            for at, logits, rest in _slices(asked, tile):
                found.put(at, _to_gradient(asked.f, logits, rest, [None if g is None else g[at] for g in given]))
            self.hidden[index[tile.rows]] = tile.logits @ pi.weight
            _add_product(self.weight, tile.logits.T, pi.hidden[tile.rows])
            if self.bias is not None:
                self.bias += tile.logits.sum(0)
        return tuple(found.values)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of hidden states `(N, H)`, weight `(V, H)` and bias `(V,)`, in the types of these."""
        dtype = self.pi.weight.dtype
        return self.hidden, self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype)


class _Found:
    """f's values of `count` tokens, each written where it belongs.

    A small tensor kept from every slice would cut up a CPU's heap, so that the next slice finds no room in it.
    """

    def __init__(self, count: int) -> None:
        self.count, self.values = count, list[Tensor]()

    def put(self, at: slice, results: Sequence[Tensor]) -> None:
        """Those of the tokens `at`."""
        self.values = self.values or [result.new_empty(self.count) for result in results]
        for value, result in zip(self.values, results, strict=True):
            value[at] = result


class _Tile(NamedTuple):
    """Some of the tokens: their places, and their logits under student and teacher."""

    rows: slice
    logits: Tensor
    mu: Tensor | None


def _tiles(asked: Asked, pi: Output) -> Iterator[_Tile]:
    """All tokens in turn; the logits of one tile lie where those of the one before did."""
    count, mu = len(pi.hidden), asked.mu
    size = min(asked.rows or count, count)
    ours, theirs = pi.buffer(size), None if mu is None else mu.buffer(size)
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        yield _Tile(rows, pi.logits(rows, ours), None if mu is None or theirs is None else mu.logits(rows, theirs))


def _slices(asked: Asked, tile: _Tile) -> Iterator[tuple[slice, Tensor, tuple[Tensor | None, ...]]]:
    """Of each slice of a tile: the tokens' places, a view of their logits, and what f takes beside the student's."""
    count, width = tile.logits.shape
    size = max(1, (SLICE if tile.logits.device.type == "cpu" else LARGE_SLICE) // width)
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        at = slice(tile.rows.start + part.start, tile.rows.start + part.stop)
        log_mu = None if tile.mu is None else log_policy(tile.mu[part])
        yield at, tile.logits[part], (log_mu, *(values[at] for values in asked.others))


def _to_gradient(
    f: PerToken, logits: Tensor, rest: Sequence[Tensor | None], gradients: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """Puts the logits' gradient, from those of f's first values, in their place; returns f's values."""
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        results = f(log_policy(leaf), *rest)
    pairs = [(r, g) for r, g in zip(results, gradients, strict=False) if g is not None and r.requires_grad]
    # Where no value of these depends on the logits, their gradient is 0.
    logits.copy_(torch.autograd.grad([r for r, _ in pairs], leaf, [g for _, g in pairs], materialize_grads=True)[0])
    return tuple(result.detach() for result in results)


def _zeros(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter, dtype=torch.promote_types(parameter.dtype, torch.float32))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """`total += left @ right`, without a copy of that size where the types agree."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
