"""``python -m evaluation.theory --out DIR [--figures DIR]``: the theory's tables and figure.

Takes about ten seconds on one core. Writes theory, theory_lambda and theory_statements as .csv, .md and .tex
to --out, and theory.png and theory.pdf to --figures.
"""

import argparse
from pathlib import Path

from evaluation.table_files import to_csv, to_latex, to_markdown
from evaluation.theory.results import compute
from evaluation.theory.statements import statements
from evaluation.theory.table import statement_table, value_table, weight_table
from training.errors import UserError, cli


def folder(path: Path, option: str) -> Path:
    """The folder, made if missing. Raises UserError where a file is in the way."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{option} {path} is a file; name a folder for the results instead.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def main(arguments: list[str] | None = None) -> None:
    """Compute everything and write the files."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.theory", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--figures", type=Path, help="folder for the figure; none is drawn without it")
    options = parser.parse_args(arguments)
    out = folder(options.out, "--out")
    figures = folder(options.figures, "--figures") if options.figures else None
    results = compute()
    for table in (value_table(results), weight_table(results), statement_table(statements(results))):
        for suffix, write in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            (out / f"{table.name}{suffix}").write_text(write(table), encoding="utf-8", newline="\n")
    if figures:
        from evaluation.theory.figure import theory_figure  # matplotlib only where it is used

        figure = theory_figure(results)
        figure.savefig(figures / "theory.png", dpi=150)
        figure.savefig(figures / "theory.pdf", metadata={"CreationDate": None})


if __name__ == "__main__":
    cli(main)
