"""Gather the runs of one size into the tables that everything after it reads.

    python -m evaluation.collect --params size.json --runs results/runs --out results/built/<size>/collected

`--params` names the runs and describes the pairs. Written: `runs.json` (the same with each run's status and what it
was made with), `scores.parquet` (long: one row per run, response and metric), `curves.parquet`, `costs.parquet` and,
where language models judged (`--verdicts` names what evaluation.judge wrote, best judge first), `verdicts.parquet`. A
run that failed or is not there becomes a gap with its reason; it never stops the others. Same input, same bytes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from evaluation.columns import COSTS, CURVES, KEYS, METRICS, RECORDS, SCORES, TEXT, WHOLE
from evaluation.verdicts import FILE as VERDICTS
from evaluation.verdicts import read_verdicts
from training.errors import UserError, cli
from training.json_files import read_object, read_rows
from training.schema import read_params

AGAIN = "delete {} and make the size again"


class Entry(BaseModel):
    """One run as the plan knows it; what is not named here is passed on unread.

    `evaluation` is the folder below the run's that holds its scores; the run's own where it is empty.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    run: str
    kind: Literal["method", "reference", "control"]
    label: str
    seed: int
    evaluation: str = ""


class Collection(BaseModel):
    """Everything of one size. A pair's `threshold` is given, or names the JSON file of `study.threshold`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    size: str
    pairs: dict[str, dict[str, Any]]
    runs: list[Entry]


@dataclass(frozen=True)
class Gathered:
    """What one run gave: `ok` with its frames, or the reason for a gap (`failed`, `missing`) with none."""

    status: Literal["ok", "failed", "missing"]
    why: str
    scores: pd.DataFrame | None = None
    curves: pd.DataFrame | None = None
    costs: pd.DataFrame | None = None


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON [--runs DIR] [--verdicts FILE ...] --out DIR`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--params", required=True, help="JSON text or file: size, title, note, pairs, runs")
    parser.add_argument("--runs", default=Path("results/runs"), type=Path, help="folder of the run folders")
    parser.add_argument("--verdicts", nargs="*", default=[], type=Path, help="files of evaluation.judge, if any")
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args(argv)
    collection = read_params(Collection, given.params)
    thresholds = {name: threshold(pair.get("threshold"), name) for name, pair in collection.pairs.items()}
    gathered = [gather(entry, given.runs / entry.run) for entry in collection.runs]
    for entry, run in zip(collection.runs, gathered, strict=True):
        if run.status != "ok":
            print(f"{entry.label}, seed {entry.seed} ({entry.run}): {run.status}, {run.why}", flush=True)
    made = [made_with(entry, given.runs / entry.run) for entry in collection.runs]
    write(collection, thresholds, gathered, made, given.out)
    if given.verdicts:
        read_verdicts(given.verdicts).to_parquet(given.out / VERDICTS, index=False)


def gather(entry: Entry, folder: Path) -> Gathered:
    """The frames of one run. References and controls are not trained: they have scores only."""
    try:
        record = _json(folder / "run.json") if entry.kind == "method" else {"status": "ok"}
        if record.get("status") not in ("ok", "failed"):
            raise UserError(f"run.json does not say how the run ended; {AGAIN.format(folder)}")
        if record["status"] == "failed":
            return Gathered("failed", str(record.get("why") or "no reason given"))
        scores = _scores(folder / entry.evaluation / "scores.parquet", entry.run)
        if entry.kind != "method":
            return Gathered("ok", "", scores)
        return Gathered("ok", "", scores, _curves(folder / "curves.jsonl", entry.run),
                        _costs(folder / "cost.json", entry.run))  # fmt: skip
    except UserError as gap:
        return Gathered("missing", str(gap))


def made_with(entry: Entry, folder: Path) -> list[tuple[str, str]]:
    """(job, software and processor) of a run's training and scoring, as they recorded it.

    A control is no model's. Without a readable record there is nothing to say, which is no gap.
    """
    found = []
    for job, name in RECORDS.items():
        try:
            record = _json(folder / (entry.evaluation if job == "scored" else "") / name)
        except UserError:
            continue
        software, machine = record.get("software", {}), record.get("machine", {})
        on = [f"{key} {software[key]}" for key in ("torch", "transformers") if key in software]
        on += [machine[key] for key in ("kernels", "device") if key in machine]
        found.append((job, ", ".join(on)))
    return [] if entry.kind == "control" else found


def _json(path: Path) -> dict[str, Any]:
    return read_object(_present(path), {}, AGAIN.format(path.parent))


def _present(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path.name} is not there")
    return path


def _scores(path: Path, run: str) -> pd.DataFrame:
    """scores.parquet in long form, metrics that are undefined throughout the run left out."""
    try:
        wide = pd.read_parquet(_present(path), columns=[*KEYS, *METRICS])
    except (OSError, ValueError) as error:  # pyarrow's errors on damaged files and absent columns
        raise UserError(f"{path.name} cannot be read ({type(error).__name__}); {AGAIN.format(path)}") from error
    if wide.empty:
        raise UserError(f"{path.name} has no rows; {AGAIN.format(path)}")
    wide.insert(0, "run", run)
    defined = [metric for metric in METRICS if wide[metric].notna().any()]
    return wide.melt(["run", *KEYS], defined, "metric", "value")[SCORES]


def _curves(path: Path, run: str) -> pd.DataFrame:
    """curves.jsonl with one row per step and validation response."""
    lists = [name for name in CURVES if name not in ("run", "step", "response")]
    steps = read_rows(_present(path), {"step": int, **dict.fromkeys(lists, list)}, AGAIN.format(path.parent))
    try:
        frames = [
            pd.DataFrame({"run": run, "response": range(len(step["reward"])), "step": step["step"],
                          **{name: step[name] for name in lists}})
            for step in steps
        ]  # fmt: skip
    except ValueError as error:
        raise UserError(f"{path.name} has lists of unequal length in a row; {AGAIN.format(path.parent)}") from error
    return pd.concat(frames) if frames else _empty(CURVES)


def _costs(path: Path, run: str) -> pd.DataFrame:
    cost = _json(path)
    return pd.DataFrame([{"run": run, **{key: cost.get(key) for key in COSTS}}], columns=["run", *COSTS])


def _empty(columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="str" if name in TEXT else "float64") for name in columns})


def _joined(frames: list[pd.DataFrame | None], columns: list[str]) -> pd.DataFrame:
    """All frames below each other, with one type per column whatever the input held."""
    present = [frame for frame in frames if frame is not None and len(frame)]
    whole = pd.concat(present, ignore_index=True) if present else _empty(columns)
    return whole[columns].astype(
        {c: "str" if c in TEXT else "int64" if c in WHOLE else "float64" for c in columns}
    )  # fmt: skip


def threshold(given: Any, pair: str) -> dict[str, Any]:
    """`{"d": nats, "source": ...}` of a pair, as given or from the named file; `UserError` where there is none."""
    if isinstance(given, str):
        return read_object(Path(given), {"d": float, "source": str}, "delete it and run make tables with its SIZE")
    if not isinstance(given, dict) or not {"d", "source"} <= given.keys():
        raise UserError(f"pair '{pair}': the threshold is {given!r}, but must have 'd' and 'source'; correct it")
    return given


def write(
    collection: Collection, thresholds: dict[str, dict[str, Any]], gathered: list[Gathered],
    made: list[list[tuple[str, str]]], out: Path,
) -> None:  # fmt: skip
    """The four files of a collected size."""
    described = collection.model_dump()
    for name, pair in described["pairs"].items():
        pair["threshold"] = thresholds[name]
    described["runs"] = [
        {**run, "status": found.status, "why": found.why, "made": with_}
        for run, found, with_ in zip(described["runs"], gathered, made, strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(described, ensure_ascii=False, indent=1) + "\n"
    (out / "runs.json").write_text(text, encoding="utf-8")
    _joined([run.scores for run in gathered], SCORES).to_parquet(out / "scores.parquet", index=False)
    _joined([run.curves for run in gathered], CURVES).to_parquet(out / "curves.parquet", index=False)
    _joined([run.costs for run in gathered], ["run", *COSTS]).to_parquet(out / "costs.parquet", index=False)


if __name__ == "__main__":
    cli(main)
