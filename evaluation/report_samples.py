"""Sample answers for the report: the same question, two methods side by side, with what the scorers said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.collected import Collected, Row, Run, Test
from training.errors import UserError

PREFERRED = ("cmdp", "grpo")  # the constrained method and the one without a constraint
PROMPTS = 3  # of each test set


@dataclass(frozen=True)
class Answer:
    """A response and its scores; `kl` and `reasoning` are None where undefined."""

    label: str
    response: str
    correct: bool
    finished: bool
    kl: float | None
    within: bool | None
    reasoning: float | None


@dataclass(frozen=True)
class Exhibit:
    """A question with its reference answer and one answer per method."""

    pair: str
    test: str
    prompt_id: str
    question: str
    answer: str
    answers: tuple[Answer, ...]


def exhibits(size: Collected, runs: Path, prompts: int = PROMPTS) -> list[Exhibit]:
    """The first prompts of each test set, answered by two finished rows of each pair (first seed, first sample)."""
    found: list[Exhibit] = []
    for name, pair in size.pairs.items():
        chosen = [(row, row.finished[0]) for row in _two_rows(size, name)]
        read = [(row, run, _first_samples(runs / run.run / run.evaluation / "samples.jsonl")) for row, run in chosen]
        for test in pair.tests:
            found += list(_of_test(size, test, read, prompts))
    return found


def _two_rows(size: Collected, pair: str) -> list[Row]:
    rows = [row for row in size.rows(pair, "method", "reference") if row.finished]
    rows.sort(key=lambda row: (PREFERRED.index(row.method) if row.method in PREFERRED else 9, not row.trained))
    return rows[:2]


def _first_samples(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By (test, prompt id) the first sampled response, in the order of the file."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["decoding"] == "sampled" and row["sample"] == 0:
                    found.setdefault((row["test"], row["prompt_id"]), row)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} holds no readable samples ({error}); run evaluation.generate") from error
    return found


def _of_test(
    size: Collected, test: Test, read: list[tuple[Row, Run, dict[tuple[str, str], dict[str, Any]]]], prompts: int
) -> Iterator[Exhibit]:
    if not read:
        return
    first = read[0][2]
    common = [key for key in first if key[0] == test.name and all(key in samples for _, _, samples in read)]
    for key in common[:prompts]:
        asked = first[key]
        answers = tuple(_answer(size, row, run, samples[key]) for row, run, samples in read)
        yield Exhibit(read[0][0].pair, test.title, key[1], asked["question"], str(asked["answer"]), answers)


def _answer(size: Collected, row: Row, run: Run, sample: dict[str, Any]) -> Answer:
    pair = size.pairs[row.pair]
    score = size.response(run.run, sample["test"], "sampled", sample["prompt_id"], sample["sample"])
    kl = score.get(f"kl_{pair.reading}")
    return Answer(
        row.label,
        sample["response"],
        score.get("correct") == 1.0,
        bool(sample["finished"]),
        kl,
        None if kl is None else kl <= pair.threshold.d,
        score.get("reasoning"),
    )
