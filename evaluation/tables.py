"""All tables of a size.

    python -m evaluation.tables --collected results/collected/micro --out results/tables

Writes `main`, `win_matrix`, `cost`, `readings` and `controls`, each as .csv, .md and .tex.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from evaluation import measures
from evaluation.captions import caption, row_label
from evaluation.collected import Collected, Row, Test, read
from evaluation.controls import controls_table
from evaluation.pairwise import compare, overall
from evaluation.statistics import Estimate, seed_interval
from evaluation.table_files import Cell, Column, Line, Table, replace_folder, to_csv, to_latex, to_markdown
from training.errors import cli

INTERVALS = "95 % intervals over training seeds, prompts and samples (references are not trained: one seed)."

MAIN_COLUMNS = (
    Column("fac", "FAC %", "%"),
    Column("rwr", "RWR %", "%"),
    Column("rlr", "RLR %", "%"),
    Column("cs", "CS %", "%"),
    Column("kl", "KL", "nats per token", 3),
)
MAIN = (
    "FAC: final answer correct. RWR, RLR: reasoning win and loss rate by the exact step verifier, mean over the "
    "other trained rows. CS: responses within d. KL: mean reverse KL to the teacher per token. All on responses "
    f"sampled at temperature 1. {INTERVALS}"
)

READING_COLUMNS = (
    Column("cs_mean", "CS mean %", "%"),
    Column("cs_sum", "CS sum %", "%"),
    Column("cs_prefix", "CS prefix %", "%"),
    Column("kl", "KL per token", "nats per token", 3),
    Column("kl_sum", "KL per response", "nats per response", 2),
    Column("fac", "FAC sampled %", "%"),
    Column("fac_greedy", "FAC greedy %", "%"),
    Column("reasoning", "Valid steps %", "%"),
    Column("truncated", "Truncated %", "%"),
    Column("unextracted", "No answer %", "%"),
)
READINGS = (
    "The same responses under every reading of the constraint: the mean KL per token, the sum over the response, "
    "and every running mean (prefix), each against the same d. Beside them greedy decoding, the share of required "
    f"reasoning steps validly shown, responses cut at the length limit and those without a strict answer. {INTERVALS}"
)

COSTS: tuple[tuple[Column, float], ...] = (
    (Column("wall_s", "Wall s", "s"), 1.0),
    (Column("generate_s", "Generation s", "s"), 1.0),
    (Column("teacher_s", "Teacher s", "s"), 1.0),
    (Column("student_s", "Student s", "s"), 1.0),
    (Column("tokens_generated", "Generated ktok", "thousand tokens", 0), 1e-3),
    (Column("student_tokens", "Student ktok", "thousand tokens", 0), 1e-3),
    (Column("teacher_tokens", "Teacher ktok", "thousand tokens", 0), 1e-3),
    (Column("flops", "TFLOPs", "10^12 operations", 2), 1e-12),
    (Column("peak_memory_bytes", "Peak MiB", "MiB", 0), 2.0**-20),
)
COST = (
    "Cost of training one run (evaluation not included): mean over seeds with a 95 % t interval over seeds. "
    "FLOPs are estimated from parameters and tokens."
)


def main_table(size: Collected) -> Table:
    """FAC, RWR, RLR, CS and KL of every method and reference on every test set."""
    return _by_test(size, "main", "Main results", MAIN, MAIN_COLUMNS, main_cells)


def readings_table(size: Collected) -> Table:
    """The readings of the constraint and the side measures of the same responses."""
    title = "Readings of the constraint and side measures"
    return _by_test(size, "readings", title, READINGS, READING_COLUMNS, _readings)


def win_table(size: Collected) -> Table:
    """Win, tie and loss rates of every ordered pair of rows; people read the win rates, the CSV has all three."""
    what = (
        "Reasoning win rate in percent of the row against the column on the same seed, prompt and sample (exact "
        "step verifier; equal is a tie). The loss rate is the mirrored cell, ties are the rest; the CSV has all. "
        "An untrained row meets every seed of a trained one. RWR, RLR: means over the other trained rows. " + INTERVALS
    )
    names = _opponent_names(size)
    columns = [Column("rwr", "RWR %", "%"), Column("rlr", "RLR %", "%")]
    for label in names:
        hidden = [Column(f"{kind} {label}", f"{kind} {label}", "%", printed=False) for kind in ("tie", "loss")]
        columns += [Column(f"win {label}", label, "%"), *hidden]
    return _by_test(size, "win_matrix", "Reasoning win matrix", what, tuple(columns), _matches)


def cost_table(size: Collected) -> Table:
    """What training cost, per run."""
    costs = size.costs.set_index("run")
    groups = []
    for pair in size.pairs:
        lines = []
        for row in size.rows(pair, "method"):
            runs = [run.run for run in row.finished if run.run in costs.index]
            cells: dict[str, Cell] = {}
            for column, unit in COSTS:
                values = costs.loc[runs, column.key].dropna().to_numpy(dtype=float) * unit
                cells[column.key] = seed_interval(values) if len(values) else None
            lines.append(Line(row_label(row), cells, row.gap))
        groups.append((f"Pair {pair}", tuple(lines)))
    return _table(size, "cost", "Training cost", COST, tuple(column for column, _ in COSTS), groups)


def all_tables(size: Collected) -> list[Table]:
    """Every table, in the order in which the report shows them."""
    return [main_table(size), win_table(size), readings_table(size), cost_table(size), controls_table(size)]


def files(tables: Iterable[Table]) -> dict[str, str]:
    """File name to content for CSV, Markdown and LaTeX."""
    forms: dict[str, Callable[[Table], str]] = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
    return {f"{table.name}.{end}": form(table) for table in tables for end, form in forms.items()}


def _by_test(
    size: Collected,
    name: str,
    title: str,
    what: str,
    columns: tuple[Column, ...],
    cells: Callable[[Collected, Row, Test], dict[str, Cell]],
) -> Table:
    """A table with one group per pair and test set and a line per method and reference."""
    groups = []
    for pair, content in size.pairs.items():
        rows = size.rows(pair, "method", "reference")
        for test in content.tests:
            lines = tuple(Line(row_label(row), {} if row.gap else cells(size, row, test), row.gap) for row in rows)
            groups.append((f"{test.title} (pair {pair})", lines))
    return _table(size, name, title, what, columns, groups)


def _table(
    size: Collected,
    name: str,
    title: str,
    what: str,
    columns: tuple[Column, ...],
    groups: list[tuple[str, tuple[Line, ...]]],
) -> Table:
    cells = (cell for _, lines in groups for line in lines for cell in line.cells.values())
    text = caption(size, what, [cell for cell in cells if isinstance(cell, Estimate)])
    return Table(name, f"{title}, size {size.size}", text, columns, tuple(groups))


def _percent(estimate: Estimate | None) -> Estimate | None:
    return None if estimate is None else estimate.scaled(100.0)


def main_cells(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    """The cells of the main table for one row and test set, by column key."""
    match = overall(size, row, test.name)
    return {
        "fac": _percent(measures.fac(size, row, test.name)),
        "rwr": _percent(match.win if match else None),
        "rlr": _percent(match.loss if match else None),
        "cs": _percent(measures.satisfaction(size, row, test.name)),
        "kl": measures.divergence(size, row, test.name),
    }


def _readings(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    return {
        "cs_mean": _percent(measures.satisfaction(size, row, test.name, "mean")),
        "cs_sum": _percent(measures.satisfaction(size, row, test.name, "sum")),
        "cs_prefix": _percent(measures.satisfaction(size, row, test.name, "prefix")),
        "kl": measures.divergence(size, row, test.name),
        "kl_sum": measures.divergence(size, row, test.name, "sum"),
        "fac": _percent(measures.fac(size, row, test.name)),
        "fac_greedy": _percent(measures.fac(size, row, test.name, "greedy")),
        "reasoning": _percent(measures.reasoning(size, row, test.name)),
        "truncated": _percent(measures.missing_share(size, row, test.name, "finished")),
        "unextracted": _percent(measures.missing_share(size, row, test.name, "extracted")),
    }


def _opponent_names(size: Collected) -> list[str]:
    labels = (row.label for pair in size.pairs for row in size.rows(pair, "method", "reference") if not row.gap)
    return list(dict.fromkeys(labels))


def _matches(size: Collected, row: Row, test: Test) -> dict[str, Cell]:
    mean = overall(size, row, test.name)
    cells: dict[str, Cell] = {"rwr": _percent(mean.win if mean else None), "rlr": _percent(mean.loss if mean else None)}
    for other in size.rows(row.pair, "method", "reference"):
        match = None if other.runs == row.runs or other.gap else compare(size, row, other, test.name)
        for kind in ("win", "tie", "loss"):
            cells[f"{kind} {other.label}"] = _percent(getattr(match, kind) if match else None)
    return cells


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR --out DIR`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.tables", description=__doc__)
    parser.add_argument("--collected", required=True, type=Path, help="folder written by evaluation.collect")
    parser.add_argument("--out", required=True, type=Path, help="folder to write, replaced as a whole")
    given = parser.parse_args(argv)
    tables = all_tables(read(given.collected))
    replace_folder(given.out, files(tables))


if __name__ == "__main__":
    cli(main)
