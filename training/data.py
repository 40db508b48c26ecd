"""Problems from JSON-lines files, and the order in which a run meets them."""

from __future__ import annotations

import hashlib
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from training.errors import UserError

Problem = dict[str, Any]
REQUIRED = ("id", "question", "prompt", "answer", "solution")


def read_problems(path: Path, limit: int | None = None) -> list[Problem]:
    """Problems of a file, in file order; `UserError` names the first bad line."""
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")[:limit]  # U+2028 may stand in a text
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); restore the file or its source") from error
    if lines == [""]:
        raise UserError(f"{path} holds no problems; give at least one")
    problems = []
    for number, line in enumerate(lines, 1):
        try:
            problem = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: no valid JSON ({error.msg}); correct or remove it") from error
        missing = [k for k in REQUIRED if not isinstance(problem, dict) or k not in problem]
        if missing:
            raise UserError(f"{path}, line {number}: the key '{missing[0]}' is missing; add it")
        problems.append(problem)
    return problems


def derive_seed(*parts: object) -> int:
    """A seed for one use of randomness, from the run's seed and what it is for; stable across machines."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def order(count: int, per_step: int, step: int, seed: int) -> list[int]:
    """Indices of the problems of an update: epochs in a shuffled order that depends on the seed alone.

    All methods of one seed meet the same problems in the same order, whatever else they draw.
    """
    picked = []
    for position in range(step * per_step, (step + 1) * per_step):
        epoch, offset = divmod(position, count)
        picked.append(_permutation(count, seed, epoch)[offset])
    return picked


@cache
def _permutation(count: int, seed: int, epoch: int) -> list[int]:
    indices = list(range(count))
    random.Random(derive_seed(seed, "order", epoch)).shuffle(indices)
    return indices
