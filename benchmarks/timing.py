"""Paired repetitions: two or more sides measured in turn, and their ratio with an interval.

Sides alternate within one process (A B A B ...), so that what else the machine does, and its clock rate, hits both.
A ratio is taken within each repetition; reported are the median of the ratios and an exact interval of the median by
order statistics (David and Nagaraja, Order Statistics, 2003, section 7.1), which assumes no distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binom

from training.cost import settled

LEVEL = 0.95
Rounds = list[tuple[float, ...]]


@dataclass(frozen=True)
class Ratio:
    """Median of the repetitions' ratios, and the interval `[low, high]` that holds the true one with `level`."""

    median: float
    low: float
    high: float
    n: int
    level: float


@dataclass(frozen=True)
class Effort:
    """How often a comparison is repeated: within `seconds`, but at least `least` and at most `most` times."""

    warm: int
    least: int
    most: int
    seconds: float

    def enough(self, done: int, spent: float) -> bool:
        """Whether `done` rounds that took `spent` seconds suffice. The ratios themselves are not looked at."""
        return done >= self.most or (done >= self.least and spent >= self.seconds)


@dataclass(frozen=True)
class Bench:
    """What every benchmark is given: where it computes, in which numbers, and how thoroughly."""

    device: torch.device
    dtype: str = "float32"
    quick: bool = False

    def effort(self, seconds: float) -> Effort:
        """Repetitions of a comparison worth `seconds`; six are the fewest with a 95 % interval of a median."""
        return Effort(1, 2, 2, 0.0) if self.quick else Effort(1, 6, 40, seconds)


def ratio(rounds: Rounds) -> Ratio:
    """The first side over the second, by round. With fewer than six rounds the range is given, at the level it has."""
    found = sorted(r[0] / r[1] for r in rounds)
    n = len(found)
    levels = {k: float(1 - 2 * binom.cdf(k - 1, n, 0.5)) for k in range(1, max(n // 2, 1) + 1)}  # k-th from either end
    cut = max((k for k, level in levels.items() if level >= LEVEL), default=1)
    middle = (found[(n - 1) // 2] + found[n // 2]) / 2
    return Ratio(middle, found[cut - 1], found[n - cut], n, max(0.0, levels[cut]))


class Clock:
    """Seconds since it was made, the device's queue emptied before and after."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.held = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.held = torch.cuda.memory_allocated(device)
        self.start = settled()

    def stop(self) -> float:
        """Seconds up to now, in which all work that was begun has finished."""
        return settled() - self.start

    def peak_bytes(self) -> int:
        """Bytes held on a CUDA device at most since the clock was made, beyond those held then; 0 on the CPU."""
        return torch.cuda.max_memory_allocated(self.device) - self.held if self.device.type == "cuda" else 0


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes."""
    clock = Clock(device)
    work()
    return clock.stop()


def alternate(sides: Sequence[Callable[[], object]], bench: Bench, worth: float) -> Rounds:
    """Seconds of each side by round, the sides in turn; the first rounds are for warming up and are left out."""
    effort, rounds = bench.effort(worth), Rounds()
    for _ in range(effort.warm):
        for side in sides:
            side()
    while not effort.enough(len(rounds), sum(map(sum, rounds))):
        rounds.append(tuple(seconds(side, bench.device) for side in sides))
    return rounds
