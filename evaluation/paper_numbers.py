"""What is known of the paper's numbers, as `paper_numbers.yaml` states it, and whose models they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from evaluation.collected import Collected
from training.errors import UserError
from training.schema import Strict, parse
from training.yaml_files import read_yaml

NUMBERS = Path(__file__).parent / "paper_numbers.yaml"


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
    """A setting of the paper: the table that shows it, and its models."""

    table: str
    title: str
    student: str
    teacher: str


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
    paper = parse(Paper, read_yaml(path), str(path))
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


def is_papers(paper: Paper, size: Collected, pair: str) -> bool:
    """Whether a pair has the paper's own models, by the last part of their names, so that local copies count."""
    own, known = size.pairs.get(pair), paper.settings.get(pair)
    if own is None or known is None:
        return False
    return [Path(m).name for m in (own.student, own.teacher)] == [Path(m).name for m in (known.student, known.teacher)]
