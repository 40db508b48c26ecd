"""Which runs a table or figure rests on, as the line that ends it says it (the list beside tables: `table_runs`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

NAMED = 8  # runs that a line names; of more it gives the number and the set's hash
BESIDE = "sources.json"


def union(sets: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All run ids, each once, in the order in which they come."""
    return tuple(dict.fromkeys(run for runs in sets for run in runs))


def digest(runs: Iterable[str]) -> str:
    """Hash of a set of run ids: two tables that show the same one rest on the same runs."""
    return hashlib.sha256("\n".join(sorted(set(runs))).encode()).hexdigest()[:8]


def line(runs: Sequence[str], beside: str = BESIDE) -> str:
    """The line under a table or figure. `beside`: the file in the same folder that lists the runs."""
    if not runs:
        return "Runs: none; computed, not measured."
    if len(runs) <= NAMED:
        return f"Runs: {', '.join(runs)}."
    return f"Runs: {len(runs)}, set {digest(runs)}, listed in {beside}."
