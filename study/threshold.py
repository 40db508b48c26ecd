"""The threshold d of a pair: given, or a quantile of what a pure-KL run reaches.

    python -m study.threshold --params JSON [--curves FILE] --out FILE

The authors picked d from preliminary pure-KL runs (stated). `calibrate: q` does the same: d is the q-quantile of
the per-response KLs at that run's last measurement, on validation prompts, which are no test prompts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import UserError, cli


def threshold(params: dict[str, Any], curves: Path | None) -> dict[str, Any]:
    """`{"d": nats, "source": how it came about}`; raises `UserError` where the run measured nothing."""
    if params["d"] is not None:
        return {"d": params["d"], "source": "given"}
    rows = curves.read_text().splitlines() if curves else []
    if not rows:
        raise UserError(f"run '{params['run']}' has no measurement to calibrate d from; see its run.json")
    last = json.loads(rows[-1])
    d = float(np.quantile(last[f"kl_{params['reading']}"], params["calibrate"]))
    source = f"calibrated: {params['calibrate']:g}-quantile of {len(last['reward'])} responses of run {params['run']}"
    return {"d": round(d, 6), "source": source}


def main(argv: list[str] | None = None) -> None:
    """Command line of the threshold rule."""
    parser = argparse.ArgumentParser(description="Write the threshold d of a pair.")
    parser.add_argument("--params", type=json.loads, required=True)
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    arguments.out.write_text(json.dumps(threshold(arguments.params, arguments.curves)))


if __name__ == "__main__":
    cli(main)
