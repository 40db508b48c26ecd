"""Results as JSON (`results/benchmarks/`) and as tables between the markers of docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import LEVEL, Ratio, Rounds, ratio
from study.machine import processor
from training.errors import UserError
from training.files import write_whole


@dataclass(frozen=True)
class Row:
    """One comparison: what it is of, the two sides' values by round, and the most that their ratio should be.

    `exact` values are estimated, not measured: their ratio has no interval. `more` are further columns.
    """

    labels: dict[str, str]
    rounds: Rounds
    target: float | None = None
    unit: str = "s"
    exact: bool = False
    more: dict[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> Ratio:
        """The first side over the second."""
        return ratio(self.rounds)

    def cells(self) -> dict[str, str]:
        """The row's columns by title."""
        found = self.ratio
        alone = self.exact or found.n == 1
        interval = "" if alone else f" [{found.low:.2f}, {found.high:.2f}]"
        cells = {**self.labels, "ratio": f"{found.median:.2f}{interval}"}
        if self.target is not None:
            cells["target"] = f"≤ {self.target:g}: {self.verdict()}"
        return {**cells, **self.more, "n": "estimated" if self.exact else str(found.n)}

    def verdict(self) -> str:
        """Whether the target is met: met or missed by the whole interval, else undecided."""
        assert self.target is not None
        if self.ratio.high <= self.target:
            return "met"
        return "undecided" if self.ratio.low <= self.target else "missed"


def machine_in_words(device: torch.device) -> str:
    """The machine without its name: cores, kind of processor, its widest instruction sets, the GPU if one is used."""
    name, sets = processor()
    wide = [kind for kind in ("amx_bf16", "avx512f", "avx2", "asimd") if kind in sets][:2]
    used = "one thread" if device.type == "cpu" else torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} cores, {name} ({', '.join(wide)}), {used}"


def to_json(rows: list[Row], about: dict[str, Any]) -> str:
    """Everything measured, with the ratios."""
    found = [{**asdict(row), "ratio": asdict(row.ratio)} for row in rows]
    return json.dumps({**about, "rows": found}, indent=1, ensure_ascii=False) + "\n"


def tables(rows: Iterable[Row]) -> str:
    """Markdown tables, one for each title of a first column; a column that a row has not is empty there."""
    parts = []
    for _, group in groupby((row.cells() for row in rows), key=lambda cells: next(iter(cells))):
        lines = list(group)
        titles = [title for title in dict.fromkeys(title for cells in lines for title in cells) if title != "n"] + ["n"]
        table = [titles, ["---"] * len(titles), *([cells.get(title, "") for title in titles] for cells in lines)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in table))
    return "\n\n".join(parts)


def section(rows: list[Row], command: str, machine: str) -> str:
    """What stands between the markers of a benchmark."""
    least = min((row.ratio.n for row in rows if not row.exact and row.ratio.n > 1), default=0)
    level = f"; intervals of the median hold at least {LEVEL:.0%}" if least >= 6 else ""
    return f"`{command}` on {machine}{level}.\n\n{tables(rows)}"


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->`."""
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = page.read_text(encoding="utf-8") if page.is_file() else ""
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.S)
    if len(pattern.findall(old)) != 1:
        raise UserError(f"{page} has no place for '{name}': it must hold {marks[0]} and {marks[1]} once; add them")
    fresh: Callable[[re.Match[str]], str] = lambda _: f"{marks[0]}\n{text}\n{marks[1]}"  # noqa: E731
    write_whole(page, pattern.sub(fresh, old))
