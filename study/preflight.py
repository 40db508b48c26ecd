"""What a size needs and whether it can be had, in one table, before anything is spent.

    python -m study.preflight --size paper [--device h100_80gb] [--data-root FOLDER]

Computes nothing and loads no model. Exit code 0 where nothing is refused, 1 where something is, 2 for a faulty config.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator

from study.config import Size, load_size
from study.costs import cost_findings, find_device
from study.facts import facts
from study.pair_checks import Finding, data_findings, pair_findings
from training.errors import cli

WIDTHS = (9, 18, 16)  # level, subject, what; the finding takes the rest
LINE = 120


def findings(size: Size, where: str, device: str | None, root: str | None) -> Iterator[Finding]:
    """Everything there is to say about a size, pairs first."""
    known = {name: (facts(pair.student), facts(pair.teacher)) for name, pair in size.pairs.items()}
    for name, pair in size.pairs.items():
        yield from pair_findings(name, *known[name], size.train_of(name, where))
        yield from data_findings(name, pair, root or size.data_root)
    yield from cost_findings(size, known, *find_device(device, size))


def table(rows: list[Finding]) -> str:
    """The findings as aligned lines, wrapped in their last column."""
    left = sum(WIDTHS) + 2 * len(WIDTHS)
    lines = [
        "  ".join(title.ljust(width) for title, width in zip(("", "subject", "what"), WIDTHS, strict=True)) + "  found"
    ]
    for row in rows:
        first = [text.ljust(width) for text, width in zip((row.level, row.subject, row.what), WIDTHS, strict=True)]
        wrapped = textwrap.wrap(row.found, LINE - left, break_long_words=False) or [""]
        lines.append("  ".join([*first, wrapped[0]]))
        lines += [" " * left + more for more in wrapped[1:]]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Command line; prints the table, exits with 1 where something is refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", required=True, help="a size in config/")
    parser.add_argument("--device", help="a card to reckon with in place of this machine's (study/estimates.py)")
    parser.add_argument("--data-root", help="folder with local copies of the data sets")
    given = parser.parse_args(argv)
    size = load_size(given.size)
    rows = list(findings(size, f"config/{given.size}.yaml", given.device or None, given.data_root or None))
    print(f"Preflight of size {given.size}: {size.title}\n")
    print(table(rows))
    counts = {level: sum(row.level == level for row in rows) for level in ("refused", "warning")}
    verdict = "not ready" if counts["refused"] else "ready"
    print(f"\n{verdict}: {counts['refused']} refused, {counts['warning']} warnings")
    if counts["refused"]:
        sys.exit(1)


if __name__ == "__main__":
    cli(main)
