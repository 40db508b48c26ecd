"""The pages of the documentation: their links and the files they name are there, and the README leads to each page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from study import keys
from training.folders import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("methods/*/README.md")]
ROOMS = "config|docs|evaluation|methods|profiles|rules|sources|study|tests|training|world"
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_FILE = re.compile(rf"(?<![\w./-])(?:{ROOMS})/[\w./-]*\w")


def _place(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: the headings, spelled as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_place)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if not link.startswith("http"):
            target = page.parent / path if path else page
            assert target.exists(), f"{_place(page)} links to {link}, which is not there"
            assert not anchor or anchor in _anchors(target), (
                f"{_place(page)}: no heading of {_place(target)} is {anchor}"
            )


def _named(page: Path) -> set[str]:
    """The files of this repository that a page names in code spans."""
    spans = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    return {name for span in spans if "<" not in span for name in _FILE.findall(span)}


def test_files_that_the_pages_name_are_there() -> None:
    pages = [page for page in PAGES if page.name not in ("decisions.md", "CHANGELOG.md")]  # records of what was
    named = {(_place(page), name) for page in pages for name in _named(page) if "/mine" not in name}
    assert len(named) > 50
    assert not {(page, name) for page, name in named if not (ROOT / name).exists()}


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / link).resolve() for link in _LINK.findall(readme)}
    pages = [*ROOT.glob("docs/*.md"), *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"))]
    assert not [_place(page) for page in pages if page.resolve() not in linked]


def test_the_page_of_keys_is_what_the_definitions_say() -> None:
    assert (ROOT / "docs/config.md").read_text(encoding="utf-8") == keys.page()


def test_every_kind_of_value_is_spelled_out() -> None:
    lines = keys.page().splitlines()
    assert "| `lr` | number, > 0, ≤ 1 | 0.0001 | AdamW learning rate |" in lines
    assert "| `student_fac` | [least, most] of number, ≥ 0, ≤ 1 | [0.2, 0.6] |" in "\n".join(lines)
    assert "| `tests` | list of [Test](#test) | required | the test sets, the main one first |" in lines
    assert "| `cmdp` | `phi` | `mean`, `last`, `none` | mean | KL that grades infeasible responses |" in lines
    assert "| `minillm` | `length_normalised` | `true`, `false` | true |" in "\n".join(lines)
