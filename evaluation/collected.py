"""The long table of one size, read back as arrays.

`results/built/<size>/collected/` holds `runs.json` (what was to be run, and what became of it) and three parquet
files joined to it by run id. Tables, figures and the report are pure functions of that folder; nothing here
looks at a run's own logs, and torch is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.columns import COSTS, CURVES, SCORES, TEXT, Reading
from evaluation.names import namesakes, row_name
from evaluation.regime import Regime
from evaluation.statistics import Array
from evaluation.verdicts import FILE, Verdicts, read_verdicts
from training.errors import UserError, nearest

_KEY = ["run", "test", "decoding", "metric"]
COLUMNS = {"scores": SCORES, "curves": CURVES, "costs": ["run", *COSTS]}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Threshold(_Entry):
    """The threshold d and where it comes from ("given", or how it was calibrated)."""

    d: float = Field(gt=0, allow_inf_nan=False)
    source: str


class Test(_Entry):
    """A test set: its name in the files and its title in tables."""

    name: str
    title: str


class Pair(_Entry):
    """A student-teacher pair and everything its rows share.

    `data` stands for what its problems were made of: prompts are known by their place in a test set alone.
    """

    student: str
    teacher: str
    data: str = ""
    threshold: Threshold
    reading: Reading
    tests: list[Test]
    regime: Regime = Regime()

    @property
    def d_per_token(self) -> float | None:
        """d as a mean KL per token, nats; None where it bounds another reading and so has no place on that axis."""
        return self.threshold.d if self.reading == "mean" else None


class Run(_Entry):
    """One run: a method at a setting and a training seed, or an untrained reference or control."""

    run: str
    pair: str
    kind: Literal["method", "reference", "control"]
    method: str
    setting: str
    label: str
    seed: int
    status: str
    why: str | None = None
    order: int
    evaluation: str = ""  # folder below the run's that holds its samples; "" for the run's own
    made: tuple[tuple[str, str], ...] = ()  # job, and with what software and processor, where it is known

    @property
    def name(self) -> str:
        """What its row is called: the label, with the setting where there is one."""
        return row_name(self)


class Index(_Entry):
    """What the tables know of a size besides its measurements."""

    size: str
    title: str
    note: str | None = None
    pairs: dict[str, Pair]
    runs: list[Run]


@dataclass(frozen=True)
class Row:
    """What tables print as one row: all seeds of one method at one setting within a pair."""

    pair: str
    kind: str
    method: str
    setting: str
    label: str
    runs: tuple[Run, ...]

    @property
    def finished(self) -> tuple[Run, ...]:
        """The runs that have results."""
        return tuple(run for run in self.runs if run.status == "ok")

    @property
    def complete(self) -> bool:
        """Whether every run has results; those that are left of a row that lost some are a selection of it."""
        return len(self.finished) == len(self.runs)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the runs that its cells rest on; of a gap, of those that left it."""
        return tuple(run.run for run in self.finished or self.runs)

    @property
    def gap(self) -> str:
        """Why the row is empty; "" where at least one seed finished."""
        if self.finished:
            return ""
        first = self.runs[0]
        return f"{first.status}: {first.why or 'no reason was recorded'}"

    @property
    def trained(self) -> bool:
        """True for methods; references and controls are not trained."""
        return self.kind == "method"

    @property
    def once(self) -> bool:
        """Whether it has one run for all training seeds: untrained, and of one pair."""
        return not self.trained and len(self.runs) == 1


class Collected:
    """One size: runs, pairs and scores. Build it with `read`."""

    def __init__(
        self, index: Index, scores: pd.DataFrame, curves: pd.DataFrame, costs: pd.DataFrame, verdicts: Verdicts,
        unit: str = "seeds",
    ) -> None:  # fmt: skip
        self.size, self.title, self.note = index.size, index.title, index.note or ""
        self.pairs, self.runs = index.pairs, index.runs
        self.curves, self.costs, self.verdicts = curves, costs, verdicts
        self._scores, self.unit = scores, unit  # what a run's seed counts: evaluation/across.py has pairs there

    def with_index(self, index: Index, unit: str) -> Collected:
        """The same measurements under another index of the same runs, of its test sets only."""
        tests = {test.name for pair in index.pairs.values() for test in pair.tests}
        scores = self._scores[self._scores["test"].isin(tests)]
        return Collected(index, scores, self.curves, self.costs, self.verdicts, unit)

    def rows(self, pair: str, *kinds: str) -> list[Row]:
        """Rows of a pair in table order, of the given kinds ("method", "reference", "control"; all if none).

        Settings of a method stand as the runs name them first: in the order of the config.
        """
        chosen = [run for run in self.runs if run.pair == pair and (not kinds or run.kind in kinds)]
        named = list(dict.fromkeys((run.method, run.setting) for run in chosen))
        chosen.sort(key=lambda run: (run.order, run.method, named.index((run.method, run.setting)), run.seed))
        grouped = groupby(chosen, key=lambda run: (run.kind, run.method, run.setting, run.name))
        return [Row(pair, *key, tuple(runs)) for key, runs in grouped]

    def row(self, pair: str, method: str, setting: str | None = None) -> Row | None:
        """The first row of a method (at a setting), None where the size has none."""
        matching = (r for r in self.rows(pair) if r.method == method and setting in (None, r.setting))
        return next(matching, None)

    def scores(self, row: Row, test: str, metric: str, decoding: str = "sampled") -> dict[int, Array]:
        """A metric by seed, each (prompts P, samples K), prompts in one order for all rows of the test set.

        Seeds without a defined value are left out. Raises `UserError` where only some responses have one, or the runs
        of the row have unlike numbers of samples.
        """
        found = {run.seed: self._arrays.get((run.run, test, decoding, metric)) for run in row.finished}
        known = {seed: values for seed, values in found.items() if values is not None}
        if len({values.shape for values in known.values()}) > 1:
            many = counts(values.shape[1] for values in known.values())
            raise UserError(f"runs of {row.label} have {many} samples per prompt of '{test}'; generate them alike")
        return known

    def stacked(self, row: Row, test: str, metric: str, decoding: str = "sampled") -> Array | None:
        """The same as one array (seeds S, prompts P, samples K); None where nothing is defined."""
        by_seed = self.scores(row, test, metric, decoding)
        return np.stack([by_seed[seed] for seed in sorted(by_seed)]) if by_seed else None

    def prompts(self, run: str, test: str) -> list[str]:
        """The questions of a test set in the order of `scores`."""
        own = self._by_run.get(run, self._scores.iloc[:0])
        return sorted(own.loc[own["test"] == test, "prompt"].unique())

    def response(self, run: str, test: str, decoding: str, prompt: str, sample: int) -> dict[str, float]:
        """Every defined metric of one response."""
        own = self._by_run.get(run, self._scores.iloc[:0])
        at = (own["test"] == test) & (own["decoding"] == decoding) & (own["prompt"] == prompt)
        found = own[at & (own["sample"] == sample)].dropna(subset="value")
        return dict(zip(found["metric"], found["value"].astype(float), strict=True))

    @cached_property
    def _by_run(self) -> dict[str, pd.DataFrame]:
        return {str(run): block for run, block in self._scores.groupby("run", sort=False)}

    @cached_property
    def _arrays(self) -> dict[tuple[str, str, str, str], Array]:
        ordered = self._scores.sort_values([*_KEY, "prompt", "sample"], kind="stable")
        pair_of = {run.run: run.pair for run in self.runs}
        asked: dict[tuple[str | None, str], list[str]] = {}
        arrays: dict[tuple[str, str, str, str], Array] = {}
        for key, block in ordered.groupby(_KEY, sort=False):
            run, test, decoding, metric = (str(part) for part in key)
            values = block["value"].to_numpy(dtype=np.float64)
            if np.isnan(values).all():
                continue
            prompts = block["prompt"].unique().tolist()
            if asked.setdefault((pair_of.get(run), test), prompts) != prompts:
                raise UserError(f"run {run} answered other prompts of '{test}' than its neighbours; generate it again")
            if np.isnan(values).any() or not _even(block["sample"].to_numpy(), len(prompts)):
                raise UserError(
                    f"run {run}: '{metric}' is undefined for {np.isnan(values).sum()} of {len(values)} {decoding} "
                    f"responses to '{test}', or samples per prompt differ; score that run again"
                )
            arrays[run, test, decoding, metric] = values.reshape(len(prompts), -1)
        return arrays


def _even(samples: Array, prompts: int) -> bool:
    """Whether every prompt has the same samples, each once; `samples` in the order of prompts."""
    own = samples[: len(samples) // prompts]
    return len(np.unique(own)) == len(own) and np.array_equal(samples, np.tile(own, prompts))


def _frame(path: Path, columns: list[str]) -> pd.DataFrame:
    """A parquet file with at least these columns; ValueError says which one is missing or holds no numbers."""
    frame = pd.read_parquet(path)
    for name in columns:
        if name not in frame:
            raise ValueError(f"{path.name} lacks the column '{name}'")
        if name not in TEXT and not pd.api.types.is_numeric_dtype(frame[name]):
            raise ValueError(f"'{name}' in {path.name} holds no numbers")
    return frame


def _remedy(folder: Path) -> str:
    """How a collected size is made again; what is there, the workflow would leave as it is."""
    size = folder.parent.name if folder.name == "collected" else "<its size>"
    return f"{'delete it and ' if folder.exists() else ''}run make tables SIZE={size}"


def read(folder: Path) -> Collected:
    """The collected size in `folder`. Raises `UserError` where a file is missing or unreadable."""
    try:
        index = Index.model_validate_json((folder / "runs.json").read_text(encoding="utf-8"))
        scores, curves, costs = (_frame(folder / f"{name}.parquet", columns) for name, columns in COLUMNS.items())
    except (OSError, ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder} is not a readable collected size ({reason}); {_remedy(folder)}") from error
    ids = [run.run for run in index.runs]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"{folder / 'runs.json'} has the run '{twice}' twice; {_remedy(folder)}")
    unknown = sorted({run.pair for run in index.runs} - set(index.pairs))
    if unknown:
        hint = nearest(unknown[0], index.pairs)
        raise UserError(f"{folder / 'runs.json'} has runs of pair '{unknown[0]}', which it does not define; {hint}")
    if twins := namesakes(index.runs):
        one, other = twins
        raise UserError(
            f"methods '{one.method}' and '{other.method}' are both called '{one.name}' in pair '{one.pair}'; give one "
            "of them another 'label' in its method.yaml"
        )
    judged = folder / FILE
    return Collected(index, scores, curves, costs, Verdicts(read_verdicts([judged]) if judged.exists() else None))


def counts(values: Iterable[int]) -> str:
    """A count as it is, or the range of several: "100", "50-100"."""
    seen = sorted(set(values))
    return str(seen[0]) if len(seen) == 1 else f"{seen[0]}\N{EN DASH}{seen[-1]}"
