"""Taking layers out of a pretrained model: how a smaller student is made where no smaller relative is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from training.errors import UserError
from training.models import decoder


def drop_layers(model: PreTrainedModel, layers: Sequence[int]) -> None:
    """Take these layers (from 0) out in place; the others move up, in the cache too.

    Raises `UserError` where a layer is not there, or none would be left.
    A residual stream carries on without a layer, which is why single middle layers cost little (arXiv 2403.17887).
    """
    stack: Any = decoder(model)
    count = len(stack.layers)
    absent = [number for number in layers if not 0 <= number < count]
    if absent or len(set(layers)) >= count:
        raise UserError(
            f"drop: the layers {sorted(layers)} cannot be taken out of {count}; name some of 0 to {count - 1}"
        )
    stack.layers = nn.ModuleList(layer for number, layer in enumerate(stack.layers) if number not in layers)
    for number, layer in enumerate(stack.layers):
        layer.self_attn.layer_idx = number
    model.config.num_hidden_layers = len(stack.layers)
    kinds = getattr(model.config, "layer_types", None)
    if kinds:
        model.config.layer_types = [kind for number, kind in enumerate(kinds) if number not in layers]
