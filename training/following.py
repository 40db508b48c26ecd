"""A model that reads along with growing texts, one token at a time, out of its cache."""

from __future__ import annotations

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


def positions(mask: Tensor) -> Tensor:
    """Position ids `(B, L)` that count attended tokens, so that left padding shifts nothing."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


class Following:
    """Next-token logits of `model` as prompts, padded on the left by `prompt_mask` `(B, P)`, grow on the right."""

    def __init__(self, model: PreTrainedModel, prompt_mask: Tensor) -> None:
        self.model, self.mask = model, prompt_mask
        self.cache = DynamicCache(config=model.config)

    def __call__(self, ids: Tensor) -> Tensor:
        """Logits `(B, V)` after `ids` `(B, L)`, which must go on from those of the call before."""
        new = ids.shape[1] - self.cache.get_seq_length()
        mask = self.mask.new_ones(ids.shape)
        mask[:, : self.mask.shape[1]] = self.mask
        return self.model(
            input_ids=ids[:, -new:], attention_mask=mask, position_ids=positions(mask)[:, -new:],
            past_key_values=self.cache, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip
