"""One self-contained page with everything a size has to show.

    python -m evaluation.report --collected results/built/micro/collected --tables results/tables \\
        --figures figures --theory results/built/theory --quality results/quality.md \\
        --runs results/runs --out results/report.html

Images are embedded and nothing is loaded from elsewhere. What models wrote is text, never markup.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from evaluation import measures
from evaluation.captions import in_percent, row_label, setting
from evaluation.collected import Collected, Row, Test, read
from evaluation.controls import checks
from evaluation.report_samples import LEVELS, Viewer, viewers
from evaluation.table_files import Printed, read_markdown
from training.errors import UserError, cli

MAIN_FIRST = (
    "main", "controls", "across_pairs", "claims", "across_pairs_claims", "satisfaction", "differences",
    "across_pairs_differences", "win_matrix", "pareto", "feasible", "equal_compute", "readings", "kl_estimators",
    "intervals", "cost",
)  # fmt: skip
CLAIMS = {"claims": "Claims about the paper", "across_pairs_claims": "The same over all pairs of models together"}
VERDICTS = ("supported", "contradicted", "undecided", "not run")


@dataclass(frozen=True)
class Picture:
    """A figure ready to embed."""

    title: str
    caption: str
    data: str


def summary(size: Collected) -> list[str]:
    """A few sentences of findings; every number with its interval."""
    sentences = []
    for name, pair in size.pairs.items():
        first = pair.tests[0]
        rows = [row for row in size.rows(name, "method") if row.finished]
        for what, measure in (("FAC", measures.fac), ("constraint satisfaction", measures.satisfaction)):
            scored = [(found, row) for row in rows if (found := measure(size, row, first.name))]
            if scored:
                top = max(found.mean for found, _ in scored)
                best = [f"{row_label(row)} {in_percent(found)}" for found, row in scored if found.mean == top]
                sentences.append(f"Pair {name}, {first.title}: highest {what}: {', '.join(best)}.")
        sentences += _headline(size, size.row(name, "cmdp"), first)
        absent = sum(run.pair == name and run.status != "ok" for run in size.runs)
        if absent:
            sentences.append(f"Pair {name}: {absent} of its runs failed or are missing; the tables name them.")
        verdicts = [check.passed for check in checks(size, name)]
        known = len(verdicts) - verdicts.count(None)
        counted = f"{verdicts.count(True)} of {known} controls are in range, {verdicts.count(None)} not measured"
        sentences.append(f"Pair {name}: {counted}.")
    return sentences


def claim_counts(printed: list[Printed]) -> list[str]:
    """The verdicts on the claims about the paper, counted; a sentence for each table that has them.

    Every pair has a verdict of its own on every claim.
    """
    sentences = []
    for table in printed:
        if table.name in CLAIMS:
            place = table.heading.index("Verdict")
            lines = [row for row in table.rows if row[place]]
            counts, claims = Counter(row[place] for row in lines), len({row[0] for row in lines})
            said = ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])
            many = f"{len(lines)} verdicts on {claims} claims in {len(lines) // claims} pairs: "
            sentences.append(f"{CLAIMS[table.name]}: {many if len(lines) > claims else ''}{said} (table below).")
    return sentences


def _headline(size: Collected, row: Row | None, test: Test) -> list[str]:
    """The constrained method in one sentence, against the threshold it was trained for."""
    rate = measures.satisfaction(size, row, test.name) if row else None
    score = measures.fac(size, row, test.name) if row else None
    if row is None or rate is None or score is None:
        return []
    kept = f"{row_label(row)} keeps {in_percent(rate)} of its responses within d"
    return [f"Pair {row.pair}, {test.title}: {kept} and answers {in_percent(score)} correctly."]


def pictures(folder: Path) -> list[Picture]:
    """The figures named in `captions.json`. Raises `UserError` where the folder does not hold them."""
    try:
        captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
        return [
            Picture(
                c["title"],
                f"{c['caption']} {c['sources']}",
                base64.b64encode((folder / f"{name}.png").read_bytes()).decode(),
            )
            for name, c in captions.items()
        ]
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} does not hold the figures ({error}); delete it and run make tables with its SIZE"
        ) from error


def tables(*folders: Path) -> list[Printed]:
    """Every table of the folders, the known ones first. Raises `UserError` where the main one is missing."""
    found = {path.stem: path for folder in folders for path in sorted(folder.glob("*.md"))}
    if "main" not in found:
        raise UserError(f"{folders[0]} does not hold the table 'main'; delete it and run make tables with its SIZE")
    names = [name for name in MAIN_FIRST if name in found] + [name for name in found if name not in MAIN_FIRST]
    return [read_markdown(found[name]) for name in names]


def quality_counts(path: Path) -> str:
    """The sentence of quality.md that counts its findings. Raises `UserError` where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and run make tables with its SIZE") from error
    return next((line for line in lines if line.startswith("Quality: ")), "Quality: not counted.")


def render(
    size: Collected, printed: list[Printed], figures: list[Picture], samples: list[Viewer], quality: str
) -> str:  # fmt: skip
    """The page as text; everything inserted is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content: dict[str, Any] = {
        "size": size,
        "setting": setting(size),
        "summary": [*summary(size), *claim_counts(printed)],
        "quality": quality,
        "main": printed[0],
        "tables": printed[1:],
        "figures": figures,
        "viewers": samples,
        "levels": LEVELS,
        "runs": sorted(size.runs, key=lambda run: (run.pair, run.order, run.seed)),
    }
    return environment.get_template("report.html.j2").render(content)


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR --tables DIR --figures DIR --theory DIR --quality FILE --runs DIR --out FILE`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.report", description=__doc__)
    parser.add_argument("--collected", required=True, type=Path)
    parser.add_argument("--tables", required=True, type=Path)
    parser.add_argument("--figures", required=True, type=Path)
    parser.add_argument("--theory", required=True, type=Path, help="folder written by evaluation.theory")
    parser.add_argument("--quality", required=True, type=Path, help="quality.md of evaluation.tables, linked beside")
    parser.add_argument("--runs", required=True, type=Path, help="folder of run folders, for sample answers")
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args(argv)
    size = read(given.collected)
    figures = pictures(given.figures) + pictures(given.theory)
    page = render(
        size, tables(given.tables, given.theory), figures, viewers(size, given.runs), quality_counts(given.quality)
    )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    cli(main)
