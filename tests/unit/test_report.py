"""The report: self-contained, complete, and safe against what models write."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation import report
from evaluation.collected import read
from evaluation.figures import __main__ as figures
from evaluation.report_samples import LEVELS, shade, viewers
from evaluation.table_files import Printed
from evaluation.tables import __main__ as tables
from evaluation.theory import __main__ as theory
from tests.unit.synthetic import TESTS, write_collected
from training.errors import UserError

ATTACK = '7 + 5 = 12 <script>alert("x")</script> </pre><img src=x onerror=alert(1)> #### 9'


def _write_samples(collected: Path, runs: Path) -> None:
    for run in json.loads((collected / "runs.json").read_text(encoding="utf-8"))["runs"]:
        (runs / run["run"]).mkdir(parents=True)
        rows = [
            {
                "test": test, "decoding": "sampled", "prompt_id": f"{test}-{prompt:04d}", "sample": sample,
                "prompt": "p", "question": f"How many, {test} {prompt}?", "answer": "9", "response": ATTACK,
                "tokens": [1], "finished": prompt != 1, "chain": None,
            }
            for test in TESTS for prompt in range(4) for sample in range(2)
        ]  # fmt: skip
        text = "\n".join(json.dumps(row) for row in rows)
        (runs / run["run"] / "samples.jsonl").write_text(text, encoding="utf-8")
        pieces = ATTACK.split(" ")
        kept = [
            {"test": test, "prompt_id": f"{test}-{prompt:04d}", "sample": 0, "tokens": [f" {p}" for p in pieces],
             "kl": [0.3 * i for i in range(len(pieces))]}
            for test in TESTS for prompt in range(3)
        ]  # fmt: skip
        text = "\n".join(json.dumps(row) for row in kept)
        (runs / run["run"] / "tokens.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything the report needs, and `report.html`."""
    root = tmp_path_factory.mktemp("report")
    collected = write_collected(root / "collected", seeds=2, prompts=4, steps=2, failed=("gkd",), note="<b>smoke</b>")
    _write_samples(collected, root / "runs")
    theory.main(["--out", str(root / "theory")])
    inputs = ["--collected", str(collected), "--theory", str(root / "theory")]
    tables.main([*inputs, "--out", str(root / "tables"), "--quality", str(root / "quality.md")])
    figures.main(["--collected", str(collected), "--out", str(root / "figures")])
    names = ("collected", "tables", "figures", "theory", "runs")
    given = [x for n in names for x in (f"--{n}", str(root / n))] + ["--quality", str(root / "quality.md")]
    report.main([*given, "--out", str(root / "report.html")])
    return root


@pytest.fixture(scope="module")
def page(built: Path) -> str:
    return (built / "report.html").read_text(encoding="utf-8")


class _Tags(HTMLParser):
    """Tags and attributes as a browser would see them, and whether they nest."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_what_models_write_is_text(page: str, tags: list[tuple[str, dict[str, str | None]]]) -> None:
    assert "&lt;script&gt;alert(" in page
    assert not [tag for tag, _ in tags if tag == "script"]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert "&lt;b&gt;smoke&lt;/b&gt;" in page


def test_nothing_is_loaded_from_elsewhere(page: str, tags: list[tuple[str, dict[str, str | None]]]) -> None:
    links = [value for _, attributes in tags for name, value in attributes.items() if name in {"src", "href"}]
    assert [link for link in links if link and not link.startswith(("data:", "#"))] == ["quality.md"]
    assert ("a", {"href": "quality.md"}) in tags  # followed when clicked, not loaded
    assert "@import" not in page
    assert "url(" not in page
    assert sum(tag == "img" for tag, _ in tags) == 7


def test_the_order_is_summary_main_figures_tables_samples_provenance(page: str) -> None:
    found = re.findall(r'<section id="(\w+)"', page)
    assert found == ["summary", "main", "figures", "tables", "samples", "provenance"]


def test_tables_show_the_very_cells_of_the_table_files(built: Path, page: str) -> None:
    line = next(li for li in (built / "tables" / "main.md").read_text().splitlines() if li.startswith("| CMDP "))
    for cell in line.strip("| ").split(" | "):
        assert f"<td>{cell}</td>" in page
    assert '<td class="gap" colspan="5">failed: loss became infinite at step 7</td>' in page


def test_dark_phone_and_print_have_their_rules(page: str) -> None:
    for rule in ("prefers-color-scheme: dark", "max-width: 40rem", "@media print", 'name="viewport"'):
        assert rule in page


def test_every_row_answers_and_two_stand_side_by_side_at_first(built: Path) -> None:
    size = read(built / "collected")
    (viewer,) = viewers(size, built / "runs", prompts=2)
    assert [e.prompt_id for e in viewer.exhibits] == [f"{test}-{i:04d}" for test in TESTS for i in range(2)]
    assert [viewer.labels[i] for i in viewer.first] == ["CMDP", "GRPO"]
    assert "GKD" not in viewer.labels
    assert {tuple(a.label for a in e.answers) for e in viewer.exhibits} == {viewer.labels}
    row = size.row("world", "cmdp")
    assert row is not None
    kl = size.scores(row, "same", "kl_mean")[0]
    place = viewer.labels.index("CMDP")
    first, second = (e.answers[place] for e in viewer.exhibits[:2])
    assert (first.kl, first.within) == (pytest.approx(kl[0, 0]), kl[0, 0] <= 0.2)
    assert (first.finished, second.finished) == (True, False)
    assert "".join(token.text for token in first.tokens) == f" {ATTACK}"


def test_tokens_are_shaded_by_multiples_of_d(page: str, tags: list[tuple[str, dict[str, str | None]]]) -> None:
    assert [shade(0.2 * level, 0.2) for level in LEVELS] == [1, 2, 3, 4, 5, 6]
    assert (shade(-1e-9, 0.2), shade(0.049, 0.2)) == (0, 0)
    shades = {
        attributes["title"]: attributes["class"] for tag, attributes in tags if tag == "span" and "title" in attributes
    }
    assert (shades["0.000"], shades["0.300"], shades["0.900"]) == ("k0", "k3", "k5")


def test_any_two_rows_can_be_chosen_without_a_script(page: str, tags: list[tuple[str, dict[str, str | None]]]) -> None:
    radios = [attributes for tag, attributes in tags if tag == "input"]
    labels = len({radio["id"] for radio in radios if radio["name"] == "left-0"})
    assert len(radios) == 2 * labels == 2 * 9
    assert sum("checked" in radio for radio in radios) == 2
    for radio in radios:
        place = str(radio["id"]).rsplit("-", 1)[1]
        assert f"#viewer-0:has(#{radio['id']}:checked) .row-{place} {{ display: block;" in page


def test_the_summary_counts_claims(page: str) -> None:
    assert re.search(r"Claims about the paper: \d+ supported, .*\d+ not run", page)


def test_verdicts_of_several_pairs_are_not_counted_as_claims() -> None:
    one = (("**Pair a**", ""), ("C1", "supported"), ("C2", "undecided"))
    two = (("**Pair b**", ""), ("C1", "supported"), ("C2", "not run"))
    printed = [Printed("claims", "", "", ("", "Verdict"), rows, "") for rows in (one, one + two)]
    assert [said for table in printed for said in report.claim_counts([table])] == [
        "Claims about the paper: 1 supported, 1 undecided (table below).",
        "Claims about the paper: 4 verdicts on 2 claims in 2 pairs: 2 supported, 1 undecided, 1 not run (table below).",
    ]


def test_every_sentence_of_the_summary_names_its_pair_and_test_set(built: Path) -> None:
    said = report.summary(read(built / "collected"))
    assert all(sentence.startswith("Pair world") for sentence in said)
    assert any(sentence.startswith(f"Pair world, {TESTS['same']}: CMDP keeps ") for sentence in said)


def test_the_summary_counts_failures_and_controls(built: Path) -> None:
    text = " ".join(report.summary(read(built / "collected")))
    assert "2 of its runs failed" in text
    assert re.search(r"\d+ of 10 controls are in range, 1 not measured", text)


def test_equal_input_gives_equal_bytes(built: Path, page: str) -> None:
    size = read(built / "collected")
    shown = viewers(size, built / "runs")
    printed = report.tables(built / "tables", built / "theory")
    figures = report.pictures(built / "figures") + report.pictures(built / "theory")
    assert report.render(size, printed, figures, shown, report.quality_counts(built / "quality.md")) == page


def test_missing_parts_are_named(built: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"main.; delete it and run make tables with its SIZE"):
        report.tables(tmp_path)
    with pytest.raises(UserError, match=r"the figures .*; delete it and run make tables with its SIZE"):
        report.pictures(tmp_path)
    with pytest.raises(UserError, match=r"quality.md cannot be read .*; delete it and run make tables with its SIZE"):
        report.quality_counts(tmp_path / "quality.md")
    with pytest.raises(UserError, match=r"samples.jsonl cannot be read, there is no such file"):
        viewers(read(built / "collected"), tmp_path)
