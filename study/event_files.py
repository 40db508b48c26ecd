"""The logs of runs as TensorBoard event files.

    python -m study.event_files [--runs results/runs] [--out results/tensorboard]

Training writes JSON lines; this only converts them, so that training stays as it is. `train.jsonl` becomes curves of
each update, `curves.jsonl` (validation prompts) curves of means and histograms over the responses.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import UserError, cli

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


Log = TypeVar("Log", bound=BaseModel)


class Update(BaseModel):
    """A row of `train.jsonl`: plain numbers."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, float]
    step: int


class Curve(BaseModel):
    """A row of `curves.jsonl`: lists with a number per response, NaN of a policy that diverged."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Annotated[list[float], Field(min_length=1)]]
    step: int


def rows(path: Path, kind: type[Log]) -> Iterator[Log]:
    """The rows of a log, none where there is no such file; a last line that is still being written is left out."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.is_file() else [], 1):
        try:
            yield kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            what = ": ".join([*(repr(key) for key in first["loc"][:1]), first["msg"]])
            raise UserError(
                f"{path}, line {number}: {what}; delete {path.parent} and run make tables with its SIZE"
            ) from error


def add_run(writer: SummaryWriter, folder: Path) -> None:
    """All rows of one run."""
    import numpy as np

    for update in rows(folder / "train.jsonl", Update):
        for name, value in update.__pydantic_extra__.items():
            writer.add_scalar(f"update/{name}", value, update.step)
    for curve in rows(folder / "curves.jsonl", Curve):
        for name, values in curve.__pydantic_extra__.items():
            writer.add_scalar(f"validation/{name}", float(np.mean(values)), curve.step)
            if finite := [value for value in values if np.isfinite(value)]:
                writer.add_histogram(f"validation/{name}", np.asarray(finite, dtype=np.float64), curve.step)


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
