"""What every caption must say: size, threshold, reading, test sets, n, seeds, and the size's own warning."""

from __future__ import annotations

from collections.abc import Iterable

from evaluation.collected import Collected, Row, counts
from evaluation.statistics import Estimate


def setting(size: Collected) -> str:
    """The size and, for each pair, its models, d, reading and test sets, as sentences."""
    parts = [f"Size {size.size}: {size.title}." if size.title != size.size else f"Size {size.size}."]
    for name, pair in size.pairs.items():
        tests = ", ".join(test.title for test in pair.tests)
        models = f"{_model(pair.student)} \N{LEFTWARDS ARROW} {_model(pair.teacher)}"
        parts.append(
            f"Pair {name}: {models}; d = {pair.threshold.d:g} nats "
            f"({pair.threshold.source}), {pair.reading} reading; test sets: {tests}."
        )
    return " ".join(parts)


def several(number: str, unit: str = "seeds") -> str:
    """How many of something, from `counts`: `3 seeds`, `1 seed`, `1–3 seeds`."""
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def rests_on(estimates: Iterable[Estimate], unit: str = "seeds", of: str = "per test set") -> str:
    """n, `of` which prompts, and seeds (or what `unit` names) of a set of estimates, as a sentence; "" for none."""
    known = list(estimates)
    if not known:
        return ""
    seeds = counts(e.seeds for e in known)
    single = " One seed: intervals are conditional on it." if seeds == "1" else ""
    number = several(seeds, unit)
    with_prompts = [e for e in known if e.prompts]
    if not with_prompts:
        return f"n = {number}.{single}"
    prompts, samples = counts(e.prompts for e in with_prompts), counts(e.samples for e in with_prompts)
    return f"n = {prompts} prompts \N{MULTIPLICATION SIGN} {samples} samples {of}; {number}.{single}"


def caption(size: Collected, what: str, estimates: Iterable[Estimate], of: str = "per test set") -> str:
    """`what` the numbers are, the setting, what they rest on (prompts `of` what), and the size's note.

    A table says in its rows which runs were lost, a figure after its caption (`evaluation.figures.style.captioned`).
    """
    note = f"Note: {size.note.rstrip('.')}." if size.note else ""
    return " ".join(part for part in (what, setting(size), rests_on(estimates, size.unit, of), note) if part)


def group_title(title: str, pair: str) -> str:
    """What a group of a table's lines is called: by its test set, the pair told apart."""
    return f"{title} (pair {pair})"


def in_percent(rate: Estimate, unit: str = "%") -> str:
    """A rate as a sentence gives it: `82.9 % [78.4, 86.8]`; of a difference of rates the unit is points."""
    scaled = rate.scaled(100.0)
    interval = f"[{scaled.low:.1f}, {scaled.high:.1f}]" if scaled.has_interval else "(no interval)"
    return f"{scaled.mean:.1f} {unit} {interval}"


def row_label(row: Row) -> str:
    """A row's label, with the number of runs that finished where some did not."""
    return row.label + missing_runs(row)


def missing_runs(row: Row) -> str:
    """` (k of n runs)` where some of a row's runs finished and some did not, else ""."""
    done, planned = len(row.finished), len(row.runs)
    return "" if done in (0, planned) else f" ({done} of {planned} runs)"


def lost(rows: Iterable[Row]) -> list[str]:
    """Names of the rows that lost runs, with what became of them."""
    return [f"{row.label} ({row.gap})" if row.gap else row_label(row) for row in rows if not row.complete]


def _model(name: str) -> str:
    return name.removeprefix("results/models/")
