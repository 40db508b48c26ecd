"""Snakemake's command line for a size, and what its dry run says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from training.errors import UserError

TARGETS = ("results/tables", "runs")


def jobs(text: str) -> dict[str, int]:
    """Jobs by rule from the table that a dry run of Snakemake prints; empty where nothing is to be done."""
    table = re.search(r"job +count\n-+ +-+\n(.*?)\ntotal", text, re.S)
    return {name: int(count) for name, count in (line.split() for line in table[1].splitlines())} if table else {}


def command(size: str, data_root: str | None, *options: str) -> list[str]:
    """The command that makes everything of a size, with these options."""
    config = [f"size={size}", *([f"data_root={data_root}"] if data_root else [])]
    return [sys.executable, "-m", "snakemake", "--cores", "all", *options, "--config", *config, "--", *TARGETS]


def dry_run(size: str, data_root: str | None = None, cwd: Path | None = None) -> dict[str, int]:
    """What Snakemake would run for a size, here or in the tree `cwd`; `UserError` in its own words where it refuses."""
    asked = command(size, data_root, "--dry-run", "--nolock")
    done = subprocess.run(asked, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"Snakemake cannot plan size {size}: {cause(done.stderr + done.stdout)}")
    return jobs(done.stdout)


def cause(said: str) -> str:
    """Why Snakemake stopped, on one line: what it said from the last error on, without places in files."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not re.match(r'\s+File "', line)]
    starts = [at for at, line in enumerate(lines) if re.match(r"(snakemake: )?error:|\w*(Error|Exception)\b", line)]
    return " ".join(lines[starts[-1] :] if starts else lines[-1:])
