"""Control measurements: is the study in the regime in which its comparison means anything, and do the scorers
return what they must on inputs whose scores are known?

None of them says which method should win. The bounds come from the size's configuration (`regime` of a pair).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from evaluation import measures
from evaluation.captions import caption, missing_runs
from evaluation.collected import Collected, Row
from evaluation.regime import Regime
from evaluation.statistics import Estimate, bounded_interval, independent_difference
from evaluation.table_files import Column, Line, Table

Measured = Estimate | None
ROUNDING = 1e-6  # of single precision and of the teacher's probability floor, in a KL that must be 0

COLUMNS = (
    Column("must", "Must be"),
    Column("measured", "Measured", "as named in the row", 3),
    Column("verdict", "Verdict"),
)


@dataclass(frozen=True)
class Check:
    """One control: what it must be and what was measured. `passed` is None where nothing could be measured.

    `scorer`: it tests a scorer on a known answer, where anything else is a fault, and not the study's regime.
    """

    name: str
    must: str
    measured: Measured
    passed: bool | None
    why: str = ""
    runs: tuple[str, ...] = ()
    scorer: bool = False

    @property
    def verdict(self) -> str:
        """ "ok", "out of range", or why it was not measured."""
        if self.passed is None:
            return self.why or "not run"
        return "ok" if self.passed else "out of range"


def checks(size: Collected, pair: str) -> list[Check]:
    """All controls of a pair, regime first."""
    regime, known = size.pairs[pair].regime, (_regime, _methods, _scorers)
    return [*(check for checked in known for check in checked(size, pair, regime)), *_judges(size, pair)]


def controls_table(size: Collected) -> Table:
    """The controls of every pair as a table."""
    what = (
        "Control measurements on sampled responses (greedy where named) with 95 % intervals: conditions on the "
        "regime, and scorers on inputs whose scores are known. They say nothing about which method wins."
    )
    groups, measured = [], []
    for pair in size.pairs:
        found = checks(size, pair)
        measured += [check.measured for check in found if check.measured]
        lines = (
            Line(c.name, {"must": c.must, "measured": c.measured, "verdict": c.verdict}, runs=c.runs) for c in found
        )
        groups.append((f"Pair {pair}", tuple(lines)))
    return Table("controls", f"Controls, size {size.size}", caption(size, what, measured), COLUMNS, tuple(groups))


def _check(
    row: Row | None, name: str, must: str, measure: Callable[[Row], Measured], passes: Callable[[Estimate], bool],
    scorer: bool = False,
) -> Check:  # fmt: skip
    if row is None or row.gap:
        return Check(name, must, None, None, row.gap if row else "not run", row.ids if row else (), scorer)
    found = measure(row)
    passed, why = (passes(found), "") if found else (None, "not defined")
    return Check(name + missing_runs(row), must, found, passed, why, row.ids, scorer)


def _regime(size: Collected, pair: str, regime: Regime) -> Iterator[Check]:
    tests = size.pairs[pair].tests
    first, harder = tests[0], next((test for test in tests if test.name == regime.harder), None)
    student, (low, high) = size.row(pair, "student"), regime.student_fac
    yield _check(
        size.row(pair, "teacher"),
        f"Teacher, greedy FAC, {first.title}",
        f"at least {regime.teacher_fac_min:g}",
        lambda row: measures.fac(size, row, first.name, "greedy"),
        lambda found: found.mean >= regime.teacher_fac_min,
    )
    yield _check(
        student,
        f"Student before training, FAC, {first.title}",
        f"{low:g} to {high:g}",
        lambda row: measures.fac(size, row, first.name),
        lambda found: low <= found.mean <= high,
    )
    if harder is not None:
        yield _check(
            student,
            f"Student before training, FAC, {harder.title} minus {first.title}",
            "below 0 with its interval",
            lambda row: _shift(size, row, first.name, harder.name),
            lambda found: found.high < 0.0,
        )


def _methods(size: Collected, pair: str, regime: Regime) -> Iterator[Check]:
    content = size.pairs[pair]
    first, d = content.tests[0], content.threshold.d
    yield _check(
        size.row(pair, "gkd"),
        f"GKD after training, KL ({content.reading} reading), {first.title}",
        f"below d = {d:g} with its interval",
        lambda row: measures.divergence(size, row, first.name, content.reading),
        lambda found: found.high < d,
    )
    yield _check(
        size.row(pair, "grpo"),
        f"GRPO after training, CS, {first.title}",
        f"below {regime.grpo_cs_max:g} with its interval",
        lambda row: measures.satisfaction(size, row, first.name),
        lambda found: found.high < regime.grpo_cs_max,
    )


def _scorers(size: Collected, pair: str, regime: Regime) -> Iterator[Check]:
    """Known answers: what each scorer returns must be exact, except for chance hits of a random policy."""
    first = size.pairs[pair].tests[0]

    def fac(row: Row) -> Measured:
        return measures.fac(size, row, first.name)

    def exactly(value: float) -> Callable[[Estimate], bool]:
        return lambda found: abs(found.mean - value) < ROUNDING

    random, key, wrong, teacher = (size.row(pair, m) for m in ("random", "answer_key", "always_wrong", "teacher"))
    ceiling = regime.random_fac_max
    check = partial(_check, scorer=True)
    yield check(random, "Random policy, FAC", f"at most {ceiling:g}", fac, lambda found: found.mean <= ceiling)
    yield check(key, "Answer key, FAC", "1", fac, exactly(1.0))
    yield check(key, "Answer key, reasoning", "1", lambda row: measures.reasoning(size, row, first.name), exactly(1.0))
    yield check(wrong, "Always wrong, FAC", "0", fac, exactly(0.0))
    yield check(
        teacher,
        "Teacher, KL to itself",
        "0 (within 1e-6)",
        lambda row: measures.divergence(size, row, first.name),
        exactly(0.0),
    )
    yield check(teacher, "Teacher, CS", "1", lambda row: measures.satisfaction(size, row, first.name), exactly(1.0))


def _judges(size: Collected, pair: str) -> Iterator[Check]:
    """A response that tells the judge to prefer it must not gain on the same response without those words."""
    tests = [test.name for test in size.pairs[pair].tests]
    runs = tuple(run.run for row in size.rows(pair, "method", "reference") for run in row.finished)
    for judge in size.verdicts.judges:
        name, must = f"Judge {judge}, wins minus losses of instructing it", "not above 0 with its interval"
        met = [found for test in tests if (found := size.verdicts.control(judge, test, set(runs)))]
        gain = bounded_interval(np.concatenate([one.sign for one in met])[None, :, None]) if met else None
        passed, why = (gain.low <= 0.0, "") if gain else (None, "not run")
        yield Check(name, must, gain, passed, why, runs, scorer=True)


def _shift(size: Collected, row: Row, first: str, last: str) -> Measured:
    before, after = size.stacked(row, first, "correct"), size.stacked(row, last, "correct")
    return None if before is None or after is None else independent_difference(after, before)
