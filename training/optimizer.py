"""AdamW that loses no small update: with bfloat16 weights it steps float32 master copies.

At a learning rate of 1e-5 most updates are below the spacing of bfloat16 numbers and would vanish if they were
added to the weights themselves. The policy that is sampled, trained and saved stays the bfloat16 one. Memory is scarce
on a GPU: a gradient is given up as its copy is made, and the fused update needs no temporary copies of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` on the parameters or, where they are of lower precision, on float32 copies of them.

    Loshchilov and Hutter, arXiv 1711.05101; float32 master copies: Micikevicius et al., arXiv 1710.03740.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.weights = list(parameters)
        self.masters = [p if p.dtype == torch.float32 else Parameter(p.detach().float()) for p in self.weights]
        fused = True if any(p.is_cuda for p in self.masters) else None
        super().__init__(self.masters, lr=lr, weight_decay=weight_decay, fused=fused)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update; gradients are taken from, and results written to, the weights."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
                weight.grad = None
        super().step()
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                weight.copy_(master)
                master.grad = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the weights and of their copies."""
        for parameter in (*self.weights, *self.masters):
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint, by `<parameter's index>.<name>`: the moments and, where there are any, the copies."""
        state = self.state_dict()["state"]
        found = {f"{i}.{name}": value for i, moments in state.items() for name, value in moments.items()}
        pairs = enumerate(zip(self.weights, self.masters, strict=True))
        return found | {f"{i}.master": master.detach() for i, (weight, master) in pairs if master is not weight}

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take up copies of what `tensors` gave; the weights and the learning rate are the caller's to restore."""
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, name = key.split(".")
            master = self.masters[int(index)]
            if name == "master":
                master.copy_(value)
            else:
                state.setdefault(int(index), {})[name] = value.to(master.device, copy=True)
        self.load_state_dict({"state": state, "param_groups": self.state_dict()["param_groups"]})
