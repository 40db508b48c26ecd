"""Table `pareto`: who dominates whom."""

from __future__ import annotations

from evaluation import measures
from evaluation.captions import group_title
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
