"""How a chain is written down as a solution.

    careful   7 + 5 = 12 ; 12 - 3 = 9 ; #### 9        every step shown
    terse     7 + 5 = 12 - 3 = 9 ; #### 9             run-on equality: quick, but 7 + 5 is not 9
    short     #### 9                                  the answer only

A noisy solution goes wrong at some steps and continues from its wrong total, as a sloppy pupil does:
half of the slips are miscalculated (result off by one to three), half misread (the sign swapped).
"""

from random import Random
from typing import Literal

from world.grammar import LARGEST, Chain

Style = Literal["careful", "terse", "short"]
MARKER = "####"
WORDS = ("+", "-", "=", ";", MARKER)

Step = tuple[int, str, int, int]


def steps(chain: Chain) -> list[Step]:
    """The true steps of a chain as (left, sign, right, result)."""
    lefts = [chain.start, *chain.totals[:-1]]
    return [(a, sign, n, c) for a, (sign, n), c in zip(lefts, chain.ops, chain.totals, strict=True)]


def write(found: list[Step], style: Style) -> str:
    """The text of a solution made of these steps; it ends with the strict answer `#### N`."""
    shown: list[str] = []
    if style == "careful":
        shown = [f"{a} {sign} {n} = {c} ;" for a, sign, n, c in found]
    elif style == "terse":
        shown = [str(found[0][0]), *(f"{sign} {n} = {c}" for _, sign, n, c in found), ";"]
    return " ".join([*shown, MARKER, str(found[-1][3])])


def solve(chain: Chain, style: Style) -> str:
    """The right solution of a chain in a style."""
    return write(steps(chain), style)


def solve_noisily(rng: Random, chain: Chain, style: Style, noise: float) -> str:
    """A solution in which each step goes wrong with probability `noise` (0..1)."""
    found, total = [], chain.start
    for sign, n in chain.ops:
        step = _step(total, sign, n)
        if not 0 <= step[3] <= LARGEST or rng.random() < noise:
            step = _slip(rng, total, sign, n)
        found.append(step)
        total = step[3]
    return write(found, style)


def _step(total: int, sign: str, n: int) -> Step:
    return total, sign, n, total + n if sign == "+" else total - n


def _slip(rng: Random, total: int, sign: str, n: int) -> Step:
    """A wrong step whose result stays inside 0..LARGEST."""
    misread = _step(total, "-" if sign == "+" else "+", n)
    if rng.random() < 0.5 and 0 <= misread[3] <= LARGEST:
        return misread
    right = _step(total, sign, n)[3]
    offsets = [off for off in (-3, -2, -1, 1, 2, 3) if 0 <= right + off <= LARGEST]
    result = right + rng.choice(offsets) if offsets else min(max(right, 0), LARGEST)
    return total, sign, n, result
