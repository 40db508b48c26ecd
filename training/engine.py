"""How an update is computed (processes, cache, the teacher's precision), where a method or this machine cannot."""

from __future__ import annotations

import importlib.util

from training.errors import UserError
from training.folders import Folder
from training.settings import TrainSettings

OURS = ("processes", "cache", "micro_tokens", "kl_warmup", "kl_warmup_epochs")  # what the shared loop does


def check_trainer(train: TrainSettings, method: Folder) -> None:
    """`UserError` where the method's own trainer has no such setting. Planning asks too, so no torch is loaded."""
    usual = TrainSettings(steps=1)
    for name in OURS if method.brings_trainer else ():
        value = getattr(train, name)
        if value != getattr(usual, name):
            raise UserError(
                f"train.{name} is {value}, but method '{method.name}' brings its own trainer, which has no such "
                "setting; take one of the two out"
            )


def not_installed(train: TrainSettings) -> str:
    """What settings of `train` need that this Python lacks, with the remedy; "" where nothing is lacking."""
    if train.teacher_dtype == "int8" and importlib.util.find_spec("torchao") is None:
        return "train.teacher_dtype is int8, which needs torchao; run `pip install torchao==0.18.0`"
    return ""


def check_engine(train: TrainSettings, method: Folder) -> None:
    """`UserError` where settings of `train` cannot be had with the method or on this machine."""
    import torch

    from training import parallel

    if lacking := not_installed(train):
        raise UserError(lacking)
    check_trainer(train, method)
    held = torch.cuda.device_count()
    if method.brings_trainer and held > 1:  # transformers' Trainer then has a larger batch: another budget
        raise UserError(
            f"{held} GPUs are visible here, and method '{method.name}' brings its own trainer, which would train "
            "on all of them with as many times the responses; set CUDA_VISIBLE_DEVICES to one"
        )
    if not method.brings_trainer and train.cache == "static" and method.load().reads_budget:
        raise UserError(
            f"train.cache is static, but the policy of method '{method.name}' reads its budget at every token, which a "
            "compiled forward pass does not see; set it to dynamic"
        )
    parallel.check_processes(train.processes)
