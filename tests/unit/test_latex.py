"""LaTeX tables: what stopped pdflatex, or made a page unreadable, when they were compiled by hand."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from evaluation import latex
from evaluation.collected import read
from evaluation.latex import escape
from evaluation.table_files import to_latex
from evaluation.tables import __main__ as tables
from tests.unit.synthetic import write_collected
from training.folders import ROOT

NOTE = 'at 50 % & "λ" | π_1^2 ~ #1 {x} \\ é <= 3.'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The LaTeX of every table of a size in which a method failed."""
    collected = write_collected(tmp_path_factory.mktemp("collected"), prompts=8, steps=2, failed=("grpo",), note=NOTE)
    return {table.name: to_latex(table) for table in tables.all_tables(read(collected))}


def _bare(text: str) -> str:
    """LaTeX without what is escaped, so that a special character left over is one that LaTeX acts on."""
    return re.sub(r"\\[\\&%$#_{}]", "", text)


def test_only_characters_that_pdflatex_knows(written: dict[str, str]) -> None:
    for name, text in written.items():
        foreign = {sign for sign in text if ord(sign) > 127 and not unicodedata.name(sign).startswith("LATIN")}
        assert not foreign, (name, foreign)


def test_braces_and_formulas_are_closed_and_nothing_is_left_bare(written: dict[str, str]) -> None:
    for name, text in written.items():
        bare = _bare(text)
        assert bare.count("{") == bare.count("}"), name
        assert bare.count("$") % 2 == 0, name
        assert not re.search(r"[#^~\"|]|_(?!\w*})", re.sub(r"\$[^$]*\$", "", bare)), name
        assert re.findall("%.*", bare) == ["%"], name  # the one that ends the line before the tabular


def test_every_row_has_as_many_cells_as_columns(written: dict[str, str]) -> None:
    for name, text in written.items():
        form, body = re.search(r"\\begin{tabular}{(.*)}\n\\toprule\n(.*)\\bottomrule", text, re.S).groups()  # type: ignore[union-attr]
        columns = len(form.replace(latex.SENTENCES, "l"))
        for row in body.split("\n")[:-1]:
            if row != r"\midrule":
                spanned = sum(int(many) - 1 for many in re.findall(r"\\multicolumn{(\d+)}", row))
                assert _bare(row).count("&") + 1 + spanned == columns, (name, row)


def test_the_preamble_of_the_documentation_loads_what_the_tables_use() -> None:
    page = (ROOT / "docs" / "reading_the_report.md").read_text(encoding="utf-8")
    needs = {
        "\\arraybackslash": "array",
        "\\toprule": "booktabs",
        "\\resizebox": "graphicx",
        "sidewaystable": "rotating",
    }
    code = Path(latex.__file__).read_text(encoding="utf-8")
    (loaded,) = re.findall(r"\\usepackage{(.*)}", page)
    assert all(command in code for command in needs)
    assert set(loaded.split(", ")) == set(needs.values())


def _float(label: str, cells: list[str] | str, many: int = 1) -> str:
    return latex.float_of("t", "T", "Notes.", ["X"] * many, [("", [(label, cells)])])


def test_a_row_may_begin_with_what_a_line_break_takes_for_its_own() -> None:
    for label in ("[mine]", "*mine"):
        assert f"\n{{}}{label} & 1 \\\\" in _float(label, ["1"])


def test_wide_tables_are_turned_and_sentences_broken() -> None:
    interval = "71.2 [68.0, 74.1]"
    assert r"\begin{table}" in _float("CMDP", [interval] * 4, 4)
    assert r"\begin{sidewaystable}" in _float("CMDP", [interval] * 11, 11)
    assert rf"\begin{{tabular}}{{l{latex.SENTENCES}}}" in _float("CMDP", ["word " * 20])
    assert rf"\multicolumn{{1}}{{{latex.SENTENCES}}}" in _float("CMDP", "failed: " + "word " * 20)
    assert r"\begin{tabular}{lr}" in _float("3.1", [interval])
    assert r"\begin{tabular}{ll}" in _float("CMDP", ["holds"])


def test_a_backtick_is_no_quote() -> None:
    assert escape("`make export`") == r"\textasciigrave{}make export\textasciigrave{}"


def test_a_minus_is_no_hyphen_and_percent_keeps_to_its_number() -> None:
    assert latex.escape("-0.3 [-1.2, 0.5]") == "$-$0.3 [$-$1.2, 0.5]"
    assert latex.escape("wins - losses of SmolLM2-135M, 1e-06") == "wins $-$ losses of SmolLM2-135M, 1e-06"
    assert latex.escape("95 % of FAC %") == r"95\,\% of FAC \%"
    assert latex.escape("a\nb >= 2") == r"a b $\geq$ 2"
