"""A second device for tests: torch takes it for another one, a GPU say, and its arithmetic is the CPU's.

A tensor on it is a shell around one on the CPU. As on a GPU, an operation on tensors of both devices is refused (a
number without dimensions may come from the CPU, and so may an index), and nothing but `.cpu()` or `.to` brings a
tensor over; `.numpy()` fails. So a tensor that was made on the wrong device is found where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("lazy:0")  # a device that torch knows and lets this file compute for, backward pass included
ACROSS = ("aten._to_copy", "aten.copy_")
INDEXED = ("aten.index", "aten.index_put", "aten.index_put_")


class Shell(Tensor):
    """A tensor on the second device."""

    plain: Tensor

    @staticmethod
    def __new__(cls, plain: Tensor) -> Shell:
        shell = Tensor._make_wrapper_subclass(
            cls, plain.size(), strides=plain.stride(), storage_offset=plain.storage_offset(), dtype=plain.dtype,
            device=DEVICE, requires_grad=plain.requires_grad,
        )  # fmt: skip
        shell.plain = plain
        return shell

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch does beside its operations: a tensor of numbers, numbers of a tensor, and where its data lie."""
        if args and isinstance(args[0], Shell):
            if function is Tensor.new_tensor:
                return torch.tensor(args[1], **{"dtype": args[0].dtype, **(kwargs or {})}).to(DEVICE)
            if function in (Tensor.tolist, Tensor.untyped_storage):
                return function(args[0].plain)
        with torch._C.DisableTorchFunctionSubclass():  # what the operation gives is kept as it is
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(operation, args, kwargs or {})


class _Dispatch(TorchDispatchMode):
    """Sees every operation, so that tensors are made on the second device where that is asked for."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(operation, args, kwargs or {})


def computed(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation's result, on the device on which torch would have it."""
    name, asked = operation.overloadpacket._qualified_op_name.replace("::", "."), kwargs.get("device")
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    shells = [tensor for tensor in tensors if isinstance(tensor, Shell)]
    strangers = [tensor for tensor in tensors if not isinstance(tensor, Shell) and tensor.dim() > 0]
    if name in INDEXED:
        strangers = [] if isinstance(args[0], Shell) else [args[0]]
    if shells and strangers and name not in ACROSS:
        raise RuntimeError(f"{name}: tensors on {DEVICE} and on {strangers[0].device}, shape {strangers[0].shape}")
    there = bool(shells) if asked is None else torch.device(asked).type == DEVICE.type
    if asked is not None and there:
        kwargs = {**kwargs, "device": "cpu"}
    plain_args, plain_kwargs = tree_map(lambda v: v.plain if isinstance(v, Shell) else v, (args, kwargs))
    results = operation(*plain_args, **plain_kwargs)
    if name == "aten.copy_":
        return args[0]
    return tree_map(lambda v: _same(v, shells) if there and isinstance(v, Tensor) else v, results)


def _same(result: Tensor, shells: list[Shell]) -> Shell:
    """The shell of a tensor changed in place stays itself."""
    itself = [shell for shell in shells if shell.plain is result]
    return itself[0] if itself else Shell(result)


class _Literals(TorchFunctionMode):
    """`torch.tensor` writes its numbers where no operation is seen: here on the CPU, then moved."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.tensor and kwargs.get("device") is not None:
            return torch.tensor(*args, **{**kwargs, "device": "cpu"}).to(kwargs["device"])
        return function(*args, **kwargs)


@contextmanager
def present(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within, the second device is there, and policies are loaded onto it."""
    with monkeypatch.context() as patched, _Dispatch(), _Literals():
        patched.setattr(torch, "inference_mode", torch.no_grad)  # a shell has no part in it
        for module in ("training.models", "sources.smollm2"):
            patched.setattr(f"{module}.default_device", lambda: DEVICE)
        yield
