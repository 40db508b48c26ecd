"""The five numbers of the paper's tables, and what stands beside them, for one row on one test set.

Tables, figures, controls and the paper comparison all take them from here. None means: not defined for this
row (an answer key has no policy and hence no divergence; real data have no step verifier).
"""

from __future__ import annotations

import numpy as np

from evaluation.collected import Collected, Row
from evaluation.columns import Reading
from evaluation.statistics import Array, Estimate, positive_interval, proportion_interval


def fac(size: Collected, row: Row, test: str, decoding: str = "sampled") -> Estimate | None:
    """Final-answer correctness, a rate in [0, 1]."""
    return _rate(size.stacked(row, test, "correct", decoding))


def equivalent(size: Collected, row: Row, test: str) -> Estimate | None:
    """Final-answer correctness in the second reading, by math-verify (`evaluation.equivalence`)."""
    return _rate(size.stacked(row, test, "equivalent"))


def equivalence_gap(size: Collected, row: Row, test: str) -> Array | None:
    """1 where only the second reading takes a response's answer for right, else 0; (seeds, prompts, samples)."""
    strict, loose = size.stacked(row, test, "correct"), size.stacked(row, test, "equivalent")
    return None if strict is None or loose is None else loose - strict


def satisfied(
    size: Collected, row: Row, test: str, reading: Reading | None = None, d: float | None = None
) -> Array | None:
    """1 where a sampled response's divergence is at most d (the pair's if None), else 0; (seeds, prompts, samples)."""
    pair = size.pairs[row.pair]
    kl = size.stacked(row, test, f"kl_{reading or pair.reading}")
    return None if kl is None else within(kl, pair.threshold.d if d is None else d)


def within(kl: Array, d: float) -> Array:
    """1 where a divergence is at most d, else 0, in the shape of `kl`."""
    return (kl <= d).astype(np.float64)


def satisfaction(size: Collected, row: Row, test: str, reading: Reading | None = None) -> Estimate | None:
    """Constraint satisfaction CS: share of sampled responses within d, by default in the pair's reading."""
    return _rate(satisfied(size, row, test, reading))


def divergence(size: Collected, row: Row, test: str, reading: Reading = "mean") -> Estimate | None:
    """Reverse KL of the sampled responses in nats: per token (`mean`), per response (`sum`)."""
    values = size.stacked(row, test, f"kl_{reading}")
    return None if values is None else positive_interval(values)


def reasoning(size: Collected, row: Row, test: str) -> Estimate | None:
    """Share of the required steps that the exact verifier accepts, in [0, 1]."""
    return _rate(size.stacked(row, test, "reasoning"))


def reasoning_success(size: Collected, row: Row, test: str) -> Estimate | None:
    """Share of responses with every required step, no false one, and the answer that follows (arXiv 2610.00332)."""
    return _rate(size.stacked(row, test, "sound"))


def missing_share(size: Collected, row: Row, test: str, metric: str) -> Estimate | None:
    """Share of sampled responses for which a flag is off: `finished` (truncated), `extracted` (no answer)."""
    flags = size.stacked(row, test, metric)
    return None if flags is None else proportion_interval(1.0 - flags)


def _rate(values: Array | None) -> Estimate | None:
    return None if values is None else proportion_interval(values)
