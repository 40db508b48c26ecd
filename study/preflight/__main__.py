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
from study.machine import card_out_of_reach
from study.plan import check_inputs, draft
from study.precision import slow_bfloat16
from study.preflight.costs import GB, HERE, Known, cost_findings, find_device
from study.preflight.data_checks import data_findings, prompt_lengths
from study.preflight.facts import facts
from study.preflight.findings import Finding
from study.preflight.hours import clock
from study.preflight.pair_checks import folder_findings, pair_findings
from training.engine import not_installed
from training.errors import UserError, cli

WIDTHS = (9, 18, 16)  # level, subject, what; the finding takes the rest
LINE = 120
SAID = ("model", "problems", "token ids")  # where one of these is refused, planning would say it again


def findings(name: str, size: Size, device: str | None) -> Iterator[Finding]:
    """Everything there is to say about `config/<name>.yaml`, pairs first."""
    known: Known = {}
    for pair, content in size.pairs.items():
        faults = folder_findings(pair, content)
        yield from faults
        if not faults:
            student, teacher = facts(content.student), facts(content.teacher)
            known[pair] = (student, teacher, prompt_lengths(content, student, size.data_root))
            yield from pair_findings(pair, *known[pair], longest_response(size, pair))
        yield from data_findings(pair, content, size.data_root)
        if lacking := not_installed(size.train_of(pair)):  # jobs may have an environment of their own
            yield Finding("warning", pair, "packages", f"{lacking} where its runs are trained")
    card, origin = find_device(device, size)
    yield Finding("note", "all", "device", f"{card.title}, {card.memory / GB:.0f} GB ({origin})")
    unused = card_out_of_reach() if origin == HERE else None
    if unused:
        yield Finding("warning", "all", "device", unused)
    slow = slow_bfloat16(size) if card.cores or unused else None
    if slow:
        yield Finding("warning", "all", "bfloat16", f"{slow}; hours below are not those of this processor")
    yield from cost_findings(size, known, clock(name, card, origin == HERE))


def plan_findings(name: str, root: str | None, found: list[Finding]) -> Iterator[Finding]:
    """What planning refuses; of models and data where `found` refuses nothing, since it says the same of them."""
    try:
        plan = draft(name, root)
        if not any(finding.level == "refused" and finding.what in SAID for finding in found):
            check_inputs(plan)
    except UserError as error:
        yield Finding("refused", "all", "plan", str(error))


def longest_response(size: Size, pair: str) -> int:
    """Tokens of the longest response of a pair, in training or in the evaluation."""
    return max(size.train_of(pair).max_new_tokens, size.evaluate_of(pair).max_new_tokens)


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
    parser.add_argument("--device", help="a card to reckon with in place of this machine's (study/devices.py)")
    parser.add_argument("--data-root", help="folder with local copies of the data sets")
    given = parser.parse_args(argv)
    size, root = load_size(given.size), given.data_root or None
    size = size.model_copy(update={"data_root": root or size.data_root})
    rows = list(findings(given.size, size, given.device or None))
    rows += plan_findings(given.size, root, rows)
    print(f"Preflight of size {given.size}: {size.title}\n")
    print(table(rows))
    counts = {level: sum(row.level == level for row in rows) for level in ("refused", "warning")}
    verdict = "not ready" if counts["refused"] else "ready"
    print(f"\n{verdict}: {counts['refused']} refused, {counts['warning']} warnings")
    if counts["refused"]:
        sys.exit(1)


if __name__ == "__main__":
    cli(main)
