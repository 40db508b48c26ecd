"""Problems from JSON-lines files, and the order in which a run meets them."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.json_files import read_rows

Problem = dict[str, Any]
REQUIRED = ("id", "question", "prompt", "answer", "solution")
FILLED = ("id", "prompt", "answer")
REMEDY = "correct or remove the line"


def read_problems(path: Path) -> list[Problem]:
    """Problems of a file, in file order; `UserError` names the first bad line."""
    problems = read_rows(path, dict.fromkeys(REQUIRED, str), REMEDY)
    if not problems:
        raise UserError(f"{path} holds no problems; give at least one")
    seen: set[str] = set()
    for number, problem in enumerate(problems, 1):
        empty = [key for key in FILLED if not problem[key].strip()]
        if empty:
            raise UserError(f"{path}, line {number}: '{empty[0]}' is empty; {REMEDY}")
        if problem["id"] in seen:
            raise UserError(f"{path}, line {number}: the id '{problem['id']}' is taken by a line above; {REMEDY}")
        if not _is_chain(problem.get("chain")):
            raise UserError(f"{path}, line {number}: 'chain' is neither null nor a start with signed ops; {REMEDY}")
        seen.add(problem["id"])
    return problems


def check_apart(data: Path, train: list[Problem]) -> None:
    """`UserError` where a prompt of training stands in another file of the data folder too."""
    prompts = {problem["prompt"] for problem in train}
    for path in sorted(set(data.glob("*.jsonl")) - {data / "train.jsonl"}):
        shared = [problem["id"] for problem in read_problems(path) if problem["prompt"] in prompts]
        if shared:
            raise UserError(
                f"{path}: {len(shared)} prompts are training prompts too, that of '{shared[0]}' first; a policy must "
                "not be judged on what it was trained on, so remove them from train.jsonl"
            )


def _is_chain(chain: Any) -> bool:
    """Null, or what `world.grammar.Chain.to_json` gives."""
    if chain is None:
        return True
    ops = chain.get("ops") if isinstance(chain, dict) else None
    if not isinstance(ops, list) or not ops or type(chain.get("start")) is not int:
        return False
    return all(isinstance(op, list) and len(op) == 2 and op[0] in ("+", "-") and type(op[1]) is int for op in ops)


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
