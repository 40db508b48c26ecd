"""The one definition of the final answer and of the task reward R.

Strict, as the paper's zero scores of untrained students suggest (inferred): an answer counts only in the
marked form that the task asks for, `#### N` (GSM8K's own) or `\\boxed{N}` (MATH's own).
"""

from __future__ import annotations

import re

_MARK = "####"
_NUMBER = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)", re.ASCII)
# What may stand around the number of a mark: a box (a model may be told of both forms), dollars, bold type.
_AROUND = [re.compile(pattern) for pattern in (r"\\boxed\{(.*)\}", r"\*\*(.*)\*\*", r"\\?\$(.*?)(?:\\?\$)?")]


def extract(text: str) -> str | None:
    """Final answer of a response, normalised; None where the strict form is missing.

    `####` must occur once, and what follows it must be one number and nothing else but white space, a box, asterisks,
    dollar signs, a percent sign or a final full stop around it. Where none is followed by a number on its line (there
    is none, or they are headings), the content of the last `\\boxed{`, if it is closed.
    """
    tails = text.split(_MARK)[1:]
    if any(_number(tail.lstrip().split("\n")[0]) for tail in tails):
        found = _number(tails[0]) if len(tails) == 1 else None
        return normalise(found) if found else None
    boxed = _last_boxed(text)
    return normalise(boxed) if boxed else None


def _number(tail: str) -> str | None:
    """The number that a mark's tail consists of, but for what may stand around it."""
    bare = _bare(tail)
    for around in _AROUND:
        if found := around.fullmatch(bare):
            bare = _bare(found[1])
    return bare if _NUMBER.fullmatch(bare) else None


def _bare(text: str) -> str:
    return text.strip().rstrip(".%").strip().removesuffix("\\").strip()


def normalise(answer: str) -> str:
    """Canonical spelling: no thousands commas or thin spaces of LaTeX, leading plus, superfluous zeros or outer space;
    `0.5` for `.5`.
    """
    bare = answer.replace("\\!", "").replace("{,}", ",").strip()
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
