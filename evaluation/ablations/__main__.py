"""Tables and figure of one ablation.

    python -m evaluation.ablations --collected DIR --params JSON --out DIR

Written: `<name>.csv|md|tex`, `<name>_differences.csv|md|tex`, for numeric settings `<name>_range.csv|md|tex`, the
figure `<name>.png|pdf` with `captions.json`, and `sources.json`, the runs of the tables. `--params`: what the plan says
of the ablation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation.ablations.differences import differences_table
from evaluation.ablations.figure import draw
from evaluation.ablations.points import Ablation
from evaluation.ablations.ranges import ranges_table
from evaluation.ablations.table import ablation_table
from evaluation.collected import read
from evaluation.figures.style import save, save_captions
from evaluation.lineage import BESIDE
from evaluation.table_files import files, replace_folder
from evaluation.table_runs import of_tables
from training.errors import cli
from training.schema import read_params


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR --params JSON --out DIR`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.ablations", description=__doc__)
    parser.add_argument("--collected", required=True, type=Path, help="folder written by evaluation.collect")
    parser.add_argument("--params", required=True, help="JSON text or file: name, title and axes of the ablation")
    parser.add_argument("--out", required=True, type=Path, help="folder to write, replaced as a whole")
    given = parser.parse_args(argv)
    size, ablation = read(given.collected), read_params(Ablation, given.params)
    makers = (ablation_table, differences_table, ranges_table)
    tables = [made for maker in makers if (made := maker(size, ablation))]
    drawn = draw(size, ablation)
    replace_folder(given.out, {**files(tables), BESIDE: of_tables(size, tables)})
    save(drawn, given.out)
    save_captions([drawn], given.out)


if __name__ == "__main__":
    cli(main)
