"""The commands that the documentation shows: lines of code blocks and code spans that begin with a program."""

from __future__ import annotations

import re
from pathlib import Path

from training.folders import ROOT

PROGRAMS = (
    "make",
    "snakemake",
    "python",
    "pip",
    "cp",
    "git",
    "conda",
    "tensorboard",
    "vllm",
    "sbatch",
    "curl",
    "export",
)
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "decisions.md"),  # a record, not instructions
)
_BLOCK = re.compile(r"^```.*?^```$", re.M | re.S)
_SPAN = re.compile(r"`([^`\n]+)`")


def commands(page: Path) -> list[str]:
    """The commands of a page, in order, comments and repeated spaces left out; one word alone is no command."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()[1:-1]]
    rest = _BLOCK.sub("", text)
    lines += [line for line in rest.splitlines() if line.startswith("    ")]
    lines += _SPAN.findall("\n".join(line for line in rest.splitlines() if not line.startswith("    ")))
    found = [" ".join(re.sub(r"\s#.*$", "", line.strip()).removeprefix("$ ").split()) for line in lines]
    return [line for line in found if line.split(" ")[0] in PROGRAMS and " " in line and line != "python -m"]


def documented() -> dict[str, list[str]]:
    """By command, the pages that show it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for command in commands(page):
            found.setdefault(command, []).append(page.name)
    return found
