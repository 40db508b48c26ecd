"""`snakemake --lint`: nothing but the exceptions that CONTRIBUTING.md lists with their reasons."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.workflow.conftest import run_in
from training.folders import ROOT


def exceptions() -> dict[str, set[str]]:
    """By lint the places of the table in CONTRIBUTING.md."""
    rows = re.findall(r"^\| (\S[^|]+\.) \| ([^|]+) \| [^|]+ \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    return {title: set(places.split(", ")) for title, places in rows}


def test_lint_says_nothing_but_what_is_listed(smoke: Path) -> None:
    done = run_in(smoke, "snakemake", "--lint", "--config", "size=smoke")
    found: dict[str, set[str]] = defaultdict(set)
    place = ""
    for line in (done.stdout + done.stderr).splitlines():
        if head := re.match(r"Lints for (?:snakefile (\S+)|rule (\S+) .*):$", line):
            place = head[2] or str(Path(head[1]).relative_to(smoke))
        elif title := re.match(r"    \* (.+):$", line):
            found[title[1]].add(place)
    assert found == exceptions()
