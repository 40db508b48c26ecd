"""AdamW that loses no small update: with bfloat16 weights it steps float32 master copies.

At a learning rate of 1e-5 most updates are below the spacing of bfloat16 numbers and would vanish if they were
added to the weights themselves. The policy that is sampled, trained and saved stays the bfloat16 one.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import Parameter


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` on the parameters or, where they are of lower precision, on float32 copies of them."""

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.weights = list(parameters)
        self.masters = [p if p.dtype == torch.float32 else Parameter(p.detach().float()) for p in self.weights]
        super().__init__(self.masters, lr=lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update; gradients are read from, and results written to, the weights."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
        super().step()
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                weight.copy_(master)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the weights and of their copies."""
        for parameter in (*self.weights, *self.masters):
            parameter.grad = None
