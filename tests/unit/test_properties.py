"""What holds for any input: a config is a size or one sentence, answers never raise, files come back as written."""

from __future__ import annotations

import copy
import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import study.config
from evaluation.sample_files import read_samples
from evaluation.statistics import Estimate
from evaluation.table_files import Column, Line, Table, read_markdown, to_csv, to_markdown
from study.config import Size, load_size
from tests.unit.test_bad_input import PROBLEM, SAMPLE
from training.answers import extract, is_correct, normalise
from training.data import read_problems
from training.errors import UserError
from training.folders import ROOT
from training.inputs import read_threshold

settings.register_profile(
    "quick", max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.load_profile("quick")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.sampled_from([-1, 10**400, 1e308, "1e-4", "../x"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
SMOKE = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def root() -> Any:
    """A folder with a config of its own, for all examples."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "config").mkdir()
        patch.setattr(study.config, "ROOT", Path(folder))
        yield Path(folder)


def one_sentence(act: Any) -> Any:
    """What `act` gives, or None where it ends in one sentence; nothing else may be raised."""
    told = ""
    try:
        return act()
    except UserError as error:
        told = str(error)
    assert told
    assert "\n" not in told
    return None


def size_of(content: bytes) -> Size | None:
    (study.config.ROOT / "config" / "any.yaml").write_bytes(content)
    return one_sentence(lambda: load_size("any"))


@given(VALUES)
def test_any_yaml_is_a_size_or_a_sentence(values: Any) -> None:
    assert size_of(yaml.safe_dump(values, allow_unicode=True).encode()) is None  # none of these can be whole


@given(st.binary(max_size=60) | TEXT.map(str.encode))
@example(b"? [a]\n: 1")
@example(b"a: 0x\nb: 1:2:3")
@example(b"- !!binary x")
@example(b"<<: 1")
def test_any_file_is_a_size_or_a_sentence(content: bytes) -> None:
    assert size_of(content) is None


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value of a config."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


@given(st.sampled_from(places(SMOKE)[1:]), VALUES)
@settings(max_examples=150)
def test_one_changed_value_gives_a_size_or_a_sentence(path: tuple[Any, ...], value: Any) -> None:
    changed = copy.deepcopy(SMOKE)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    found = size_of(yaml.safe_dump(changed, allow_unicode=True).encode())
    assert found is None or isinstance(found, Size)


def test_the_unchanged_config_is_a_size() -> None:
    assert isinstance(size_of(yaml.safe_dump(SMOKE).encode()), Size)


PIECES = st.lists(st.sampled_from(["####", " ", "7", "-3", "1,200.50", "\\boxed{", "}", "$", "%", ".", "\n", "x"]))


@given(PIECES.map("".join) | TEXT)
@example("\\boxed{\\boxed{")
@example("####")
def test_extraction_never_raises_and_its_answer_is_correct(text: str) -> None:
    found = extract(text)
    assert found is None or (found == normalise(found) and is_correct(text, found))
    if text.count("####") > 1:
        assert found is None


@given(TEXT | st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.integers(), st.sampled_from(["#### {}", "so\n#### ${:,}.", "#### {}%", "\\boxed{{{}}}", "#### {}.0"]))
def test_a_marked_number_is_found_whatever_its_spelling(number: int, form: str) -> None:
    assert extract(form.format(number)) == str(number)


CELLS = st.one_of(st.none(), TEXT, st.floats(allow_nan=False), st.builds(
    lambda mean, width: Estimate(mean, mean - width, mean + width, 2, 4, 3), st.floats(-1e6, 1e6), st.floats(0, 9)
))  # fmt: skip


def flat(text: str) -> str:
    return " ".join(text.split())


@given(TEXT, TEXT, TEXT, st.lists(st.tuples(CELLS, CELLS), max_size=3))
@example("a|b", "\\", "\u2028", [("a | b", "\\|"), ("x\\", "| ")])
def test_a_table_comes_back_as_it_was_written(title: str, label: str, heading: str, cells: list[Any]) -> None:
    columns = (Column("a", heading), Column("b", "B", "%", 3))
    lines = tuple(Line(label, dict(zip("ab", pair, strict=True))) for pair in cells)
    table = Table("t", title, "what it is", columns, (("", lines),))
    path = study.config.ROOT / "t.md"
    path.write_text(to_markdown(table), encoding="utf-8", newline="\n")
    found = read_markdown(path)
    assert (found.title, found.caption, found.heading) == (flat(title), "what it is", ("", flat(heading), "B"))
    shown = tuple((flat(label), *(flat(line.show(column)) for column in columns)) for line in lines)
    assert found.rows == shown
    *cells, _ = csv.DictReader(io.StringIO(to_csv(table), newline=""))  # the last line names the runs
    wanted = [(line.label, column.key, line.show(column)) for line in lines for column in columns]
    assert [(cell["row"], cell["column"], cell["text"]) for cell in cells] == wanted


@given(st.binary(max_size=80) | TEXT.map(str.encode) | PIECES.map("|".join).map(str.encode))
def test_any_file_is_a_table_or_a_sentence(content: bytes) -> None:
    (study.config.ROOT / "t.md").write_bytes(content)
    found = one_sentence(lambda: read_markdown(study.config.ROOT / "t.md"))
    assert found is None or all(len(row) == len(found.heading) for row in found.rows)


READERS = [(read_problems, PROBLEM), (read_samples, SAMPLE), (read_threshold, {"d": 0.2})]


@pytest.mark.parametrize(("reader", "good"), READERS, ids=["problems", "samples", "threshold"])
def test_rows_are_read_or_refused_in_a_sentence(reader: Any, good: dict[str, Any]) -> None:
    path = study.config.ROOT / "rows.jsonl"

    @given(st.sampled_from(sorted(good)), VALUES, st.integers(0, 400))
    def check(key: str, value: Any, cut: int) -> None:
        text = json.dumps({**good, key: value})
        for content in (text, text[:cut], text[:cut] + "\x00"):
            path.write_text(content, encoding="utf-8")
            one_sentence(lambda: reader(path))

    check()
    path.write_text(json.dumps(good), encoding="utf-8")
    assert reader(path)
