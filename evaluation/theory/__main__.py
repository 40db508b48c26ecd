"""``python -m evaluation.theory --out DIR``: the theory's tables and figure.

Takes about ten seconds on one core. Writes theory, theory_lambda and theory_statements as .csv, .md and .tex, the
figure theory as .png and .pdf, and its caption to captions.json.
"""

import argparse
from pathlib import Path

from evaluation.figures.style import Drawn, save, save_captions
from evaluation.table_files import files
from evaluation.theory.figure import CAPTION, TITLE, theory_figure
from evaluation.theory.results import compute
from evaluation.theory.statements import statements
from evaluation.theory.table import statement_table, value_table, weight_table
from training.errors import cli
from training.files import check_place


def main(arguments: list[str] | None = None) -> None:
    """Compute everything and write the files. Raises UserError where a file is in the folder's place."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.theory", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and figure")
    out = parser.parse_args(arguments).out
    check_place(out)
    out.mkdir(parents=True, exist_ok=True)
    results = compute()
    tables = value_table(results), weight_table(results), statement_table(statements(results))
    for name, text in files(tables).items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")
    drawn = Drawn("theory", TITLE, CAPTION, theory_figure(results))
    save(drawn, out)
    save_captions([drawn], out)


if __name__ == "__main__":
    cli(main)
