"""Measure what the engine and the workflow cost, as ratios; write docs/benchmarks.md and results/benchmarks/.

python -m benchmarks [--only trl,divergence] [--device cuda --dtype bfloat16] [--quick] [--out DIR] [--page FILE]
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when torch is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from transformers.utils import logging

from benchmarks.page import Row, machine_in_words, put, section, to_json
from benchmarks.timing import Bench
from training.errors import UserError, cli, nearest
from training.files import check_place, write_whole
from training.folders import ROOT

NAMES = ("trl", "divergence_in_trl", "parts", "divergence", "workflow", "growth")
PAGE = ROOT / "docs" / "benchmarks.md"


def main(argv: list[str] | None = None) -> None:
    """Command line; every benchmark is written down as soon as it is done."""
    given = parse(argv)
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    bench = Bench(torch.device(given.device), given.dtype, given.quick)
    check_place(given.out)
    (given.out / given.device).mkdir(parents=True, exist_ok=True)
    machine = machine_in_words(bench.device)
    for name in given.only:
        print(f"measuring {name}", flush=True)
        measure: Callable[[Bench], list[Row]] = import_module(f"benchmarks.{name}").measure
        rows, command = measure(bench), shown(name, given)
        about = {"name": name, "command": command, "machine": machine}
        write_whole(given.out / given.device / f"{name}.json", to_json(rows, about))
        text = section(rows, command, machine)
        put(given.page, f"{name} {given.device}", text)
        print(text, flush=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Checked arguments; `only` as a list of benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--quick", action="store_true", help="tiny and twice: that it works, not what it costs")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args(argv)
    given.only = given.only.split(",")
    for name in given.only:
        if name not in NAMES:
            raise UserError(f"--only: there is no benchmark '{name}'; {nearest(name, NAMES)}")
    if given.quick and given.page.resolve() == PAGE:
        raise UserError("--quick measures nothing worth publishing; name another file with --page")
    if given.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return given


def shown(name: str, given: argparse.Namespace) -> str:
    """The command that measures this benchmark alone."""
    on = "" if given.device == "cpu" else f" --device {given.device} --dtype {given.dtype}"
    return f"python -m benchmarks --only {name}{on}{' --quick' if given.quick else ''}"


if __name__ == "__main__":
    cli(main)
