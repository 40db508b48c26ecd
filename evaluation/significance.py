"""Which differences between rows are real: corrected tests of every pair, the leading group, and what the design
could have found at all.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
from statsmodels.stats.multitest import multipletests

from evaluation import paired
from evaluation.collected import Collected, Row
from evaluation.pairwise import meetings, net_wins, overall
from evaluation.statistics import POWER, p_value, smallest_resolved

ALPHA = 0.05
Tests = dict[frozenset[str], float]  # two labels -> Holm-adjusted p-value


def win_tests(size: Collected, pair: str, test: str) -> Tests:
    """Holm-adjusted p-values of "as many wins as losses" for every two rows of a pair on a test set.

    Rows that lost runs are not tested: what is left is a selection, and one run alone has no spread over seeds.
    """
    rows = [row for row in size.rows(pair, "method", "reference") if row.complete]
    p: Tests = {}
    for one, other in combinations(rows, 2):
        signs = net_wins(size, one, other, test)
        if signs is not None:
            p[frozenset((one.label, other.label))] = p_value(signs)
    return dict(zip(p, holm(list(p.values())), strict=True))


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for all of them being tested at once (Holm, 1979)."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def leaders(size: Collected, pair: str, test: str, tests: Tests) -> set[str]:
    """Labels of the trained row with the highest RWR and of those not shown to lose against it, all of whole rows."""
    scored = [
        (match.win.mean, row)
        for row in size.rows(pair, "method")
        if row.complete and (match := overall(size, row, test))
    ]
    if not scored:
        return set()
    first = max(scored, key=lambda item: item[0])[1]

    def beaten(row: Row) -> bool:
        signs = net_wins(size, first, row, test)
        known = tests.get(frozenset((first.label, row.label)), 1.0)
        return signs is not None and known < ALPHA and float(signs.mean()) > 0.0

    return {row.label for _, row in scored if row.runs == first.runs or not beaten(row)}


@lru_cache(maxsize=1)
def resolution(size: Collected) -> str:
    """The smallest paired differences between two trained rows that the design can resolve, as a sentence."""
    found: dict[str, list[float]] = {}
    for pair, content in size.pairs.items():
        rows = [row for row in size.rows(pair, "method") if row.complete]
        for test in content.tests:
            for one, other in pairwise(rows):
                for name, difference in paired.differences(size, one, other, test.name).items():
                    found.setdefault(name, []).append(difference.resolved())
    return resolved_sentence(found)


def resolved_sentence(found: dict[str, list[float]]) -> str:
    """What neighbouring rows resolve, by measure (rates in percentage points), in words; empty where undefined."""
    parts = [f"{name} {_range(v, 3 if name == 'KL' else 1)}" for name, v in found.items() if np.isfinite(v).all()]
    if not parts:
        return ""
    return (
        f"Smallest true difference between two trained rows that this design finds with {100 * POWER:.0f} % power (5 % "
        f"level; (t_0.975 + t_{POWER:g}) standard errors of the paired difference): {', '.join(parts)} (rates in "
        "percentage points, KL in nats; from the neighbouring rows)."
    )


def cost_resolution(size: Collected) -> str:
    """The smallest difference in operations and wall time between two trained rows that the seeds can resolve."""
    costs, found = size.costs.set_index("run"), dict[str, list[float]]()
    for pair in size.pairs:
        rows = [row for row in size.rows(pair, "method") if row.complete]
        for one, other in pairwise(rows):
            both = [(mine.run, theirs.run) for _, mine, theirs in meetings(one, other)]
            for name, key in (("operations", "flops"), ("wall time", "wall_s")):
                saved = [1.0 - costs[key].get(a, np.nan) / costs[key].get(b, np.nan) for a, b in both]
                if len(saved) > 1 and np.isfinite(saved).all():
                    found.setdefault(name, []).append(100.0 * smallest_resolved(np.array(saved)[None, :, None]))
    if not found:
        return "One seed: no difference in cost can be told from chance."
    parts = [f"{name} {_range(values, 1)} %" for name, values in found.items()]
    return (
        f"Smallest true difference between two rows that the seeds resolve with {100 * POWER:.0f} % power, as a share "
        f"of the other row's ((t_0.975 + t_{POWER:g}) standard errors over seeds, paired): {', '.join(parts)}."
    )


def _range(values: list[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low}\N{EN DASH}{high}"
