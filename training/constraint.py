"""The one definition of the divergence constraint on a response, in its three readings.

The paper writes a running budget `z_T = d - sum_t C(s_t) >= 0`; its reported figures are only possible if d is
compared with the mean KL per response token (inferred), hence `mean` is the default and all three are reported.
"""

from __future__ import annotations

import torch
from torch import Tensor


def response_costs(kl: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Cost of each response `(B,)` under every reading, in nats, from token KLs and mask, both `(B, T)`.

    `mean`: per response token; `sum`: over the response; `prefix`: the largest of the running means. An empty
    response costs 0.
    """
    kept = torch.where(mask, kl, 0.0)
    total = kept.sum(1)
    counts = mask.long().cumsum(1).clamp(min=1)
    running = kept.cumsum(1) / counts  # past the end it stays as it was
    prefix = running.amax(1) if kl.shape[1] else total
    return {"mean": total / mask.sum(1).clamp(min=1), "sum": total, "prefix": prefix}


def satisfied(cost: Tensor, threshold: float) -> Tensor:
    """Truth `(B,)` of `cost <= threshold` for each response; cost `(B,)` and threshold in nats, of one reading."""
    return cost <= threshold
