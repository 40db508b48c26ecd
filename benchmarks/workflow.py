"""(e) What the workflow itself costs: `make tables SIZE=smoke` against its jobs, and a run with nothing to do.

A job's seconds are those that Snakemake records, from its start to its end: starting Python and loading torch are in
them. How much of a training job is training is known from its cost.json.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.page import Row
from benchmarks.timing import Bench, Rounds, seconds
from study.verify import build

SIZE = "smoke"
IDLE = 6  # runs with nothing to do
Job = tuple[str, float, float]  # rule, start, end


def measure(bench: Bench) -> list[Row]:
    """Build the size in an empty folder, then ask for it again."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, again = Path(name), partial(build, SIZE, Path(name))
        wall = seconds(again, bench.device)
        done = recorded(folder / ".snakemake" / "metadata")
        idle: Rounds = [(seconds(again, bench.device), wall) for _ in range(2 if bench.quick else IDLE)]
        return rows(done, wall, idle, training(folder / "results" / "runs", done))


def recorded(metadata: Path) -> dict[tuple[str, str], Job]:
    """Every job by its rule and its log, from Snakemake's records of what it made."""
    found = {}
    for file in sorted(path for path in metadata.rglob("*") if path.is_file()):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["starttime"] is not None and record["endtime"] is not None:
            log = (record["log"] or [""])[0]
            found[record["rule"], log] = record["rule"], record["starttime"], record["endtime"]
    return found


def training(runs: Path, done: dict[tuple[str, str], Job]) -> Rounds:
    """Seconds of each training job beside those of the updates in it."""
    pairs: Rounds = []
    for (rule, log), (_, start, end) in done.items():
        name = re.fullmatch(r"results/runs/([^/]+)/train\.log", log)
        if rule == "train" and name:
            cost: dict[str, Any] = json.loads((runs / name[1] / "cost.json").read_text(encoding="utf-8"))
            pairs.append((end - start, cost["wall_s"]))
    return pairs


def rows(done: dict[tuple[str, str], Job], wall: float, idle: Rounds, trained: Rounds) -> list[Row]:
    """The ratios; the first two are of one run and have no interval."""
    spent = sum(end - start for _, start, end in done.values())
    cores = os.cpu_count() or 1
    jobs = f"{len(done)} jobs"
    return [
        Row({"of": f"wall time / seconds of its {jobs}, on {cores} cores"}, [(wall, spent)]),
        Row({"of": f"wall time x {cores} cores / seconds of its {jobs}"}, [(wall * cores, spent)]),
        Row({"of": "a run with nothing to do / the whole"}, idle),
        Row({"of": "a training job / its updates (few, in this size)"}, trained),
    ]
