"""The paper's numbers, as far as they are known, with ours beside them.

    python -m evaluation.paper --collected results/collected/micro --out paper_tables.md

A paper setting counts as run when the collected size has a pair of its name (`qwen`, `llama`) with its test sets.
Any other size is another experiment: its main table follows, and its values are not comparable to the paper's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from evaluation.collected import Collected, Test, read
from evaluation.table_files import MISSING, to_markdown
from evaluation.tables.main import MAIN_COLUMNS, main_cells, main_table
from training.errors import UserError, cli
from training.schema import Strict, parse

NUMBERS = Path(__file__).parent / "paper_numbers.yaml"
NOT_RUN = "not run: needs `config/paper.yaml` on one 80 GB GPU"


class Number(Strict):
    """One cell of the paper; `setting` or `test` is None where the source does not say."""

    setting: str | None
    test: str | None
    method: str
    metric: str
    value: float
    source: str
    confidence: Literal["reported", "doubtful", "contradicted"]
    note: str = ""


class TableOf(Strict):
    """A setting of the paper and the table that shows it."""

    table: str
    title: str


class PaperRow(Strict):
    """A row of the paper's tables: a method, for the soft Lagrangian at one lambda."""

    method: str
    title: str
    setting: str = ""


class About(Strict):
    """The paper itself and its threshold d in nats."""

    title: str
    arxiv: str
    threshold: float = Field(gt=0)


class Paper(Strict):
    """All of `paper_numbers.yaml`."""

    paper: About
    sources: dict[str, str]
    settings: dict[str, TableOf]
    tests: dict[str, str]
    metrics: dict[str, str]
    rows: list[PaperRow]
    numbers: list[Number]


def load(path: Path = NUMBERS) -> Paper:
    """The paper's numbers; `UserError` where the file or a cell of it is not what it must be."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({error}); correct it") from error
    paper = parse(Paper, content, str(path))
    known = {
        "setting": set(paper.settings),
        "test": set(paper.tests),
        "metric": set(paper.metrics),
        "source": set(paper.sources),
        "method": {row.method for row in paper.rows},
    }
    for number in paper.numbers:
        for key, names in known.items():
            value = getattr(number, key)
            if value is not None and value not in names:
                raise UserError(f"{path}: a number has the unknown {key} '{value}'; add it above or correct it")
    return paper


def document(paper: Paper, size: Collected) -> str:
    """`paper_tables.md` as text."""
    about = paper.paper
    parts = [
        f"# The paper's tables and ours\n\nPaper: *{about.title}*, arXiv {about.arxiv}, d = {about.threshold:g} nats.",
        "The paper's full text was not at hand: its numbers come from readers of it and were not checked against it; "
        f"an empty cell ({MISSING}) is unknown, (?) marks a doubtful value. Sources and confidence of every number "
        "are in `evaluation/paper_numbers.yaml`. Our cells have 95 % intervals over seeds, prompts and samples.",
    ]
    for setting, table in paper.settings.items():
        parts.append(f"## {table.table}: {table.title}")
        parts.append(_state(paper, size, setting))
        for test in paper.tests:
            parts += [f"### {table.table}, {paper.tests[test]}", _lines(_comparison(paper, size, setting, test))]
    parts += ["## Numbers that the sources do not place", _lines(_unplaced(paper)), _own(size)]
    return "\n\n".join(parts) + "\n"


def _state(paper: Paper, size: Collected, setting: str) -> str:
    pair = size.pairs.get(setting)
    if pair is None:
        return f"Ours: {NOT_RUN}."
    if pair.threshold.d == paper.paper.threshold and pair.reading == "mean":
        return f"Ours: size {size.size}, d = {pair.threshold.d:g} nats, mean reading. {size.note}".rstrip()
    return f"Ours: size {size.size}, **another constraint**: d = {pair.threshold.d:g} nats, {pair.reading} reading."


def _comparison(paper: Paper, size: Collected, setting: str, test: str) -> Iterator[list[str]]:
    """Rows of one test set: paper and ours side by side for each metric."""
    shown = list(paper.metrics)
    yield ["", *(f"{paper.metrics[key]} {who}" for key in shown for who in ("paper", "ours"))]
    yield [":--", *["--:"] * (2 * len(shown))]
    for row in paper.rows:
        ours = _ours(size, setting, test, row)
        place = (setting, test, "" if row.setting else row.method)  # no number with a known lambda has come down
        theirs = {n.metric: n for n in paper.numbers if (n.setting, n.test, n.method) == place}
        cells = [text for key in shown for text in (_value(theirs.get(key)), ours.get(key, "not run"))]
        yield [row.title, *cells]


def _ours(size: Collected, setting: str, test: str, row: PaperRow) -> dict[str, str]:
    pair = size.pairs.get(setting)
    if pair is None or test not in {t.name for t in pair.tests}:
        return {}
    found = size.row(setting, row.method, row.setting or None)
    if found is None:
        return {}
    if found.gap:
        return {column.key: found.gap for column in MAIN_COLUMNS}
    cells = main_cells(size, found, Test(name=test, title=test))
    return {column.key: column.show(cells[column.key]) for column in MAIN_COLUMNS}


def _value(number: Number | None) -> str:
    if number is None:
        return MISSING
    return f"{number.value:g}" + ("" if number.confidence == "reported" else " (?)")


def _unplaced(paper: Paper) -> Iterator[list[str]]:
    yield ["setting", "test set", "method", "metric", "value", "source", "confidence"]
    yield [":--", ":--", ":--", ":--", "--:", ":--", ":--"]
    for n in paper.numbers:
        if n.setting is None or n.test is None:
            place = [n.setting or "not said", paper.tests[n.test] if n.test else "not said"]
            trust = n.confidence + (f": {n.note}" if n.note else "")
            yield [*place, n.method, paper.metrics[n.metric], f"{n.value:g}", paper.sources[n.source], trust]


def _own(size: Collected) -> str:
    """The main table of the size at hand, said to be another setting where it is."""
    body = to_markdown(main_table(size)).rstrip("\n")
    if set(size.pairs) & {"qwen", "llama"}:
        return body
    warning = (
        f"The size `{size.size}` is another setting than the paper's (other models, other problems, other d): its "
        "values are not comparable to the paper's. What can be compared is the order of the methods."
    )
    return f"# Our own setting\n\n{warning}\n\n{body}"


def _lines(rows: Iterator[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR --out FILE`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.paper", description=__doc__)
    parser.add_argument("--collected", required=True, type=Path, help="folder written by evaluation.collect")
    parser.add_argument("--out", required=True, type=Path, help="Markdown file to write")
    given = parser.parse_args(argv)
    text = document(load(), read(given.collected))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    cli(main)
