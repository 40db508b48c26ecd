"""How the learning rates were chosen: the same grid, budget and rule for every method.

    python -m evaluation.tuning --params JSON --runs results/runs --out DIR

Each row of the study is judged by the objective it itself maximises, on the monitor's validation prompts (no test
prompt is touched), at the last quarter of the updates: GRPO by the reward, GKD and Mini-LLM by minus the KL, the
soft Lagrangian by reward - λ KL, CMDP by its modified reward under its own constraint. `method.yaml` names the
objective; where the monitor cannot tell it, no rate is starred. What wins is written into the study's config by hand;
this table says why.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.collect import Collection
from evaluation.lineage import BESIDE
from evaluation.statistics import Array, Estimate, mean_interval
from evaluation.table_files import Cell, Column, Line, Table, replace_folder, to_csv, to_markdown
from evaluation.table_runs import by_row, written
from training.errors import cli
from training.inputs import read_threshold
from training.json_files import read_object, read_rows
from training.schema import read_params

LAST_SHARE = 0.25
MEASURED = ("reward", "kl_mean", "kl_sum", "kl_prefix")
AGAIN = "train the run again"
TITLE = "Learning rates"
CAPTION = (
    "Objective of each row on validation prompts, mean over the last quarter of the updates, with 95 % interval over "
    "prompts; one training seed that the study does not use. Reward and KL are of the same responses. Higher is "
    "better; the best rate of a row is starred. A row without an objective maximises what the monitor does not measure."
)
COLUMNS = (
    Column("objective", "Objective", "", 3),
    Column("reward", "Reward %", "%"),
    Column("kl", "KL", "nats per token", 3),
)


def last_quarter(curves: Path) -> dict[str, Array]:
    """Reward and costs of the monitor's last measurements, each `(1, prompts, measurements)`."""
    rows = read_rows(curves, {"step": int, **dict.fromkeys(MEASURED, list)}, AGAIN)
    last = rows[-1]["step"]
    late = [row for row in rows if row["step"] > (1 - LAST_SHARE) * last]
    return {name: np.array([row[name] for row in late]).T[None] for name in MEASURED}


def objective(kind: str, settings: dict[str, Any], measured: dict[str, Array], d: float) -> Array | None:
    """What a method maximises, for each response: `reward`, `kl` (minus it), `lagrangian` or `modified`; None unknown.

    `modified`: the reward where the cost of the method's reading is within `d`, else -(n + φ), φ of its setting `phi`
    (without one 0, as in Sauté). The monitor keeps no last token's KL, which `phi: last` grades by, no number of
    tokens beyond d, which `penalty: each` charges, and no divergence but the reverse KL, hence none of `beta` below 1.
    """
    reward, kl, phi = measured["reward"], measured["kl_mean"], settings.get("phi", "none")
    unmeasured = phi == "last" or settings.get("penalty") == "each"
    if kind == "none" or (kind == "kl" and settings.get("beta", 1.0) != 1.0) or (kind == "modified" and unmeasured):
        return None
    if kind == "reward":
        return reward
    if kind == "kl":
        return -kl
    if kind == "lagrangian":
        return reward - settings["lambda"] * kl
    within = measured[f"kl_{settings.get('constraint', 'mean')}"] <= d
    return np.where(within, reward, -(settings["n"] + (kl if phi == "mean" else 0.0)))


def line(run: dict[str, Any], runs: Path, threshold: Path) -> tuple[str, Line, float]:
    """A run's row of settings, its line in the table, and its objective's mean (minus infinity where there is none).

    `threshold`: the file of its pair's; a run that was trained under another has that one beside it.
    """
    record = read_object(runs / run["run"] / "run.json", {"status": str}, AGAIN)
    shown = [part for part in run["setting"].split(", ") if part and not part.startswith("lr=")]
    name = " ".join([run["label"], *shown])
    rate = f"{record['train']['lr']:g}"
    if record["status"] != "ok":
        return name, Line(rate, gap=f"failed: {record['why']}", runs=(run["run"],)), -np.inf
    measured = last_quarter(runs / run["run"] / "curves.jsonl")
    own = record.get("inputs", {}).get("threshold")
    path = threshold.with_name(f"{own}.json") if own else threshold
    d = read_threshold(path)
    cells: dict[str, Cell] = {
        "reward": mean_interval(measured["reward"]).scaled(100.0),
        "kl": mean_interval(measured["kl_mean"]),
    }
    values = objective(run["objective"], record["settings"], measured, d)
    if values is None:
        return name, Line(rate, cells, runs=(run["run"],)), -np.inf
    found: Estimate = mean_interval(values)
    return name, Line(rate, {"objective": found, **cells}, runs=(run["run"],)), found.mean


def table(params: dict[str, Any], runs: Path) -> Table:
    """All rates of all rows, the best of each row starred."""
    groups: dict[str, list[tuple[Line, float]]] = {}
    thresholds = {name: Path(pair["threshold"]) for name, pair in params["pairs"].items()}
    for run in params["runs"]:
        if run["trained"]:
            name, made, value = line(run, runs, thresholds[run["pair"]])
            name += f" (pair {run['pair']})" if len(thresholds) > 1 else ""
            groups.setdefault(name, []).append((made, value))
    shown = []
    for name, lines in groups.items():
        best = max(value for _, value in lines)
        star = " *" if best > -np.inf else ""
        starred = (replace(made, label=made.label + star) if value == best else made for made, value in lines)
        shown.append((name, tuple(starred)))
    return Table("tuning", f"{TITLE}, size {params['size']}", CAPTION, COLUMNS, tuple(shown))


def main(argv: list[str] | None = None) -> None:
    """Command line of the tuning rule."""
    parser = argparse.ArgumentParser(description="Write the table behind the choice of learning rates.")
    parser.add_argument("--params", required=True, help="JSON text or file: what the plan says of the size")
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args(argv)
    made = table(read_params(Collection, given.params).model_dump(), given.runs)
    listed = written({"tables": by_row([made])})
    replace_folder(given.out, {"tuning.csv": to_csv(made), "tuning.md": to_markdown(made), BESIDE: listed})


if __name__ == "__main__":
    cli(main)
