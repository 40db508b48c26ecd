"""Sample answers for the report: the same question, answered by every row, with what the scorers said.

The page shows two rows side by side and lets the reader choose which. Tokens are shaded by their KL to the teacher.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.collected import Collected, Row, Run, Test
from evaluation.columns import SHOWN
from evaluation.sample_files import read_samples, read_tokens

PREFERRED = ("cmdp", "grpo")  # shown first: the constrained method and the one without a constraint
LEVELS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # times d: where the next darker shade begins

Key = tuple[str, str]  # test, prompt id
Lines = dict[Key, dict[str, Any]]


@dataclass(frozen=True)
class Token:
    """A token's text, its KL in nats, and its shade, 0 (below LEVELS[0] * d) to len(LEVELS)."""

    text: str
    kl: float
    level: int


@dataclass(frozen=True)
class Answer:
    """A response and its scores; `kl` and `reasoning` are None where undefined, `tokens` empty where not kept."""

    row: int
    label: str
    response: str
    tokens: tuple[Token, ...]
    correct: bool
    finished: bool
    kl: float | None
    within: bool | None
    reasoning: float | None


@dataclass(frozen=True)
class Exhibit:
    """A question with its reference answer and one answer per row."""

    test: str
    prompt_id: str
    question: str
    answer: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Viewer:
    """The exhibits of a pair, the labels of its rows, the two rows shown at first, and d."""

    pair: str
    d: float
    labels: tuple[str, ...]
    first: tuple[int, int]
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True)
class _Read:
    row: Row
    run: Run
    samples: Lines
    tokens: Lines


def viewers(size: Collected, runs: Path, prompts: int = SHOWN) -> list[Viewer]:
    """For each pair the first prompts of each test set, answered by every finished row (first seed and sample)."""
    found = []
    for name, pair in size.pairs.items():
        rows = [row for row in size.rows(name, "method", "reference") if row.finished]
        read = [_read(row, runs) for row in rows]
        shown = tuple(e for test in pair.tests for e in _of_test(size, test, read, prompts))
        labels = tuple(row.label for row in rows)
        found.append(Viewer(name, pair.threshold.d, labels, _first_two(rows), shown))
    return found


def _first_two(rows: list[Row]) -> tuple[int, int]:
    """Places of the two rows to show at first; the same twice where there is only one."""
    places = sorted(
        range(len(rows)),
        key=lambda i: (PREFERRED.index(rows[i].method) if rows[i].method in PREFERRED else 9, not rows[i].trained),
    )
    return (places[0], places[min(1, len(places) - 1)]) if places else (0, 0)


def _read(row: Row, runs: Path) -> _Read:
    run = row.finished[0]
    folder = runs / run.run / run.evaluation
    sampled = [line for line in read_samples(folder / "samples.jsonl") if line["decoding"] == "sampled"]
    return _Read(row, run, _first(sampled), _first(read_tokens(folder / "tokens.jsonl")))


def _first(lines: list[dict[str, Any]]) -> Lines:
    """By (test, prompt id) the first sample's line, in the order of the file."""
    return {(line["test"], line["prompt_id"]): line for line in lines if line["sample"] == 0}


def _of_test(size: Collected, test: Test, read: list[_Read], prompts: int) -> Iterator[Exhibit]:
    if not read:
        return
    common = [key for key in read[0].samples if key[0] == test.name and all(key in one.samples for one in read)]
    for key in common[:prompts]:
        asked = read[0].samples[key]
        answers = tuple(_answer(size, place, one, key) for place, one in enumerate(read))
        yield Exhibit(test.title, key[1], asked["question"], str(asked["answer"]), answers)


def _answer(size: Collected, place: int, read: _Read, key: Key) -> Answer:
    pair, sample = size.pairs[read.row.pair], read.samples[key]
    score = size.response(read.run.run, key[0], "sampled", key[1], sample["sample"])
    kl, d = score.get(f"kl_{pair.reading}"), pair.threshold.d
    kept = read.tokens.get(key, {"tokens": [], "kl": []})
    return Answer(
        place,
        read.row.label,
        sample["response"],
        tuple(Token(text, at, shade(at, d)) for text, at in zip(kept["tokens"], kept["kl"], strict=True)),
        score.get("correct") == 1.0,
        bool(sample["finished"]),
        kl,
        None if kl is None else kl <= d,
        score.get("reasoning"),
    )


def shade(kl: float, d: float) -> int:
    """The shade of a token's KL, by multiples of d."""
    return bisect_right([level * d for level in LEVELS], kl)
