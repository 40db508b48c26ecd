"""Group-relative advantage and the clipped policy-gradient loss (GRPO, arXiv 2402.03300)."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-4  # added to the group's standard deviation, as TRL does


def group_advantage(returns: Tensor, group: Tensor) -> Tensor:
    """`(return - group mean) / (group std + EPSILON)`, `(B,)`; 0 throughout a group of equal returns.

    `group` `(B,)` holds the index of each row's question. The standard deviation is the sample one (n - 1).
    """
    _, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    total = torch.zeros(len(count), dtype=returns.dtype, device=returns.device)
    mean = total.index_add(0, index, returns) / count
    centred = returns - mean[index]
    differs = ((group[:, None] == group) & (returns[:, None] != returns)).any(1)
    centred = torch.where(differs, centred, 0.0)  # equal returns: not the mean's rounding divided by EPSILON
    square = total.index_add(0, index, centred.square()) / (count - 1).clamp(min=1)
    return centred / (square.sqrt()[index] + EPSILON)


def policy_loss(logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Clipped surrogate of each response, `(B,)`: minus the mean over its tokens of ratio times advantage.

    `logp` and `old_logp` `(B, T)` are log-probabilities of the sampled tokens now and when they were sampled;
    `advantage` is `(B,)`. Gradient flows through `logp` only.
    """
    ratio = torch.where(mask, logp - old_logp.detach(), 0.0).exp()
    scale = advantage.detach()[:, None]
    surrogate = torch.minimum(ratio * scale, ratio.clamp(1 - clip, 1 + clip) * scale)
    return -mean_over_tokens(surrogate, mask)


def mean_over_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `(B, T)` values over each response's own tokens, `(B,)`; 0 for an empty response."""
    return torch.where(mask, values, 0.0).sum(1) / mask.sum(1).clamp(min=1)
