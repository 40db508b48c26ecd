"""Simulated studies whose truth is known, and the share of intervals that hold it.

Crossed seeds and prompts, four samples of each: `normal` scores, `rates` (logit-normal, up to near 1) and `divergence`
(log-normal, skewed as a KL is). Not tests: `tests/unit/test_coverage.py` and `tests/full/test_coverage.py` run them.

    python -m tests.coverage    # the table of docs/coverage.md, some minutes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from evaluation.certify import TAIL
from evaluation.paired import divergence_difference
from evaluation.seed_rates import seed_rates
from evaluation.statistics import (
    Array,
    Estimate,
    mean_interval,
    positive_interval,
    proportion_interval,
    rate_bounds,
    spread,
)

PROMPTS, SAMPLES = 100, 4
Interval = Callable[[Array], tuple[float, float]]


@dataclass(frozen=True)
class Design:
    """Seeds, and the standard deviations of seed, prompt and seed-by-prompt effects on the scale of the scores."""

    seeds: int
    seed: float
    prompt: float = 0.8
    rest: float = 0.3

    @property
    def total(self) -> float:
        """Standard deviation of all effects together."""
        return float(np.sqrt(self.seed**2 + self.prompt**2 + self.rest**2))

    def effects(self, rng: np.random.Generator) -> Array:
        """(S, P, 1)"""
        s, p = self.seeds, PROMPTS
        crossed = self.seed * rng.standard_normal((s, 1, 1)) + self.prompt * rng.standard_normal((1, p, 1))
        return crossed + self.rest * rng.standard_normal((s, p, 1))


def normal(design: Design, rng: np.random.Generator) -> tuple[float, Array]:
    """Truth 0 and scores (S, P, K)."""
    return 0.0, design.effects(rng) + rng.standard_normal((design.seeds, PROMPTS, SAMPLES))


def rates(design: Design, rng: np.random.Generator, centre: float) -> tuple[float, Array]:
    """The true rate around logit `centre`, and answers (S, P, K) of 0 and 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    truth = float((weights * special.expit(centre + design.total * nodes)).sum() / weights.sum())
    chance = special.expit(centre + design.effects(rng))
    return truth, (rng.random((design.seeds, PROMPTS, SAMPLES)) < chance).astype(np.float64)


def divergence(design: Design, rng: np.random.Generator) -> tuple[float, Array]:
    """The true mean of positive scores (S, P, K) that seeds and prompts change by factors."""
    scores = np.exp(design.effects(rng)) * rng.gamma(2.0, 0.5, (design.seeds, PROMPTS, SAMPLES))
    return float(np.exp(0.5 * design.total**2)), scores


def gap(design: Design, rng: np.random.Generator) -> tuple[float, Array]:
    """The true difference, and scores (2, S, P, K), of two such rows on the same prompts; the second's seeds agree."""
    seeds = design.seed * rng.standard_normal((design.seeds, 1, 1))
    prompts = design.prompt * rng.standard_normal((1, PROMPTS, 1))
    rests = design.rest * rng.standard_normal((2, design.seeds, PROMPTS, 1))
    own = np.stack([seeds, np.zeros_like(seeds)])
    rows = np.exp(own + prompts + rests) * rng.gamma(2.0, 0.5, (2, design.seeds, PROMPTS, SAMPLES))
    shared = 0.5 * (design.prompt**2 + design.rest**2)
    return float(np.exp(shared + 0.5 * design.seed**2) - np.exp(shared)), rows


def seldom(better: float, worse: float, rng: np.random.Generator) -> tuple[float, Array]:
    """The true mean and differences (1, P, K) of two rows that agree but on few prompts, there in every sample."""
    drawn = rng.random((1, PROMPTS, 1))
    sign = (drawn < better).astype(np.float64) - (drawn > 1.0 - worse)
    return better - worse, np.repeat(sign, SAMPLES, axis=2)


def ends(interval: Callable[[Array], Estimate]) -> Interval:
    """Low and high of an estimate's interval."""

    def found(y: Array) -> tuple[float, float]:
        estimate = interval(y)
        return estimate.low, estimate.high

    return found


def apart(rows: Array) -> Estimate:
    """The difference of two rows' divergences (2, S, P, K)."""
    return divergence_difference(*rows).estimate()


def one_sided(y: Array) -> tuple[float, float]:
    """The certificate's bounds, without the search for the number of prompts."""
    return rate_bounds(float(y.mean()), spread(y, TAIL), y.shape[1], y.size, TAIL, seed_rates(y))


def coverage(studies: Iterator[tuple[float, Array]], interval: Interval) -> tuple[float, float, float]:
    """Percent of studies whose truth is at least the low end, at most the high end, and within both."""
    found = [(low <= truth, truth <= high) for truth, y in studies for low, high in [interval(y)]]
    above, below = np.array(found).T
    return 100.0 * float(above.mean()), 100.0 * float(below.mean()), 100.0 * float((above & below).mean())


def repeated(
    draw: Callable[[np.random.Generator], tuple[float, Array]], repeats: int, seed: int = 5
) -> Iterator[tuple[float, Array]]:
    """`repeats` studies of one kind."""
    rng = np.random.default_rng(seed)
    return (draw(rng) for _ in range(repeats))


DESIGNS = [
    Design(1, 0.0), Design(2, 0.6), Design(3, 0.1, prompt=0.0),
    *(Design(3, spread) for spread in (0.0, 0.3, 0.6, 1.0, 2.0)),
    *(Design(5, spread) for spread in (0.3, 0.6, 1.0)), Design(10, 0.6),
]  # fmt: skip
CENTRES = {"rate 0.5": 0.0, "rate 0.92": 2.8, "rate 0.95": 3.4, "rate 0.99": 5.0}
STUDIES = 2000  # standard error of a measured 95 %: half a point


def covered(design: Design) -> list[float]:
    """A line of the table: means, KL, its differences, rates by centre, and both one-sided bounds at a rate of 0.92."""
    at = {name: partial(rates, design, centre=centre) for name, centre in CENTRES.items()}
    one = coverage(repeated(at["rate 0.92"], STUDIES), one_sided)
    return [
        coverage(repeated(partial(normal, design), STUDIES), ends(mean_interval))[2],
        coverage(repeated(partial(divergence, design), STUDIES), ends(positive_interval))[2],
        coverage(repeated(partial(gap, design), STUDIES), ends(apart))[2],
        *(coverage(repeated(drawn, STUDIES), ends(proportion_interval))[2] for drawn in at.values()),
        *one[:2],
    ]


def main() -> None:
    """Print the table."""
    bounds = ("certificate at least, rate 0.92", "certificate at most, rate 0.92")
    columns = ("seeds, spread", "mean, normal", "KL (skewed)", "difference of KLs", *CENTRES, *bounds)
    print("| " + " | ".join(columns) + " |\n|---|" + "--:|" * (len(columns) - 1))
    for design in DESIGNS:
        name = f"{design.seeds}, {design.seed or 'none'}" + ("" if design.prompt else ", prompts alike")
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in covered(design)) + " |", flush=True)


if __name__ == "__main__":
    main()
