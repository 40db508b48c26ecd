"""The runs of a method: one per setting, learning rate, constraint and seed, each with an id of its own."""

from __future__ import annotations

from itertools import product
from typing import Any

from study.code import code_hash, short_hash
from study.config import Size, Threshold
from study.planned import Plan, Run
from training.engine import check_trainer
from training.errors import UserError
from training.folders import Folder
from training.schema import parse

CALIBRATES = "gkd"  # the method that minimises the KL alone: its first run's costs give a calibrated d


def add_threshold(plan: Plan, pair: str, folders: dict[str, Folder], threshold: Threshold) -> str:
    """Register a constraint and return its id: d is given, or a quantile of the validation KLs of a pure-KL run.

    That run has the pair's first seed.
    """
    content: dict[str, Any] = {"d": threshold.d, "calibrate": threshold.calibrate, "reading": threshold.reading}
    if threshold.calibrate is not None:
        overrides = plan.size.methods.get(CALIBRATES, {})
        run = method_runs(plan, pair, folders, CALIBRATES, overrides, "threshold")[0]
        plan.runs.setdefault(run.id, run)
        content["run"] = run.id
    name = f"{pair}-{short_hash([content, code_hash('study/threshold.py')])}"
    plan.thresholds[name] = content
    return name


def method_runs(
    plan: Plan, pair: str, folders: dict[str, Folder], method: str, overrides: dict[str, Any], where: str
) -> list[Run]:
    """One run per setting, learning rate, constraint and seed; a `UserError` says what in `overrides` is not allowed.

    `overrides`: the method's settings, `lr`, and `threshold`, a constraint of the row's own. Shown are the settings
    with a symbol, those with several values and those off their default.
    """
    folder, runs = folders[method], []
    try:
        check_trainer(plan.size.train_of(pair), folder)
    except UserError as error:
        raise UserError(f"{where}: pair '{pair}': {error}") from error
    for threshold in _own_thresholds(plan.size, folder, overrides, where):
        own = {key: value for key, value in overrides.items() if key not in {"lr", "threshold"}}
        if "constraint" in folder.declares.settings:  # trained under the reading that it is judged by
            own = {"constraint": threshold.reading, **own}
        known = add_threshold(plan, pair, folders, threshold) if folder.declares.needs.threshold else ""
        for settings, rate in product(folder.grid(own, where), _rates(plan.size, pair, overrides, where, method)):
            _check_reading(settings, threshold, method, where)
            usual = {name: setting.default for name, setting in folder.declares.settings.items()}
            varied = [name for name in usual if len(values_of(own.get(name))) > 1 or settings[name] != usual[name]]
            shown = [folder.describe(settings, varied), _difference(threshold, plan.size.threshold)]
            shown += [f"lr={rate:g}"] if isinstance(overrides.get("lr"), list) else []
            setting = ", ".join(text for text in shown if text)
            train = {**plan.size.train_of(pair).model_dump(), "lr": rate}
            seeds = plan.size.seeds_of(pair)
            runs += [_run(plan, pair, folder, settings, setting, train, seed, known) for seed in seeds]
    if not runs:
        raise UserError(f"{where}: method '{method}' has an empty list as 'lr' or 'threshold'; give at least one value")
    return runs


def check_shown(plan: Plan, runs: list[Run], where: str) -> None:
    """`UserError` where two runs differ in a value of which tables show too few digits: one would replace the other."""
    seen: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        other = seen.setdefault((run.pair, run.method, run.setting, run.seed), run)
        if other.id == run.id:
            continue
        one, two = _chosen(plan, other), _chosen(plan, run)
        name = next(name for name in one if one[name] != two[name])
        raise UserError(
            f"{where}: '{name}' of method '{run.method}' is {one[name]!r} and {two[name]!r}, both of which tables show "
            f"as '{run.setting}'; take one out, or choose values that differ in their first six digits"
        )


def _chosen(plan: Plan, run: Run) -> dict[str, Any]:
    """What tells a run from others of its method and seed."""
    constraint = {f"threshold.{key}": value for key, value in plan.thresholds.get(run.threshold, {}).items()}
    return {**run.params["settings"], "lr": run.params["train"]["lr"], **constraint}


def _check_reading(settings: dict[str, Any], threshold: Threshold, method: str, where: str) -> None:
    """`UserError` where a row would hold d, a limit on one reading of the divergence, against another."""
    own = settings.get("constraint", threshold.reading)
    if own != threshold.reading:
        raise UserError(
            f"{where}: 'constraint' of method '{method}' is '{own}', but its d is for the reading "
            f"'{threshold.reading}'; give the row a 'threshold' with 'reading: {own}' and a d for it instead"
        )


def values_of(given: Any) -> list[Any]:
    """The values of a key that may hold one or a list of them."""
    return given if isinstance(given, list) else [given]


def _difference(threshold: Threshold, usual: Threshold) -> str:
    """How a constraint of a row's own is shown beside its settings, which name the reading."""
    if threshold == usual:
        return ""
    return f"d={threshold.d:g}" if threshold.d is not None else f"d at quantile {threshold.calibrate:g}"


def _own_thresholds(size: Size, folder: Folder, overrides: dict[str, Any], where: str) -> list[Threshold]:
    """The constraints among a method's overrides; the size's where there are none."""
    if "threshold" not in overrides:
        return [size.threshold]
    if not folder.declares.needs.threshold:
        raise UserError(f"{where}: method '{folder.name}' uses no threshold; take its key 'threshold' out")
    at, usual = f"{where}: 'threshold' of method '{folder.name}'", {"reading": size.threshold.reading}
    values = [{**usual, **value} if isinstance(value, dict) else value for value in values_of(overrides["threshold"])]
    return [parse(Threshold, value, at) for value in values]


def _rates(size: Size, pair: str, overrides: dict[str, Any], where: str, method: str) -> list[float]:
    return [_rate(rate, where, method) for rate in values_of(overrides.get("lr", size.train_of(pair).lr))]


def _rate(lr: Any, where: str, method: str) -> float:
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr <= 1:
        raise UserError(f"{where}: 'lr' of method '{method}' is {lr!r}, but must be a number in (0, 1]; change it")
    return float(lr)


def _run(
    plan: Plan, pair: str, folder: Folder, settings: dict[str, Any], setting: str, train: dict[str, Any], seed: int,
    threshold: str,
) -> Run:  # fmt: skip
    needs, ids = folder.declares.needs, plan.pairs[pair]
    inputs = {name: ids[name] for name in ("data", "student", "teacher")}
    inputs |= {"threshold": threshold} if threshold else {}
    params = {
        "method": folder.name, "settings": settings, "seed": seed, "train": train, "inputs": inputs,
        "methods_path": [str(path) for path in plan.size.methods_path if folder.path.parent == path],
        "code": code_hash("training/train.py", str(folder.path.resolve() / "method.py")),
    }  # fmt: skip
    plain = "".join(c if c.isalnum() or c in ".=" else "-" for c in setting.replace("λ", "lambda")).strip("-")
    parts = (pair, folder.name, plain, f"s{seed}", short_hash([params, needs.model_dump()]))
    name = "-".join(part for part in parts if part)
    return Run(
        name, pair, "method", folder.name, folder.declares.label, setting, seed, folder.declares.order,
        folder.declares.objective, {"run": name, **params}, f"results/runs/{name}/policy", threshold,
    )  # fmt: skip
