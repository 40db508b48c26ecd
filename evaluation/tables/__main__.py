"""All tables of a size.

    python -m evaluation.tables --collected results/built/micro/collected --theory results/built/theory \\
        --out results/built/micro/tables

Writes each as .csv, .md and .tex.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation.collected import Collected, read
from evaluation.controls import controls_table
from evaluation.lineage import BESIDE
from evaluation.quality import document, findings
from evaluation.table_files import Table, files, replace_folder
from evaluation.table_runs import of_tables
from evaluation.tables.across_pairs import across_tables
from evaluation.tables.claims import claims_table
from evaluation.tables.cost import cost_table
from evaluation.tables.differences import differences_table
from evaluation.tables.equal_compute import equal_compute_table
from evaluation.tables.feasible import feasible_table
from evaluation.tables.intervals import intervals_table
from evaluation.tables.judge_agreement import judge_agreement_table
from evaluation.tables.judges import judges_table
from evaluation.tables.kl_estimators import kl_estimators_table
from evaluation.tables.main import main_table
from evaluation.tables.pareto import pareto_table
from evaluation.tables.readings import readings_table
from evaluation.tables.satisfaction import satisfaction_table
from evaluation.tables.win_matrix import win_table
from training.errors import cli


def all_tables(size: Collected, theory: Path | None = None) -> list[Table]:
    """Every table, those of judges and over pairs where there are any; one claim needs `theory`, written by
    evaluation.theory.
    """
    makers = (
        main_table,
        satisfaction_table,
        differences_table,
        win_table,
        pareto_table,
        feasible_table,
        equal_compute_table,
        readings_table,
        kl_estimators_table,
        intervals_table,
        cost_table,
        controls_table,
    )
    judged = [judges_table(size), judge_agreement_table(size)] if size.verdicts.judges else []
    last = [*judged, *across_tables(size, theory), claims_table(size, theory)]
    return [*(make(size) for make in makers), *last]


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR [--theory DIR] --out DIR [--quality FILE]`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.tables", description=__doc__)
    parser.add_argument("--collected", required=True, type=Path, help="folder written by evaluation.collect")
    parser.add_argument("--out", required=True, type=Path, help="folder to write, replaced as a whole")
    parser.add_argument("--theory", type=Path, help="folder written by evaluation.theory")
    parser.add_argument("--quality", type=Path, help="Markdown file to write: what to know before trusting the tables")
    given = parser.parse_args(argv)
    size = read(given.collected)
    made = all_tables(size, given.theory)
    replace_folder(given.out, {**files(made), BESIDE: of_tables(size, made)})
    if given.quality:
        given.quality.write_text(document(size, findings(size, made)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    cli(main)
