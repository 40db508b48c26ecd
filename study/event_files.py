"""The logs of runs as TensorBoard event files.

    python -m study.event_files [--runs results/runs] [--out results/tensorboard]

Training writes JSON lines; this only converts them, so that training stays as it is. `train.jsonl` becomes curves of
each update, `curves.jsonl` (validation prompts) curves of means and histograms over the responses.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import UserError, cli

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log, none where there is no such file; a last line that is still being written is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"{path} is damaged ({error}); make that run again") from error


def add_run(writer: SummaryWriter, folder: Path) -> None:
    """All rows of one run."""
    import numpy as np

    for row in rows(folder / "train.jsonl"):
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(f"update/{name}", value, row["step"])
    for row in rows(folder / "curves.jsonl"):
        for name, values in row.items():
            if name != "step":
                writer.add_scalar(f"validation/{name}", float(np.mean(values)), row["step"])
                writer.add_histogram(f"validation/{name}", np.asarray(values, dtype=np.float64), row["step"])


def convert(runs: Path, out: Path) -> list[str]:
    """Write the event files of every run below `runs`, anew; returns the runs. `UserError` where there is none."""
    from torch.utils.tensorboard import SummaryWriter

    folders = sorted(path.parent for path in runs.glob("*/train.jsonl"))
    if not folders:
        raise UserError(f"{runs} holds no training log; train something first: make tables SIZE=smoke")
    for folder in folders:
        shutil.rmtree(out / folder.name, ignore_errors=True)
        with SummaryWriter(str(out / folder.name)) as writer:
            add_run(writer, folder)
    return [folder.name for folder in folders]


def main(argv: list[str] | None = None) -> None:
    """Command line: `[--runs DIR] [--out DIR]`."""
    parser = argparse.ArgumentParser(prog="python -m study.event_files", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    parser.add_argument("--out", type=Path, default=Path("results/tensorboard"))
    given = parser.parse_args(argv)
    found = convert(given.runs, given.out)
    print(f"{len(found)} runs in {given.out}; look at them with: .venv/bin/tensorboard --logdir {given.out}")


if __name__ == "__main__":
    cli(main)
