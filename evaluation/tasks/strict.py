"""What the task files refer to: the documents, and lm-eval's own score by the suite's one strict extraction."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets

from training.answers import extract, is_correct
from training.data import REQUIRED, read_problems


def load(data: str, test: str, **_: object) -> dict[str, datasets.Dataset]:
    """The documents of a task, built in memory so that no run depends on what a cache holds.

    `data` (folder) and `test` (set) come from the task manager's metadata, the rest of which lm-eval passes too.
    """
    problems = read_problems(Path(data) / f"{test}.jsonl")
    documents = [{name: str(problem[name]) for name in REQUIRED} for problem in problems]
    return {"test": datasets.Dataset.from_list(documents)}


def every_response(responses: Iterable[list[str]], docs: object) -> list[list[str]]:
    """Filter that keeps all repeats of a prompt; lm-eval's default scores the first one only."""
    return [list(repeats) for repeats in responses]


def process_results(doc: dict[str, Any], results: list[list[str]]) -> dict[str, float]:
    """Share of one prompt's responses that are right, and that have an answer in the strict form."""
    (responses,) = results
    right = sum(is_correct(response, doc["answer"]) for response in responses)
    marked = sum(extract(response) is not None for response in responses)
    return {"exact_match": right / len(responses), "extracted": marked / len(responses)}
