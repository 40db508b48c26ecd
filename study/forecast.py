"""What `make tables` would still run, about how long that takes, and on what; nothing is run.

    python -m study.forecast --size micro [--data-root DIR]

The jobs are Snakemake's own dry run, so what is finished is not counted. Seconds per job are the measured ones in
durations.yaml; of trained runs that are finished here, those of their cost.json.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from study.durations import DURATIONS, finished_run
from study.machine import machine
from study.plan import make_plan
from study.workflow import TARGETS, dry_run
from training.errors import cli

Seconds = dict[str, tuple[float, str]]  # by rule: of one job, and where that is from


def seconds(size: str, runs: list[str], results: Path) -> Seconds:
    """Seconds of one job by rule, as far as measured."""
    stated = DURATIONS["shared"] | DURATIONS["sizes"].get(size, {})
    found = {rule: (float(value), "stated in study/durations.yaml") for rule, value in stated.items()}
    walls = [done[1]["wall_s"] for run in runs if (done := finished_run(results / "runs" / run))]
    if walls:
        found["train"] = (statistics.median(walls), f"median of {len(walls)} finished runs")
    return found


def told(size: str, counted: dict[str, int], each: Seconds, on: dict[str, Any]) -> list[str]:
    """The plan, line by line. The total takes the cores to be busy throughout; a GPU takes one job at a time."""
    if not counted:
        return [f"size {size}: nothing to be done, everything is there"]
    lines, total, unknown = [f"size {size}, for {' and '.join(TARGETS)}:"], 0.0, []
    for rule, count in counted.items():
        if rule in each:
            one, source = each[rule]
            total += count * one
            lines.append(f"  {rule:<12}{count:>5} jobs  {one:>6.0f} s each  {count * one / 60:>7.1f} min  ({source})")
        elif rule not in ("all", "runs", "scorer"):
            unknown.append(rule)
            lines.append(f"  {rule:<12}{count:>5} jobs  not measured in this size")
    side_by_side = 1 if on["device"] != "cpu" else on["cores"]
    least = "at least " if unknown else ""
    lines.append(f"together {least}about {total / 60:.0f} min of jobs, {total / 60 / side_by_side:.0f} min of waiting")
    device = "no GPU" if on["device"] == "cpu" else f"{on['device']}, one job at a time"
    lines.append(
        f"on {on['cores']} cores ({on['processor']}), {device}; the seconds are another machine's: a rough guide"
    )
    return lines


def main(argv: list[str] | None = None) -> None:
    """Command line: `--size NAME [--data-root DIR] [--results DIR]`."""
    parser = argparse.ArgumentParser(prog="python -m study.forecast", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", required=True)
    parser.add_argument("--data-root")
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args(argv)
    plan = make_plan(given.size, given.data_root)
    trained = [run.id for run in plan.runs.values() if run.params]
    import torch  # noqa: F401  (so that `machine` can say whether there is a GPU; a mistake in the config comes first)

    counted = dry_run(given.size, given.data_root)
    print("\n".join(told(given.size, counted, seconds(given.size, trained, given.results), machine())))


if __name__ == "__main__":
    cli(main)
