"""Tables `pareto` (who dominates whom) and `feasible` (the best reward at each threshold)."""

from __future__ import annotations

from evaluation import measures
from evaluation.captions import group_title, missing_runs
from evaluation.certify import TARGET
from evaluation.collected import Collected, Row, Test
from evaluation.pareto import BOX, covered, front, point_of
from evaluation.significance import resolution
from evaluation.statistics import Estimate, proportion_interval
from evaluation.table_files import Cell, Column, Line, Table
from evaluation.tables.layout import INTERVALS, Group, percent, row_line, table

COLUMNS = (
    Column("fac", "FAC %", "%"),
    Column("kl", "KL", "nats per token", 3),
    Column("joint", "Right and within d %", "%"),
    Column("place", "Front", compared=True),
    Column("volume", "Hypervolume %", "%", compared=True),
)
WHAT = (
    "FAC (up is better) against mean KL (down is better), trained rows. Front: no other row is at least as good "
    "in both and better in one; else the row that dominates it, judged by the estimates. Right and within d: responses "
    "with the right answer whose divergence satisfies the constraint. Hypervolume: share of the box KL up to "
    f"{BOX:g} d x FAC up to 100 % that all settings of the method together dominate (printed once per method), 95 % "
    f"bootstrap interval over common seeds and prompts. {INTERVALS}"
)
THRESHOLDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # times d
FEASIBLE = (
    f"Highest FAC in percent among a method's settings that keep at least {100 * TARGET:.0f} % of their sampled "
    "responses within the threshold (by the estimate, in the pair's reading), with the setting where the method has "
    "several; none: no setting does; failed or missing: all its runs are. All rows were trained for their own "
    "constraint, not for these thresholds, and the best of several settings is chosen on these very responses. "
    f"{INTERVALS}"
)


def pareto_table(size: Collected) -> Table:
    """Front, joint satisfaction and hypervolume of the trained rows."""
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        for test in content.tests:
            lines = _places(size, size.rows(pair, "method"), test)
            groups.append((group_title(test.title, pair), lines))
    return table(size, "pareto", "Reward against divergence", f"{WHAT} {resolution(size)}", COLUMNS, groups)


def _places(size: Collected, rows: list[Row], test: Test) -> tuple[Line, ...]:
    points = {row.label: point for row in rows if (point := point_of(size, row, test.name))}
    names = list(points)
    values = [(kl.mean, fac.mean) for kl, fac in points.values()]
    best = {names[i] for i in front(values)}
    lines, seen = [], set()
    for row in rows:
        if row.label not in points:
            lines.append(row_line(row, {}, row.gap or "not defined"))
            continue
        kl, fac = points[row.label]
        own = [r for r in rows if r.method == row.method and r.label in points]
        volume = None if row.method in seen else covered(size, own, test.name)
        seen.add(row.method)
        place = "on the front" if row.label in best else f"behind {_dominator(row.label, names, values)}"
        cells: dict[str, Cell] = {"fac": percent(fac), "kl": kl, "joint": percent(_joint(size, row, test))}
        lines.append(row_line(row, {**cells, "place": place, "volume": percent(volume) if volume else ""}))
    return tuple(lines)


def _dominator(label: str, names: list[str], values: list[tuple[float, float]]) -> str:
    """The front's row with the highest FAC among those that dominate this one."""
    kl, fac = values[names.index(label)]
    able = [i for i in front(values) if values[i][0] <= kl and values[i][1] >= fac]
    return names[max(able, key=lambda i: values[i][1])]


def _joint(size: Collected, row: Row, test: Test) -> Estimate | None:
    inside, right = measures.satisfied(size, row, test.name), size.stacked(row, test.name, "correct")
    return None if inside is None or right is None else proportion_interval(inside * right)


def feasible_table(size: Collected) -> Table:
    """Best FAC of each method among its settings that satisfy a threshold, for thresholds around d."""
    methods = dict.fromkeys(row.method for pair in size.pairs for row in size.rows(pair, "method"))
    labels = {run.method: run.label.removesuffix(run.setting).strip() for run in size.runs if run.method in methods}
    columns = tuple(Column(method, labels[method], "%") for method in methods)
    groups: list[Group] = []
    for pair, content in size.pairs.items():
        for test in content.tests:
            lines = tuple(_at(size, pair, test, factor * content.threshold.d) for factor in THRESHOLDS)
            groups.append((group_title(test.title, pair), lines))
    what = f"{FEASIBLE} {resolution(size)}"
    return table(size, "feasible", "Best feasible FAC per threshold", what, columns, groups)


def _at(size: Collected, pair: str, test: Test, d: float) -> Line:
    line = Line(f"d = {d:.3g}")
    for method in dict.fromkeys(row.method for row in size.rows(pair, "method")):
        rows = [row for row in size.rows(pair, "method") if row.method == method]
        scored = [(found, row) for row in rows if row.finished and (found := _feasible(size, row, test, d))]
        line.cells[method] = "none" if any(row.finished for row in rows) else rows[0].runs[0].status
        if scored:
            best, row = max(scored, key=lambda item: item[0].mean)
            line.cells[method] = percent(best)
            line.marks[method] = (f" ({row.setting})" if row.setting else "") + missing_runs(row)
    return line


def _feasible(size: Collected, row: Row, test: Test, d: float) -> Estimate | None:
    """FAC of a row, None where it does not keep enough responses within `d`."""
    inside = measures.satisfied(size, row, test.name, d=d)
    if inside is None or float(inside.mean()) < TARGET:
        return None
    return measures.fac(size, row, test.name)
