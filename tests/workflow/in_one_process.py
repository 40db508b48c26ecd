"""Run the commands that a dry run of Snakemake printed, one after another, modules in this process.

    snakemake --dry-run --printshellcmds ... | python -m tests.workflow.in_one_process

The same modules with the same arguments as the jobs would run, without the start of Python and torch for each. Where
a command stops, this process stops with its exit code.
"""

from __future__ import annotations

import runpy
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

MARK = "Shell command: "
MODULE = "python -m "
ENDS = {"2>", ">", "2>&1", "|"}  # what the shell does with the output


def words(line: str) -> list[str]:
    """Module and arguments of a printed command."""
    found = shlex.split(line.removeprefix(MODULE))
    return found[: next((i for i, word in enumerate(found) if word in ENDS), len(found))]


def run(line: str) -> str:
    """Run a command; returns the name of the job."""
    command = words(line)
    for path in (Path(word) for word in shlex.split(line) if word.startswith("results/")):
        path.parent.mkdir(parents=True, exist_ok=True)  # as Snakemake does
    if not line.startswith(MODULE):  # the copies of the last rule
        subprocess.run(line, shell=True, check=True)
        return line.split()[0].strip("(")
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    return command[command.index("--") + 1] if "--" in command else command[0]


def main() -> None:
    """Run what standard input names; prints the seconds by module."""
    sys.path.insert(0, "")
    seconds: Counter[str] = Counter()
    printed = (line.strip().removeprefix(MARK) for line in sys.stdin if line.strip().startswith(MARK))
    for line in (line for line in printed if line != "None"):  # a rule that only names files
        start = time.perf_counter()
        seconds[run(line)] += time.perf_counter() - start
    print({job: round(spent, 1) for job, spent in seconds.items()})


if __name__ == "__main__":
    main()
