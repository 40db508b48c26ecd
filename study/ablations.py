"""Ablations of a size: rows that answer one question about a setting, trained and measured as all others are."""

from __future__ import annotations

from typing import Any

from study.planned import Ablated, Plan
from study.runs import method_runs
from training.errors import UserError
from training.folders import Folder


def ablate(plan: Plan, name: str, folders: dict[str, Folder], where: str) -> Ablated:
    """Add the runs of `ablations.<name>` to the plan; raises `UserError` where a row does not vary one setting."""
    content, at = plan.size.ablations[name], f"{where}: ablation '{name}'"
    axes = [_axis(plan, folders, method, overrides, at) for method, overrides in content.methods.items()]
    points = [point for axis in axes for point in axis["points"]]
    runs = [run for point in points for run in point["runs"]]
    files = sorted({own["file"] for point in points for own in point["thresholds"].values()})
    return Ablated(runs, files, {"name": name, "title": content.title, "axes": axes})


def _axis(plan: Plan, folders: dict[str, Folder], method: str, overrides: dict[str, Any], where: str) -> dict[str, Any]:
    """One method along the setting that it varies: for each value its runs, and its threshold by pair."""
    varied = [key for key, value in overrides.items() if isinstance(value, list)]
    if len(varied) != 1:
        found = ", ".join(varied) or "none"
        raise UserError(f"{where}: '{method}' must vary one setting, but varies {found}; give one list of values")
    if not overrides[varied[0]]:
        raise UserError(f"{where}: '{varied[0]}' of '{method}' is an empty list; give at least one value")
    setting = folders[method].declares.settings.get(varied[0])
    points = []
    for value in overrides[varied[0]]:
        row = {**overrides, varied[0]: [value]}  # as a list: what varies is shown in the row
        runs = [run for pair in plan.size.pairs for run in method_runs(plan, pair, folders, method, row, where)]
        for run in runs:
            plan.runs.setdefault(run.id, run)
        used = {run.pair: run.threshold or plan.pairs[run.pair]["threshold"] for run in runs}
        own = {
            pair: {"file": f"results/thresholds/{id}.json", "reading": plan.thresholds[id]["reading"]}
            for pair, id in used.items()
        }
        points.append({"value": value, "runs": [run.id for run in runs], "thresholds": own})
    twice = [value for at, value in enumerate(overrides[varied[0]]) if value in overrides[varied[0]][:at]]
    if twice:  # of values that are allowed: True would be 1 twice
        raise UserError(f"{where}: '{varied[0]}' of '{method}' has {twice[0]!r} twice; take one out")
    return {"method": method, "setting": (setting.symbol if setting else "") or varied[0], "points": points}
