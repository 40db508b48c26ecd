"""What a reader must know about a size before trusting its tables: `quality.md`, by severity.

Errors: a run is missing or failed, a scorer is wrong on a known answer. Warnings: the comparison may mislead or is
left open. Notes: seen, and small. The bounds that tell a warning from a note are `LIMITS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation import lineage, measures
from evaluation.captions import in_percent
from evaluation.collected import Collected, Pair, Row, Test
from evaluation.columns import RECORDS
from evaluation.controls import checks
from evaluation.equal_compute import monitored
from evaluation.statistics import Array, Estimate, independent_difference, mean_interval, not_negative
from evaluation.table_files import Table, pipe_table

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")
LIMITS = {"finished": 0.05, "extracted": 0.05, "floored": 0.01}  # shares of responses, of responses, of tokens
SAID = {
    "finished": "Responses cut at the length limit",
    "extracted": "Responses without a strict answer",
    "floored": "Tokens at the teacher's probability floor: the KL is a bound there",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know: how bad it is, where, what, and the runs concerned."""

    severity: str
    where: str
    what: str
    runs: tuple[str, ...] = ()


def findings(size: Collected, tables: Sequence[Table] = ()) -> list[Finding]:
    """Everything found, worst first. `tables` are the tables made of the size, for the verdicts they leave open."""
    found = [*_runs(size), *_made(size), *_undecided(tables)]
    for name, pair in size.pairs.items():
        rows = [row for row in size.rows(name, "method", "reference") if row.finished]
        found += [*_controls(size, name), *_monitored(size, name, pair, rows)]
        for test in pair.tests:
            for metric in LIMITS:
                found += _shares(size, f"{name}, {test.title}", rows, test, metric)
        if rows and max(len(row.runs) for row in rows) == 1:
            found.append(Finding(NOTE, name, "One training seed: intervals say nothing about other seeds."))
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def _runs(size: Collected) -> Iterator[Finding]:
    for run in size.runs:
        if run.status != "ok":
            what = f"{run.name}, seed {run.seed}: {run.status}, {run.why or 'no reason was recorded'}."
            yield Finding(ERROR, run.pair, what, (run.run,))


def _made(size: Collected) -> Iterator[Finding]:
    """Whether runs that are compared were made with the same software and kernels; other ones round otherwise."""
    for job in RECORDS:
        known = Counter(made for run in size.runs if run.status == "ok" for what, made in run.made if what == job)
        if len(known) > 1:
            listed = "; ".join(f"{made}: {count}" for made, count in known.most_common())
            what = f"Runs that were not {job} alike, so that rows may differ for that alone ({listed})."
            yield Finding(WARNING, "all pairs", what)


def _controls(size: Collected, pair: str) -> Iterator[Finding]:
    for check in checks(size, pair):
        if check.passed is None:
            yield Finding(NOTE, pair, f"Control not measured: {check.name} ({check.verdict}).", check.runs)
        elif not check.passed:
            shown = _interval(check.measured)
            what = f"Control out of range: {check.name} is {shown}, must be {check.must}."
            yield Finding(ERROR if check.scorer else WARNING, pair, what, check.runs)


def _undecided(tables: Sequence[Table]) -> Iterator[Finding]:
    """One finding per group of a table that leaves verdicts open, for wide intervals or lost runs."""
    for table in tables:
        for group, lines in table.groups:
            left = [line for line in lines if line.cells.get("verdict") == "undecided"]
            if left:
                what = f"Undecided in table {table.name}: {', '.join(line.label for line in left)}."
                yield Finding(WARNING, group, what, lineage.union(line.runs for line in left))


def _shares(size: Collected, where: str, rows: list[Row], test: Test, metric: str) -> Iterator[Finding]:
    """Rows with any truncated, unextracted or floored share: those beyond the limit, and the others."""
    known = {row: found for row in rows if (found := _share(size, row, test, metric)) and found.mean > 0.0}
    for severity, beyond in ((WARNING, True), (NOTE, False)):
        chosen = {row: found for row, found in known.items() if (found.mean > LIMITS[metric]) is beyond}
        if chosen:
            listed = ", ".join(f"{row.label} {in_percent(found)}" for row, found in chosen.items())
            yield Finding(severity, where, f"{SAID[metric]}: {listed}.", lineage.union(row.ids for row in chosen))


def _share(size: Collected, row: Row, test: Test, metric: str) -> Estimate | None:
    if metric != "floored":
        return measures.missing_share(size, row, test.name, metric)
    tokens = size.stacked(row, test.name, metric)
    return None if tokens is None else not_negative(mean_interval(tokens))


def _monitored(size: Collected, name: str, pair: Pair, rows: list[Row]) -> Iterator[Finding]:
    """Satisfaction by the trainer's log at its last step against the scorer's on the first test set."""
    test = pair.tests[0]
    for row in rows:
        logged, scored = last_logged(size, row), measures.satisfied(size, row, test.name)
        if logged is None or scored is None:
            continue
        difference = independent_difference(logged, scored)
        if difference.low > 0.0 or difference.high < 0.0:
            what = (
                f"{row.label}: the trainer's log has {100 * logged.mean():.1f} % of validation responses within d, the "
                f"scorer {100 * scored.mean():.1f} % on {test.title}; difference {in_percent(difference, 'points')}."
            )
            yield Finding(WARNING, name, what, row.ids)


def last_logged(size: Collected, row: Row) -> Array | None:
    """1 where a validation response of the monitor's last row is within d, else 0: (seeds, prompts, 1)."""
    pair = size.pairs[row.pair]
    costs = [monitored(size, run.run)[f"kl_{pair.reading}"].to_numpy(dtype=np.float64) for run in row.finished]
    found = [measures.within(kl, pair.threshold.d)[:, None] for kl in costs]
    whole = bool(found) and len({len(one) for one in found}) == 1 and len(found[0]) > 0
    return np.stack(found) if whole else None


def counts(found: Iterable[Finding]) -> str:
    """How many of each severity, as a sentence."""
    severities = [one.severity for one in found]
    told = [f"{severities.count(s)} {s}{'' if severities.count(s) == 1 else 's'}" for s in SEVERITIES]
    return f"Quality: {', '.join(told)}."


def document(size: Collected, found: list[Finding]) -> str:
    """`quality.md` as text."""
    lines = [
        f"# Quality of size {size.size}", "", counts(found), "",
        "Errors make numbers wrong or missing. Warnings: the comparison may mislead, or is left open. Notes are small. "
        f"A warning begins at {LIMITS['finished']:.0%} of responses truncated or without an answer and at "
        f"{LIMITS['floored']:.0%} of tokens at the floor (teacher probability at most twice the floor's share). The "
        "trainer's log and the scorer disagree where the 95 % interval of their difference leaves out 0: by chance in "
        "one row of twenty, or since the first test set is of another kind than the training problems.", "",
    ]  # fmt: skip
    rows = [["severity", "where", "finding", "runs"], [":--"] * 4]
    for one in found:
        runs = ", ".join(f"`{run}`" for run in one.runs[:2])
        runs += f" and {len(one.runs) - 2} more" if len(one.runs) > 2 else ""
        rows.append([one.severity, one.where, one.what, runs])
    behind = lineage.line(sorted({run.run for run in size.runs}), "tables/sources.json")
    return "\n".join([*lines, pipe_table(rows), "", behind, ""])


def _interval(found: Estimate | None) -> str:
    return "not measured" if found is None else f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}]"
