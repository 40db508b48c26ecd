"""An exact judge of reasoning: which steps of a problem does a response show, and are they right?

The steps are those of the story, in the order of the story: events are told one after another, so a
solution that takes them in another order is not a shown step of this problem, even where the sum comes
out the same. Running totals without the operation are results, not reasoning, and show nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

from training.answers import is_correct
from world.grammar import Chain
from world.styles import MARKER, Step, steps

EQUATION = re.compile(r"\s*([0-9]{1,9})\s*([+-])\s*([0-9]{1,9})\s*=\s*(-?[0-9]{1,9})\s*")


@dataclass(frozen=True)
class Verdict:
    """`reasoning`: share (0..1) of the required steps that are shown, right and in order.

    `sound`: all required steps are shown, no shown step is false or garbled, and the final answer is theirs.
    """

    reasoning: float
    sound: bool


def verify(chain: dict[str, Any], response: str) -> Verdict:
    """Judge any text as a solution of a chain (in its stored form); never fails on malformed text."""
    problem = Chain.from_json(chain)
    required = steps(problem)
    body = response.partition(MARKER)[0]
    shown = [_parse(text) for text in re.split(r"[;\n]", body) if "=" in text]
    matched = _common(required, [step for step in shown if step])
    clean = all(step is not None and _true(step) for step in shown)
    sound = matched == len(required) and clean and is_correct(response, str(problem.answer))
    return Verdict(matched / len(required), sound)


def _parse(text: str) -> Step | None:
    match = EQUATION.fullmatch(text)
    if match is None:
        return None
    left, sign, right, result = match.groups()
    return int(left), sign, int(right), int(result)


def _true(step: Step) -> bool:
    left, sign, right, result = step
    return result == (left + right if sign == "+" else left - right)


def _common(required: list[Step], shown: list[Step]) -> int:
    """Length of the longest common subsequence: most required steps that can be read off in order."""
    best = [0] * (len(required) + 1)
    for step in shown:
        previous = best[:]
        for i, wanted in enumerate(required):
            best[i + 1] = previous[i] + 1 if step == wanted else max(previous[i + 1], best[i])
    return best[-1]
