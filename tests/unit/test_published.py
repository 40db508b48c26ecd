"""The numbers that the pages print are those of the published tables (`results/published/`)."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from training.folders import ROOT

PUBLISHED = ROOT / "results/published"
# By page, the folders whose tables it quotes.
QUOTED = {
    "README.md": ("micro", "extended", "pairs", "smollm2_cpu", "smollm2_world"),
    "docs/results.md": ("micro", "extended", "pairs", "smollm2_cpu", "smollm2_world"),
    "paper_tables.md": ("micro",),
    "docs/extended.md": ("micro", "extended"),
    "docs/ablations.md": ("micro", "micro/ablations"),
    "docs/across_pairs.md": ("micro", "pairs"),
    "docs/smollm2.md": ("smollm2_cpu",),
    "docs/smollm2_world.md": ("smollm2_world",),
}
# Sections about runs whose tables are not kept; docs/results.md repeats them.
OLDER = {
    "docs/across_pairs.md": ("Made before", "The default study made three times"),
    "docs/smollm2.md": ("Made before",),
}
_INTERVAL = re.compile(r"\[(-?[\d.]+), (-?[\d.]+)\]")
_CELL = re.compile(r"(-?[\d.]+ \[-?[\d.]+, -?[\d.]+\])")


def _text(page: str) -> str:
    """A page with plain minus signs."""
    return (ROOT / page).read_text(encoding="utf-8").replace("\N{MINUS SIGN}", "-")


def _sections(page: str, titles: tuple[str, ...]) -> tuple[str, str]:
    """A page without the sections of these titles, and these alone."""
    parts = re.split(r"^(?=## )", _text(page), flags=re.M)
    chosen = [part for part in parts if part.startswith(tuple(f"## {title}" for title in titles))]
    assert len(chosen) == len(titles), f"{page} lacks one of the sections {titles}"
    return "\n".join(part for part in parts if part not in chosen), "\n".join(chosen)


def _intervals(text: str) -> set[tuple[str, str]]:
    """Every interval in a text, also where a line ends within it."""
    return set(_INTERVAL.findall(" ".join(text.split())))


def _tables(folders: tuple[str, ...]) -> pd.DataFrame:
    files = [file for folder in folders for file in sorted((PUBLISHED / folder).glob("*.csv"))]
    assert files, f"no table in {folders}"
    return pd.concat([pd.read_csv(file, keep_default_na=False, dtype=str) for file in files])


def _as_printed(tables: pd.DataFrame) -> set[tuple[str, str]]:
    """The intervals of tables at every precision that a page may print, and those of the opposite difference."""
    found: set[tuple[str, str]] = set()
    for low, high in {(float(a), float(b)) for a, b in zip(tables.low, tables.high, strict=True) if a}:
        for digits in (1, 2, 3):
            for ends in ((low, high), (-high, -low)):
                found.add(tuple(f"{end:z.{digits}f}" for end in ends))  # type: ignore[arg-type]
    return found


def test_the_sign_of_an_interval_may_be_turned_but_not_its_ends() -> None:
    tables = pd.DataFrame({"low": ["-1.26", ""], "high": ["0.04", ""]})
    assert {("-1.3", "0.0"), ("0.0", "1.3"), ("-0.04", "1.26")} <= _as_printed(tables)
    assert ("0.0", "-1.3") not in _as_printed(tables)


@pytest.mark.parametrize("page", QUOTED)
def test_every_interval_on_a_page_is_in_its_tables(page: str) -> None:
    held, _ = _sections(page, OLDER.get(page, ()))
    printed, known = _intervals(held), _as_printed(_tables(QUOTED[page]))
    if page == "docs/results.md":
        for other, titles in OLDER.items():
            known |= _intervals(_sections(other, titles)[1])
    assert len(printed) > 20
    assert not printed - known, f"{page} prints intervals that no table behind it has"


@pytest.mark.parametrize("page", sorted(QUOTED.keys() - {"docs/ablations.md"}))
def test_every_row_of_a_results_table_is_the_published_one(page: str) -> None:
    """Cells of a line that begins with a row's name, such as `| CMDP | 81.8 [78.3, 84.8] |`: number for number.

    The page of ablations names rows by the value of their setting alone, as no table does.
    """
    tables = _tables(QUOTED[page])
    rows, known = set(tables.row), set(zip(tables.row, tables.text.str.rstrip("*"), strict=True))
    held, _ = _sections(page, OLDER.get(page, ()))
    cells = [
        (label, number)
        for label, *values in ([cell.strip() for cell in line.strip("|").split("|")] for line in held.splitlines())
        for value in values
        for number in _CELL.findall(value)
        if label in rows
    ]
    assert len(cells) > 20
    assert not [cell for cell in cells if cell not in known]


def _verdicts(name: str) -> dict[str, tuple[str, bool]]:
    """By claim its verdict, and whether the interval shown beside it lies wholly on the wrong side."""
    table = pd.read_csv(PUBLISHED / name, keep_default_na=False, dtype=str)
    found = {}
    for claim, cells in table[table.column.isin(("verdict", "number"))].groupby("row"):
        verdict, number = (cells[cells.column == column].iloc[0] for column in ("verdict", "number"))
        bound = -5.0 if claim == "C3" else 0.0
        found[str(claim)] = verdict.text, number.high != "" and float(number.high) < bound
    return found


def test_the_readme_shows_each_verdict_of_the_published_studies() -> None:
    studies = ("micro/claims", "pairs/across_pairs_claims", "smollm2_cpu/claims", "smollm2_world/claims")
    published = [_verdicts(f"{study}.csv") for study in studies]
    shown = [line.strip("|").split("|") for line in _text("README.md").splitlines() if line.startswith("| C")]
    checked = 0
    for label, *cells in (row for row in shown if re.match(r" C\d[^:]*:", row[0])):
        claim = label.strip().split(":")[0]
        for cell, known in zip(cells, published, strict=True):
            if not cell.strip() or claim == "C6":  # C4 is one verdict for all; C6 is of the size `extended`
                continue
            verdict, against = known[claim]
            assert cell.strip().split(",")[0] == verdict, (claim, cell)
            assert ("leaning against" in cell) == (verdict == "undecided" and against), (claim, cell)
            checked += 1
    assert checked > 20
    assert _verdicts("extended/claims.csv")["C6"][0] == "supported"


def test_what_made_the_tables_is_recorded() -> None:
    folders = {folder.split("/")[0] for quoted in QUOTED.values() for folder in quoted}
    assert {path.parent.name for path in PUBLISHED.glob("*/made_on.json")} == folders
    assert {path.name for path in PUBLISHED.iterdir() if path.is_dir()} == folders
    listed = (PUBLISHED / "README.md").read_text(encoding="utf-8")
    assert all(f"`{folder}/`" in listed for folder in folders)
