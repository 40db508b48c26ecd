"""The second reading of a final answer: equal in mathematics, where the strict one asks for equal spelling.

Both readings look at the same marked answer (`training.answers.extract`); an answer without the mark is wrong in both.
Where the strict reading says right, so does this one. Two different whole numbers are different in any reading, so
that the micro world never loads `math_verify` (about a second, and sympy).
"""

from __future__ import annotations

import re
from functools import lru_cache

from training.answers import extract, normalise

WHOLE = re.compile(r"-?\d+")
PATIENCE_S = 5  # for one expression; an answer that takes longer counts as not equal


def is_equivalent(text: str, answer: str) -> bool:
    """Whether the marked answer of a response equals the gold answer; call it from the main thread (signals)."""
    found = extract(text)
    if found is None:
        return False
    gold = normalise(answer)
    if found == gold or (WHOLE.fullmatch(found) and WHOLE.fullmatch(gold)):
        return found == gold
    return same_value(found, gold)


@lru_cache(maxsize=4096)
def same_value(found: str, gold: str) -> bool:
    """math_verify's judgement of two LaTeX expressions; False where it can read only one of them."""
    from math_verify import parse, verify

    expressions = [parse(f"\\boxed{{{text}}}", parsing_timeout=PATIENCE_S) for text in (gold, found)]
    return bool(verify(*expressions, timeout_seconds=PATIENCE_S))
