"""Everything that training reads, looked at before anything is loaded, computed or written."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from training.data import check_apart, read_problems
from training.errors import UserError
from training.files import check_place
from training.folders import Folder
from training.json_files import read_object
from training.method_source import check_source
from training.model_folder import check_model


def read_threshold(path: Path | None) -> float | None:
    """The threshold d in nats of a file written by `study.threshold`; None without a file."""
    if path is None:
        return None
    d = float(read_object(path, {"d": float}, "run study.threshold")["d"])
    if not (math.isfinite(d) and d > 0):
        raise UserError(f"{path}: 'd' is {d}, but must be a number above 0; run study.threshold")
    return d


def check_inputs(folder: Folder, settings: dict[str, Any], arguments: Namespace) -> None:
    """`UserError` where the method, its settings, a model folder, the data or the place for results is not usable."""
    check_place(arguments.out)
    check_source(folder.path / "method.py")
    folder.grid(settings, "--params, settings")
    absent = sorted(folder.declares.settings.keys() - settings.keys())
    if absent:
        raise UserError(f"--params, settings: '{absent[0]}' of method '{folder.name}' is missing; give its value")
    for model in (arguments.student, arguments.teacher):
        check_model(str(model))
    read_problems(arguments.data / "validation.jsonl")
    check_apart(arguments.data, read_problems(arguments.data / "train.jsonl"))
