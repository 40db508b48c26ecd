"""The paper's numbers, as far as they are known, with ours beside them.

    python -m evaluation.paper --collected results/built/micro/collected --out paper_tables.md

A paper setting counts as run when the collected size has a pair of its name and its models, with its test sets.
Any other size is another experiment: its main table follows, and its values are not comparable to the paper's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from evaluation import lineage
from evaluation.captions import missing_runs
from evaluation.collected import Collected, Pair, Row, Test, read
from evaluation.paper_numbers import Number, Paper, is_papers, load
from evaluation.statistics import Estimate
from evaluation.table_files import MISSING, Cell, pipe_table, to_markdown
from evaluation.tables.main import MAIN_COLUMNS, main_cells, main_table
from training.errors import cli

NOT_RUN = "not run: needs `config/paper.yaml` on 80 GB GPUs (`make preflight SIZE=paper` estimates the hours)"


def document(paper: Paper, size: Collected) -> str:
    """`paper_tables.md` as text."""
    about = paper.paper
    parts = [
        f"# The paper's tables and ours\n\nPaper: *{about.title}*, arXiv {about.arxiv}, d = {about.threshold:g} nats "
        "per token.",
        "The paper's full text was not at hand: its numbers come from readers of it and were not checked against it; "
        f"an empty cell ({MISSING}) is unknown, (?) marks a doubtful value. Sources and confidence of every number "
        "are in `evaluation/paper_numbers.yaml`. Our cells have 95 % intervals over seeds, prompts and samples.",
    ]
    for setting, table in paper.settings.items():
        parts.append(f"## {table.table}: {table.title}")
        parts.append(_state(paper, size, setting))
        for test in paper.tests:
            parts += [f"### {table.table}, {paper.tests[test]}", _section(paper, size, setting, test)]
    parts += ["## Numbers that the sources do not place", pipe_table(_unplaced(paper)), _own(paper, size), _runs(size)]
    return "\n\n".join(parts) + "\n"


def _runs(size: Collected) -> str:
    """The line that ends the page: the runs of all its cells that are ours."""
    ids = lineage.union(row.ids for pair in size.pairs for row in size.rows(pair, "method", "reference"))
    return f"All of ours. {lineage.line(ids, 'results/tables/sources.json')}"


def _pair(paper: Paper, size: Collected, setting: str) -> Pair | None:
    """The size's pair of the paper's models, None where it has none or one of that name with others."""
    return size.pairs.get(setting) if is_papers(paper, size, setting) else None


def _same(paper: Paper, size: Collected, setting: str) -> bool:
    """Whether the size has the paper's own setting: its models, its d and the mean reading."""
    pair = _pair(paper, size, setting)
    return pair is not None and pair.threshold.d == paper.paper.threshold and pair.reading == "mean"


def _state(paper: Paper, size: Collected, setting: str) -> str:
    pair = _pair(paper, size, setting)
    if pair is None:
        return f"Ours: {NOT_RUN}."
    where = f"d = {pair.threshold.d:g} nats, {pair.reading} reading."
    if not _same(paper, size, setting):
        return f"Ours: size {size.size}, **another constraint**: {where}"
    told = (
        "Difference: ours minus the paper's, with the interval of ours (the paper gives none). Agrees: the paper's "
        "number lies in our interval; else ours is higher or lower."
    )
    return f"Ours: size {size.size}, {where} {told} {size.note}".rstrip()


def _section(paper: Paper, size: Collected, setting: str, test: str) -> str:
    """One test set: the paper's table with ours beside it; where ours was not run, what is known of the paper's."""
    pair = _pair(paper, size, setting)
    known = _known(paper, setting, test)
    if pair is not None and test in {t.name for t in pair.tests}:
        return pipe_table(_comparison(paper, size, setting, test, known))
    if known:
        return pipe_table(_papers_alone(paper, known))
    return "No number is known to belong here (those without a setting: below), and ours was not run."


def _known(paper: Paper, setting: str, test: str) -> dict[str, dict[str, Number]]:
    """The paper's numbers of one test set by method and metric. None with a known λ has come down."""
    known: dict[str, dict[str, Number]] = {}
    for n in paper.numbers:
        if (n.setting, n.test) == (setting, test):
            known.setdefault(n.method, {})[n.metric] = n
    return known


def _papers_alone(paper: Paper, known: dict[str, dict[str, Number]]) -> Iterator[list[str]]:
    """Rows and metrics of which the paper gives any number that is known."""
    metrics = [key for key in paper.metrics if any(key in numbers for numbers in known.values())]
    yield ["", *(f"{paper.metrics[key]} paper" for key in metrics)]
    yield [":--", *["--:"] * len(metrics)]
    for row in paper.rows:
        if row.method in known and not row.setting:
            yield [row.title, *(_value(known[row.method].get(key)) for key in metrics)]


def _comparison(
    paper: Paper, size: Collected, setting: str, test: str, known: dict[str, dict[str, Number]]
) -> Iterator[list[str]]:
    """Rows of one test set: paper and ours side by side for each metric; where the setting is the same and the paper
    gives any number of the metric, their difference and a verdict too.
    """
    given = {metric for numbers in known.values() for metric in numbers}
    judged = given if _same(paper, size, setting) else set()
    shown = {
        key: ("paper", "ours", "difference", "verdict") if key in judged else ("paper", "ours") for key in paper.metrics
    }
    heading = [f"{paper.metrics[key]} {who}" for key, parts in shown.items() for who in parts]
    yield ["", *heading]
    yield [":--", *["--:"] * len(heading)]
    for row in paper.rows:
        found = size.row(setting, row.method, row.setting or None)
        ours, lacking = (_ours(size, found, test), missing_runs(found)) if found else ({}, "")
        theirs = {} if row.setting else known.get(row.method, {})
        cells = []
        for key, parts in shown.items():
            cells += [_value(theirs.get(key)), _shown(key, ours)]
            if len(parts) > 2:  # what is left of a row that lost runs is a selection
                cells += [MISSING, MISSING] if lacking else _judgement(key, theirs.get(key), ours.get(key))
        yield [row.title + lacking, *cells]


def _ours(size: Collected, found: Row, test: str) -> dict[str, Cell]:
    """Our cells by column; a gap's reason in each where the row failed."""
    if found.gap:
        return {column.key: found.gap for column in MAIN_COLUMNS}
    return main_cells(size, found, Test(name=test, title=test))


def _shown(key: str, ours: dict[str, Cell]) -> str:
    column = next(column for column in MAIN_COLUMNS if column.key == key)
    return column.show(ours[key]) if key in ours else "not run"


def _judgement(key: str, theirs: Number | None, ours: Cell) -> list[str]:
    """Difference and verdict of one cell; both empty where either number is unknown."""
    if theirs is None or not isinstance(ours, Estimate):
        return [MISSING, MISSING]
    shifted = replace(
        ours, mean=ours.mean - theirs.value, low=ours.low - theirs.value, high=ours.high - theirs.value
    )  # fmt: skip
    verdict = "agrees" if shifted.low <= 0.0 <= shifted.high else "higher" if shifted.low > 0.0 else "lower"
    column = next(column for column in MAIN_COLUMNS if column.key == key)
    return [column.show(shifted), verdict]


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


def _own(paper: Paper, size: Collected) -> str:
    """The main table of the size at hand, said to be another setting where it is."""
    body = to_markdown(main_table(size)).rstrip("\n")
    if any(is_papers(paper, size, name) for name in size.pairs):
        return body
    warning = (
        f"The size `{size.size}` is another setting than the paper's (other models, other problems, other d): its "
        "values are not comparable to the paper's. The order of the methods may be."
    )
    return f"# Our own setting\n\n{warning}\n\n{body}"


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
