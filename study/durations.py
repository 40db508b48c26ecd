"""How long jobs took: seconds by rule and size as measured once (`durations.yaml`), and those of finished runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.json_files import read_object
from training.yaml_files import read_yaml

DURATIONS: dict[str, Any] = read_yaml(Path(__file__).with_name("durations.yaml"))


def finished_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """`run.json` and `cost.json` of a run that has finished; of one that failed, which says nothing of others, None.

    Raises `UserError` where a record is damaged.
    """
    remedy, record, cost = f"remove {run} and train the run again", run / "run.json", run / "cost.json"
    if not record.is_file():
        return None
    made = read_object(record, {"status": str}, remedy)
    if made["status"] != "ok" or not cost.is_file():
        return None
    return made, read_object(cost, {"wall_s": float, "steps": int}, remedy)
