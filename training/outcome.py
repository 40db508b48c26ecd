"""How a run ended, as its `run.json` tells whoever uses what it left."""

from __future__ import annotations

from pathlib import Path

from training.json_files import read_object


def failed_because(policy: str | None) -> str | None:
    """Why the training run that owns the file or folder `policy` failed; None if it did not fail."""
    record = Path(policy).parent / "run.json" if policy else None
    if record is None or not record.is_file():
        return None
    run = read_object(record, {}, "train the run again")
    return str(run.get("why") or "no reason given") if run.get("status") == "failed" else None
