"""From a cell of a published table to its runs, what they ran on, their samples and prompts.

    python -m evaluation.trace --cell "main/CMDP/same/FAC" [--tables results/tables] [--runs results/runs] [--all]

A cell is table/row/group/column, the group left out where the table has one only; a test set's name may stand for
its group and a heading for its column. Reads the table's CSV and `sources.json` beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from evaluation.captions import group_title
from evaluation.lineage import BESIDE, union
from evaluation.sample_files import read_samples, remake
from evaluation.table_files import read_cells
from evaluation.table_runs import Sources
from training.errors import UserError, cli, nearest
from training.json_files import read_object

UNTESTED = ("cost", "equal_compute")  # tables of training alone
FEW = 3  # prompts of a run, and runs with their prompts, that are shown without --all


M = TypeVar("M", bound=BaseModel)


class Git(BaseModel):
    """Of a job's record: the commit, or why it is not known."""

    commit: str = ""
    unknown: str = "no commit"
    dirty: bool = False
    diff: str | None = None


class Machine(BaseModel):
    """Of a job's record: what it ran on."""

    device: str
    processor: str


class Record(BaseModel):
    """What is shown of a job's record (study.provenance)."""

    git: Git
    machine: Machine
    code: dict[str, str]
    start: str
    end: str


@dataclass(frozen=True)
class Cell:
    """A cell: its line of the CSV, the runs it rests on, those it is compared with, and its test set if it has one.

    `folders` are the evaluation folders by run, below the run's own.
    """

    table: str
    line: dict[str, str]
    runs: list[str]
    beside: list[str]
    test: str | None
    decoding: str
    folders: dict[str, str]


def _read(model: type[M], path: Path, remedy: str) -> M:
    try:
        return model.model_validate(read_object(path, {}, remedy))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}, '{'.'.join(map(str, first['loc']))}': {first['msg']}; {remedy}") from error


def pick(word: str, known: Iterable[str], what: str, also: dict[str, str] | None = None) -> str:
    """The known name meant by `word`: equal but for case, an alias in `also`, or the only one that contains it.

    Raises `UserError` with the nearest name, or with all that fit.
    """
    names = list(dict.fromkeys(known))
    plain = _plain(word)
    aliases = {_plain(alias): name for alias, name in (also or {}).items()}
    for exact in (name for name in names if _plain(name) == plain):
        return exact
    if plain in aliases:
        return aliases[plain]
    fitting = [name for name in names if plain in _plain(name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{what} '{word}' fits several: {'; '.join(fitting)}; name one of them whole")
    raise UserError(f"there is no {what} '{word}'; {nearest(word, [*names, *(also or {})])}")


def _plain(text: str) -> str:
    return re.sub(r"[\s%]+", " ", text).strip().casefold()


def find(cell: str, tables: Path) -> Cell:
    """The cell that `cell` names in the folder `tables`; `UserError` names the part that fits nothing."""
    parts = [part.replace(r"\/", "/").strip() for part in re.split(r"(?<!\\)/", cell)]
    if len(parts) not in (3, 4):
        raise UserError(
            f"the cell is {cell!r}, but must be table/row/group/column, e.g. 'main/CMDP/same/FAC', with \\/ for a / "
            "within a name; change it"
        )
    remedy = f"delete {tables}, if it is there, and run make tables with its SIZE"
    index = _read(Sources, tables / BESIDE, remedy)
    if parts[0] not in index.tables and (tables / f"{parts[0]}.csv").is_file():
        raise UserError(f"table '{parts[0]}' was computed, not measured: no run stands behind it (docs/theory.md)")
    name = pick(parts[0], index.tables, "table")
    table = index.tables[name]
    lines = [line for line in read_cells(tables / f"{name}.csv") if line["column"] != "runs"]
    row = pick(parts[1], (line["row"] for line in lines), f"row of table '{name}'")
    groups = [line["group"] for line in lines if line["row"] == row]
    group = pick(parts[2] if len(parts) == 4 else "", groups, f"group of table '{name}'", _named(index.tests, groups))
    here = {line["column"]: line for line in lines if (line["row"], line["group"]) == (row, group)}
    column = pick(parts[-1], here, f"column of table '{name}'", table.headings)
    runs = {entry.row: entry.runs for entry in table.rows if entry.group == group}
    if row not in runs:
        raise UserError(f"{tables / BESIDE} names no runs of '{row}' in '{group}' of table '{name}'; {remedy}")
    others = union(found for label, found in runs.items() if label != row) if column in table.compared else ()
    test = next((test for title, test in index.tests.items() if _of(group, title)), None)
    folders = {run: where.evaluation for run, where in index.runs.items()}
    beside = [run for run in others if run not in runs[row]]
    return Cell(name, here[column], runs[row], beside, test, "greedy" if "greedy" in column else "sampled", folders)


def _of(group: str, title: str) -> bool:
    """Whether a group of lines is of the test set with this title; a title may begin like another one."""
    return group == title or group.startswith(group_title(title, "").removesuffix(")"))


def _named(tests: dict[str, str], groups: list[str]) -> dict[str, str]:
    """Test sets by name, where only one group is of that test set."""
    fitting = {test: list(dict.fromkeys(g for g in groups if _of(g, title))) for title, test in tests.items()}
    return {test: found[0] for test, found in fitting.items() if len(found) == 1}


def told(cell: Cell, runs: Path, everything: bool) -> Iterator[str]:
    """The answer, line by line."""
    line = cell.line
    yield " / ".join(part for part in (cell.table, line["row"], line["group"], line["column"]) if part)
    counts = ", ".join(f"{key}: {line[key]}" for key in ("prompts", "samples", "seeds") if line[key])
    yield f"  {line['text']} {line['unit']}".rstrip() + (f"  ({counts})" if counts else "")
    yield f"runs: {len(cell.runs)}"
    for number, run in enumerate(cell.runs):
        yield f"  {runs / run}"
        if everything or number < FEW:
            yield from (f"    {text}" for text in _run(runs / run, cell.folders.get(run, ""), cell, everything))
    if cell.beside:
        yield f"runs of the rows it is compared with: {len(cell.beside)}"
        yield from (f"  {runs / run}" for run in cell.beside)


def _run(folder: Path, evaluation: str, cell: Cell, everything: bool) -> Iterator[str]:
    """One run: what it was trained and evaluated on, and its prompts where the cell is of a test set."""
    own, remedy = folder / evaluation, f"delete {folder} and run make tables with its SIZE"
    for record in (folder / "provenance.json", own / "generate.provenance.json", own / "score.provenance.json"):
        if record.is_file():
            yield f"{record.relative_to(folder)}: {_summary(_read(Record, record, remedy))}"
    if (folder / "run.json").is_file():
        config = read_object(folder / "run.json", {}, remedy)
        yield f"run.json: seed {config.get('seed')}, settings {json.dumps(config.get('settings'), ensure_ascii=False)}"
    if cell.test is None and cell.table in UNTESTED:
        yield "the cell is of no test set: see train.jsonl, curves.jsonl and cost.json"
    elif cell.test is None:
        yield f"its responses, of every test set, are in {own.relative_to(folder) / 'samples.jsonl'}"
    elif (own / "samples.jsonl").is_file() and (own / "scores.parquet").is_file():
        yield f"{own.relative_to(folder) / 'samples.jsonl'}:"
        yield from (f"  {text}" for text in _prompts(own, cell.test, cell.decoding, everything))
    else:
        yield f"its samples are not in {own}"


def _summary(record: Record) -> str:
    git, machine = record.git, record.machine
    state = f"commit {git.commit[:10]}" if git.commit else git.unknown
    changed = f" and changes {git.diff}" if git.dirty else ""
    code = ", ".join(f"{name} {digest}" for name, digest in record.code.items())
    device = machine.processor if machine.device == "cpu" else machine.device
    return f"{state}{changed}; code: {code}; {device}; {record.start} to {record.end}"


def _scores(path: Path, test: str, decoding: str, remedy: str) -> dict[Any, dict[Any, float]]:
    """The scores of the responses to a test set, by prompt and sample."""
    try:
        every = pd.read_parquet(path)
        own = every[(every["test"] == test) & (every["decoding"] == decoding)]
        return own.drop(columns=["test", "decoding"]).set_index(["prompt", "sample"]).to_dict("index")
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors on damaged files, and absent columns
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from error


def _prompts(folder: Path, test: str, decoding: str, everything: bool) -> Iterator[str]:
    """Prompts of a test set, each with the scores of its responses."""
    remedy = remake(folder)
    scores = _scores(folder / "scores.parquet", test, decoding, remedy)
    asked: dict[str, list[dict[str, Any]]] = {}
    for sample in read_samples(folder / "samples.jsonl"):
        if (sample["test"], sample["decoding"]) == (test, decoding):
            asked.setdefault(sample["prompt_id"], []).append(sample)
    if {(name, sample["sample"]) for name, own in asked.items() for sample in own} != set(scores):
        raise UserError(f"{folder}: samples.jsonl and scores.parquet are not of the same responses; {remedy}")
    for name in list(asked)[: None if everything else FEW]:
        first = asked[name][0]
        yield f"{name}: {shorten(first.get('question', first['prompt']), 160)} (answer {first['answer']})"
        for sample in asked[name]:
            score = scores[name, sample["sample"]]
            shown = ", ".join(f"{metric} {value:.4g}" for metric, value in score.items() if pd.notna(value))
            yield f"  {sample['sample']}: {shown}; {shorten(sample['response'], 100)!r}"
    if len(asked) > FEW and not everything:
        yield f"and {len(asked) - FEW} prompts more (--all)"


def main(argv: list[str] | None = None) -> None:
    """Command line: `--cell TABLE/ROW/GROUP/COLUMN [--tables DIR] [--runs DIR] [--all]`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.trace", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cell", required=True, help="table/row/group/column, e.g. main/CMDP/same/FAC")
    parser.add_argument("--tables", type=Path, default=Path("results/tables"))
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    parser.add_argument("--all", action="store_true", help="every run and every prompt, not the first few")
    given = parser.parse_args(argv)
    for line in told(find(given.cell, given.tables), given.runs, given.all):
        print(line)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end without a word where `head` or a pager has seen enough
    cli(main)
