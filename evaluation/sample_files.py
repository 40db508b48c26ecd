"""Reading what an evaluation keeps of a run: all responses (`samples.jsonl`), the tokens of a few (`tokens.jsonl`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.errors import UserError
from training.files import check_sum
from training.json_files import read_rows

Row = dict[str, Any]
TYPES: dict[str, type] = {
    "test": str, "decoding": str, "prompt_id": str, "sample": int, "prompt": str, "answer": str, "response": str,
    "tokens": list, "finished": bool,
}  # fmt: skip

TOKENS: dict[str, type] = {"test": str, "prompt_id": str, "sample": int, "tokens": list, "kl": list}


def remake(folder: Path) -> str:
    """What to do about a damaged file of an evaluation's folder."""
    return f"delete {folder} and run make tables with its SIZE: only what hangs on it is made anew"


def read_tokens(path: Path) -> list[Row]:
    """Rows of `evaluation.score`'s tokens file; `UserError` where it is not as written."""
    remedy = remake(path.parent)
    check_sum(path, remedy)
    return read_rows(path, TOKENS, remedy)


def read_samples(path: Path) -> list[Row]:
    """Rows of a samples file; `UserError` where it is not as written, or names the line that is not what it must be."""
    if not path.is_file():
        raise UserError(f"{path} cannot be read, there is no such file; run make tables with its SIZE first")
    remedy = remake(path.parent)
    check_sum(path, remedy)
    rows = read_rows(path, TYPES, remedy)
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(rows, 1):
        key = row["test"], row["decoding"], row["prompt_id"], row["sample"]
        if key in seen:
            raise UserError(f"{path}, line {number}: this sample of prompt '{key[2]}' stands above already; {remedy}")
        if not all(type(token) is int and token >= 0 for token in row["tokens"]):
            raise UserError(f"{path}, line {number}: 'tokens' are not all whole numbers from 0 on; {remedy}")
        seen.add(key)
    return rows
