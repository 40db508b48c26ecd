"""The claims of `claims.yaml`, decided by the collected runs.

A claim about several comparisons states all of them. It is *supported* where each one is shown on its own (each at
5 %: to show all of them by chance is rarer still, Berger, 1982), *contradicted* where one is shown to be the other
way round after Holm's correction for having looked at all of them (those on the claim's own side count as p = 1: what
speaks for it elsewhere is no evidence against it here), *undecided* otherwise, and *not run* where the runs it needs
are not there. Shown means that the p-value and the printed interval both say so. A row that lost some of its
runs decides nothing (those left are a selection, and too few to show their spread): it counts as absent, and a claim
that speaks of it is at most contradicted by the others. Certificates and costs are taken as they stand, each at 5 %
and uncorrected: one test set that fails contradicts. The number beside the verdict is the comparison that speaks
least for the claim.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from evaluation import measures, paired
from evaluation.captions import lost
from evaluation.certify import certify
from evaluation.collected import Collected, Row, Test
from evaluation.pairwise import win_rate_gap
from evaluation.paper_numbers import is_papers
from evaluation.paper_numbers import load as paper_numbers
from evaluation.significance import ALPHA, holm
from evaluation.statistics import Array, Estimate, bounded_interval, p_value, seed_interval
from training.errors import UserError
from training.schema import Strict, parse
from training.yaml_files import read_yaml

CLAIMS = Path(__file__).parent / "claims.yaml"
Verdict = Literal["supported", "contradicted", "undecided", "not run"]
NEEDED = {"difference": "against", "level": "value", "cost": "against", "theory": "statements"}
NAMES = {"fac": "FAC", "cs": "CS", "kl": "KL", "win": "wins - losses", "rwr": "RWR"}


class Claim(Strict):
    """One entry of `claims.yaml`; which keys it needs depends on its kind, as explained there."""

    id: str
    claim: str
    source: str
    kind: Literal["difference", "level", "certified", "cost", "theory", "deployed"]
    method: str = "cmdp"
    against: list[str] = []
    metric: Literal["fac", "cs", "kl", "win", "rwr"] = "fac"
    margin: float = 0.0
    range: tuple[float, float] | None = None
    value: float | None = None
    tests: list[str] = []
    pairs: list[str] = []
    statements: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        needed = NEEDED.get(self.kind)
        if needed and getattr(self, needed) in (None, []):
            raise ValueError(f"claim '{self.id}' of kind '{self.kind}' needs the key '{needed}'")
        if (self.kind, self.metric) == ("difference", "kl"):
            raise ValueError(f"claim '{self.id}': a difference is of a rate, where more is better; KL is a 'level'")
        return self


class _File(Strict):
    claims: list[Claim]


@dataclass(frozen=True)
class Finding:
    """A verdict, the least favourable number (None: there is none), and where it was found or what is missing."""

    verdict: Verdict
    number: Estimate | None
    where: str


@dataclass(frozen=True)
class _Comparison:
    """A difference as printed; with the margin added, so that positive speaks for the claim, its mean and its interval.

    `p` is of the hypothesis that it is 0, the margin counted.
    """

    estimate: Estimate
    mean: float
    low: float
    high: float
    p: float
    where: str


def load(path: Path = CLAIMS) -> list[Claim]:
    """All claims; `UserError` where the file is not what it must be."""
    return parse(_File, {"claims": read_yaml(path)}, str(path)).claims


def decide(claim: Claim, size: Collected, pair: str, theory: Path | None) -> Finding:
    """The finding of one claim in one pair; `theory` is the folder that holds theory_statements.csv."""
    if claim.kind == "theory":
        return _theory(claim, theory)
    if claim.pairs and not (pair in claim.pairs and is_papers(paper_numbers(), size, pair)):
        return _missing(f"needs a pair of the paper's models ({', '.join(claim.pairs)})")
    row = size.row(pair, claim.method)
    if row is None or row.gap:
        return _missing(f"needs {claim.method}" + (f", which {row.gap}" if row else ""))
    rivals = [other for other in size.rows(pair, "method") if other.method in claim.against]
    absent = [method for method in claim.against if not any(r.finished for r in rivals if r.method == method)]
    if absent:
        return _missing(f"needs a run of {', '.join(absent)}")
    tests = [test for test in size.pairs[pair].tests if not claim.tests or test.name in claim.tests]
    if not tests:
        return _missing(f"needs the test set {', '.join(claim.tests)}")
    if claim.kind == "deployed":  # a single response is the proof
        return _deployed(size, row, tests)
    absent = lost((row, *rivals))
    rivals = [other for other in rivals if other.complete]
    if not row.complete or (claim.against and not rivals):
        return Finding("undecided", None, f"needs every run of {', '.join(absent)}")
    found = _without(_compared(claim, size, row, rivals, tests), absent)
    several = sum(other.method == claim.method for other in size.rows(pair, "method")) > 1
    return replace(found, where=f"{found.where}; of the method's settings the first, {row.label}") if several else found


def _compared(claim: Claim, size: Collected, row: Row, rivals: list[Row], tests: list[Test]) -> Finding:
    """The finding from rows that have all their runs."""
    match claim.kind:
        case "difference":
            return _difference(claim, size, row, rivals, tests)
        case "cost":
            return _cost(size, row, rivals)
        case "level":
            return _level(claim, size, row, tests[0])
        case _:
            return _certified(size, row, tests)


def _missing(why: str) -> Finding:
    return Finding("not run", None, why)


def _without(finding: Finding, absent: list[str]) -> Finding:
    """A claim about every row of a kind is not supported while some of them are absent."""
    if not absent:
        return finding
    verdict: Verdict = "undecided" if finding.verdict == "supported" else finding.verdict
    return Finding(verdict, finding.number, f"{finding.where}; without {', '.join(dict.fromkeys(absent))}")


def _difference(claim: Claim, size: Collected, row: Row, rivals: list[Row], tests: list[Test]) -> Finding:
    found, absent = [], list[str]()
    for test in tests:
        for other in rivals:
            values = _values(claim, size, row, other, test)
            if values is None:
                absent.append(f"{other.label} (no comparison)")
            else:
                found.append(_comparison(claim, values, f"{NAMES[claim.metric]} against {other.label}, {test.title}"))
    if not found:
        return _missing(f"{NAMES[claim.metric]} is not defined for these runs")
    decided = _within(claim.range, found) if claim.range is not None else _all_of(found)
    return _without(decided, absent)


def _comparison(claim: Claim, values: Array, where: str) -> _Comparison:
    printed = bounded_interval(values).scaled(100.0)
    mean, low, high = (end + claim.margin for end in (printed.mean, printed.low, printed.high))
    return _Comparison(printed, mean, low, high, p_value(values + claim.margin / 100.0), where)


def _values(claim: Claim, size: Collected, row: Row, other: Row, test: Test) -> Array | None:
    """`row` minus `other` per response, a difference of shares."""
    if claim.metric == "rwr":
        return win_rate_gap(size, row, other, test.name)
    found = paired.differences(size, row, other, test.name).get(NAMES[claim.metric])
    return found.values if found else None


def _all_of(compared: list[_Comparison]) -> Finding:
    """Supported, contradicted or undecided, by the rule at the head of this file."""
    adjusted = holm([c.p if c.mean < 0 else 1.0 for c in compared])
    against = [c.p / 2 if c.mean > 0 else 1.0 - c.p / 2 for c in compared]
    worst = int(np.argmax(against))  # one-sided p-values: the largest speaks least for the claim
    shown = all(c.low > 0 and c.p < ALPHA for c in compared)
    refuted = any(c.high < 0 and p < ALPHA for c, p in zip(compared, adjusted, strict=True))
    verdict: Verdict = "supported" if shown else "contradicted" if refuted else "undecided"
    return _decided(verdict, compared[worst], len(compared))


def _decided(verdict: Verdict, worst: _Comparison, many: int) -> Finding:
    """The finding from `many` comparisons, the least favourable beside it."""
    return Finding(verdict, worst.estimate, worst.where + (f" (least favourable of {many})" if many > 1 else ""))


def _within(bounds: tuple[float, float], found: list[_Comparison]) -> Finding:
    """Whether every estimate lies between the bounds, with its interval; the number is the one farthest out."""
    low, high = bounds
    outside = [c for c in found if c.estimate.high < low or c.estimate.low > high]
    open_ = [c for c in found if c.estimate.low < low or c.estimate.high > high]
    worst = max(outside or open_ or found, key=lambda c: max(low - c.estimate.mean, c.estimate.mean - high))
    return _decided("contradicted" if outside else "undecided" if open_ else "supported", worst, len(found))


def _level(claim: Claim, size: Collected, row: Row, test: Test) -> Finding:
    """Whether the stated number lies in the interval: supported then, contradicted where it does not."""
    assert claim.value is not None
    found = measures.divergence(size, row, test.name) if claim.metric == "kl" else _rate(claim, size, row, test)
    if found is None:
        return _missing(f"{NAMES[claim.metric]} is not defined for this run")
    inside = found.low <= claim.value <= found.high
    return Finding("supported" if inside else "contradicted", found, f"{NAMES[claim.metric]}, {test.title}")


def _rate(claim: Claim, size: Collected, row: Row, test: Test) -> Estimate | None:
    measure = measures.satisfaction if claim.metric == "cs" else measures.fac
    found = measure(size, row, test.name)
    return found.scaled(100.0) if found else None


def _certified(size: Collected, row: Row, tests: list[Test]) -> Finding:
    words: dict[str, Verdict] = {"holds": "supported", "fails": "contradicted", "undecided": "undecided"}
    found = [(certify(y), test) for test in tests if (y := measures.satisfied(size, row, test.name)) is not None]
    if not found:
        return _missing("CS is not defined for this run")
    least, test = min(found, key=lambda item: item[0].low)
    verdicts = {sure.verdict for sure, _ in found}
    overall = "fails" if "fails" in verdicts else "undecided" if "undecided" in verdicts else "holds"
    number = measures.satisfaction(size, row, test.name)
    where = f"CS, {test.title} (lowest of {len(found)}); at least {100 * least.low:.1f} % with 95 % confidence"
    return Finding(words[overall], number.scaled(100.0) if number else None, where)


def _cost(size: Collected, row: Row, rivals: list[Row]) -> Finding:
    flops = size.costs.set_index("run")["flops"].dropna()
    own = {run.seed: float(flops[run.run]) for run in row.finished if run.run in flops.index}
    found, absent = [], list[str]()
    for other in rivals:
        theirs = {run.seed: float(flops[run.run]) for run in other.finished if run.run in flops.index}
        saved = [100.0 * (1.0 - own[seed] / theirs[seed]) for seed in sorted(own.keys() & theirs.keys())]
        if saved:
            found.append((seed_interval(saved), f"% of the operations of {other.label} saved over the same steps"))
        else:
            absent.append(f"{other.label} (no cost for both)")
    if not found:
        return _missing("no cost was recorded for both")
    least, where = min(found, key=lambda item: item[0].mean)
    known = [saved for saved, _ in found if saved.has_interval]
    verdict: Verdict = (
        "supported" if len(known) == len(found) and all(saved.low > 0 for saved in known) else "undecided"
    )
    if any(saved.high < 0 for saved in known):
        verdict = "contradicted"
    return _without(Finding(verdict, least, where), absent)


def _deployed(size: Collected, row: Row, tests: list[Test]) -> Finding:
    """The generator is given the policy's folder and no teacher: a scored response is the proof."""
    first = tests[0]
    found = measures.fac(size, row, first.name)
    if found is None:
        return _missing("no scored responses")
    many = sum(y.size for t in tests if (y := size.stacked(row, t.name, "correct")) is not None)
    where = (
        f"{many} responses of {len(row.finished)} trained students were generated from the student's folder alone, no "
        f"teacher loaded; the teacher only scored them afterwards. `make export` hands such a folder out "
        f"(tests/workflow/test_export.py: it answers the same with the teacher's folder gone). FAC, {first.title}"
    )
    return Finding("supported", found.scaled(100.0), where)


def _theory(claim: Claim, folder: Path | None) -> Finding:
    """Verdicts of the exactly solved problems, for a fixed cost and for the KL, which depends on the policy."""
    path = folder / "theory_statements.csv" if folder else None
    if path is None or not path.is_file():
        return _missing("needs the theory tables (evaluation.theory)")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            cell = {(line["row"], line["column"]): line["text"] for line in csv.DictReader(lines)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(
            f"{path} is no table of evaluation.theory ({error}); delete {folder} and run make tables with its SIZE"
        ) from error
    try:
        verdicts = {key: (cell[key, "token"], cell[key, "kl"]) for key in claim.statements}
    except KeyError as error:
        raise UserError(f"{path} has no statement {error}; correct evaluation/claims.yaml") from error
    said = "; ".join(f"{key} {fixed} for a fixed cost, {kl} for the KL" for key, (fixed, kl) in verdicts.items())
    holds = all(word == "holds" for pair in verdicts.values() for word in pair)
    return Finding("supported" if holds else "contradicted", None, f"{said} (instances and proofs: theory_statements)")
