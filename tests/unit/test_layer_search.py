"""The layers that hurt least, against whole passes without each."""

from __future__ import annotations

import pytest
import torch

from sources.layer_search import cross_entropy, search
from sources.layers import drop_layers
from tests.tiny import full_log_probs, llama, rollouts
from training.models import decoder

PIECES = [rollouts([3, 5], [4, 2], seed=1), rollouts([2, 2], [6, 1], seed=2)]


def deep(seed: int) -> torch.nn.Module:
    """A tiny Llama of five layers."""
    model = llama(seed)
    more = [layer for other in (seed + 1, seed + 2) for layer in decoder(llama(other)).layers]
    for place, layer in enumerate(more[:3], 2):
        layer.self_attn.layer_idx = place
        decoder(model).layers.append(layer)
    model.config.num_hidden_layers = 5
    return model


def test_cross_entropy_is_that_of_all_logits() -> None:
    model = deep(3)
    whole = [full_log_probs(model, piece).gather(2, piece.response[..., None])[..., 0][piece.mask] for piece in PIECES]
    assert cross_entropy(model, PIECES) == pytest.approx(-torch.cat(whole).mean().item(), rel=1e-5)


def test_each_layer_taken_out_is_the_best_of_those_left() -> None:
    taken: list[int] = []
    for number, paid in search(deep(3), PIECES, 3):
        costs = {}
        for candidate in set(range(5)) - set(taken):
            model = deep(3)
            drop_layers(model, [*taken, candidate])
            costs[candidate] = cross_entropy(model, PIECES)
        assert number == min(costs, key=costs.__getitem__)
        assert paid == pytest.approx(costs[number], rel=1e-5)
        taken.append(number)
