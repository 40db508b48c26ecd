"""The one definition of the final answer and of the task reward R.

Strict, as the paper's zero scores of untrained students suggest (inferred): an answer counts only in the
marked form that the task asks for, `#### N` (GSM8K's own) or `\\boxed{N}` (MATH's own).
"""

from __future__ import annotations

import re

_MARK = "####"
_NUMBER = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)")


def extract(text: str) -> str | None:
    """Final answer of a response, normalised; None where the strict form is missing.

    `####` must occur once, and what follows it must be one number and nothing else but white space, a dollar
    sign, a percent sign or a final full stop. Without any, the content of the last `\\boxed{`, where it is closed.
    """
    if text.count(_MARK) == 1:
        tail = text.split(_MARK)[1].strip().lstrip("$").rstrip(".%").strip()
        return normalise(tail) if _NUMBER.fullmatch(tail) else None
    if _MARK in text:
        return None
    boxed = _last_boxed(text)
    return normalise(boxed) if boxed else None


def normalise(answer: str) -> str:
    """Canonical spelling: no thousands commas, leading plus, superfluous zeros or outer space; `0.5` for `.5`."""
    bare = answer.strip()
    if not _NUMBER.fullmatch(bare):
        return " ".join(bare.split())
    bare = bare.replace(",", "").lstrip("+")
    if "." in bare:
        bare = bare.rstrip("0").rstrip(".")
    sign, digits = ("-", bare[1:]) if bare.startswith("-") else ("", bare)
    shown = digits.lstrip("0")
    return "0" if not shown else f"{sign}0{shown}" if shown.startswith(".") else sign + shown


def is_correct(text: str, answer: str) -> bool:
    """Task reward R as a truth value: the strict final answer equals the gold answer."""
    found = extract(text)
    return found is not None and found == normalise(answer)


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for position in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position]
    return None
