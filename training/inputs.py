"""Everything that training reads, looked at before anything is loaded, computed or written."""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data import Problem, check_apart, read_problems
from training.errors import UserError, nearest
from training.files import check_place
from training.folders import Folder, find_folders
from training.json_files import read_object
from training.method_source import check_source
from training.model_folder import check_model


@dataclass(frozen=True)
class Inputs:
    """What a run reads beside its models: its method, d in nats (None without a file), and problems."""

    method: Folder
    threshold: float | None
    problems: list[Problem]
    validation: list[Problem]


def read_threshold(path: Path) -> float:
    """The threshold d in nats of a file written by `study.threshold`; `UserError` where it has none above 0."""
    remedy = "delete it and run make tables with its SIZE"
    d = float(read_object(path, {"d": float}, remedy)["d"])
    if not (math.isfinite(d) and d > 0):
        raise UserError(f"{path}: 'd' is {d}, but must be a number above 0; {remedy}")
    return d


def find_method(name: str, paths: list[Path], threshold: float | None) -> Folder:
    """The run's method folder; `UserError` where there is none or it lacks its threshold."""
    folders = find_folders(tuple(paths))
    if name not in folders:
        raise UserError(f"there is no method '{name}'; {nearest(name, folders)}")
    if folders[name].declares.needs.threshold and threshold is None:
        raise UserError(f"method '{name}' needs a threshold d; pass --threshold FILE")
    return folders[name]


def read_inputs(method: str, paths: list[Path], settings: dict[str, Any], arguments: Namespace) -> Inputs:
    """`UserError` where the method, its settings, a model folder, the data or the place for results is not usable."""
    threshold = read_threshold(arguments.threshold) if arguments.threshold else None
    folder = find_method(method, paths, threshold)
    check_place(arguments.out)
    check_source(folder.path / "method.py")
    folder.grid(settings, "--params, settings")
    absent = sorted(folder.declares.settings.keys() - settings.keys())
    if absent:
        raise UserError(f"--params, settings: '{absent[0]}' of method '{folder.name}' is missing; give its value")
    for model in (arguments.student, arguments.teacher):
        check_model(str(model))
    validation = read_problems(arguments.data / "validation.jsonl")
    problems = read_problems(arguments.data / "train.jsonl")
    check_apart(arguments.data, problems)
    return Inputs(folder, threshold, problems, validation)
