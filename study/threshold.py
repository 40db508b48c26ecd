"""The threshold d of a pair: given, or a quantile of what a pure-KL run reaches.

    python -m study.threshold --params JSON [--curves FILE] --out FILE

The authors picked d from preliminary pure-KL runs (stated). `calibrate: q` does the same: d is the q-quantile of
the per-response KLs at that run's last measurement, on validation prompts, which are no test prompts.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from evaluation.columns import Reading
from training.errors import UserError, cli
from training.files import check_place
from training.json_files import read_rows
from training.outcome import failed_because
from training.schema import Strict, read_params


class Origin(Strict):
    """Where d comes from: given, or the `calibrate`-quantile of the KLs that `run` reaches."""

    d: float | None = Field(None, gt=0)
    calibrate: float | None = Field(None, gt=0, lt=1)
    reading: Reading = "mean"
    run: str = ""


def threshold(params: Origin, curves: Path | None) -> dict[str, Any]:
    """`{"d": nats, "source": how it came about}`; raises `UserError` where the run failed or measured nothing."""
    if params.d is not None:
        return {"d": params.d, "source": "given"}
    if params.calibrate is None:
        raise UserError("--params: neither 'd' nor 'calibrate' is given; give one of them")
    failure = failed_because(str(curves)) if curves else None
    if failure is not None:
        raise UserError(f"run '{params.run}' failed ({failure}): no d can be calibrated from it; give 'threshold.d'")
    key = f"kl_{params.reading}"
    rows = read_rows(curves, {key: list}, f"run '{params.run}' must be trained again") if curves else []
    if not rows or not rows[-1][key]:
        raise UserError(f"run '{params.run}' has no measurement to calibrate d from; see its run.json")
    values = rows[-1][key]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise UserError(f"{curves}: '{key}' of the last line is not all finite numbers; train run '{params.run}' again")
    d = float(np.quantile(values, params.calibrate))
    source = f"calibrated: {params.calibrate:g}-quantile of {len(values)} responses of run {params.run}"
    return {"d": round(d, 6), "source": source}


def main(argv: list[str] | None = None) -> None:
    """Command line of the threshold rule."""
    parser = argparse.ArgumentParser(description="Write the threshold d of a pair.")
    parser.add_argument("--params", required=True, help="JSON of Origin")
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    check_place(arguments.out, folder=False)
    arguments.out.write_text(json.dumps(threshold(read_params(Origin, arguments.params), arguments.curves)))


if __name__ == "__main__":
    cli(main)
