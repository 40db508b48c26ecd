"""Data, method folders and results that are not what they must be: one sentence with file, key, value and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evaluation.claims
import evaluation.paper_numbers
from evaluation.sample_files import read_samples
from evaluation.table_files import read_markdown
from training.data import check_apart, read_problems
from training.errors import UserError
from training.folders import ROOT, Folder, find_folders
from training.inputs import read_threshold

PROBLEM = {"id": "a-1", "question": "How many ?", "prompt": "How many ? answer :", "answer": "9", "solution": "#### 9",
           "chain": {"start": 3, "ops": [["+", 6]]}}  # fmt: skip
SAMPLE = {"test": "same", "decoding": "sampled", "prompt_id": "a-1", "sample": 0, "prompt": "p", "question": "q",
          "answer": "9", "response": "#### 9", "tokens": [4, 1], "finished": True, "chain": None}  # fmt: skip


def sentence(act: Callable[[], Any]) -> str:
    """What the user is told; it must be one line."""
    with pytest.raises(UserError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


DATA = [
    (b"", "holds no problems; give at least one"),
    (b"\xff\xfe\x00", "cannot be read as text (invalid start byte at byte 0); correct"),
    (b"[1, 2]\n", "line 1: a JSON object is needed, not list"),
    (b"{'id': 1}\n", "line 1: no valid JSON"),
    (b"[" * 100_000, "line 1: no valid JSON"),
    (lines(PROBLEM) + b"\n" + lines(PROBLEM), "line 2: no valid JSON"),
    *((lines(without(PROBLEM, key)), f"line 1: the key '{key}' is missing") for key in ("id", "prompt", "solution")),
    (lines({**PROBLEM, "answer": 9}), "line 1: 'answer' is 9, but must be a text"),
    (lines({**PROBLEM, "id": None}), "line 1: 'id' is None, but must be a text"),
    (lines({**PROBLEM, "question": ["How"]}), "line 1: 'question' is ['How'], but must be a text"),
    (lines({**PROBLEM, "answer": " "}), "line 1: 'answer' is empty"),
    (lines({**PROBLEM, "prompt": ""}), "line 1: 'prompt' is empty"),
    (lines(PROBLEM, PROBLEM), "line 2: the id 'a-1' is taken by a line above"),
    (lines({**PROBLEM, "chain": [3, 6]}), "line 1: 'chain' is neither null nor a start with signed ops"),
    (lines({**PROBLEM, "chain": {"start": 3, "ops": [["*", 6]]}}), "line 1: 'chain' is neither"),
    (lines({**PROBLEM, "chain": {"start": 3.5, "ops": [["+", 6]]}}), "line 1: 'chain' is neither"),
]


@pytest.mark.parametrize(("content", "told"), DATA, ids=[told for _, told in DATA])
def test_data(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    said = sentence(lambda: read_problems(path))
    assert said.startswith(str(path))
    assert told in said


def test_data_that_is_not_there(tmp_path: Path) -> None:
    assert "absent.jsonl cannot be read (No such file" in sentence(lambda: read_problems(tmp_path / "absent.jsonl"))
    assert "cannot be read (Is a directory)" in sentence(lambda: read_problems(tmp_path))


def test_a_prompt_of_training_in_a_test_set(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(PROBLEM))
    (tmp_path / "same.jsonl").write_bytes(lines({**PROBLEM, "id": "b-1", "prompt": "other"}, {**PROBLEM, "id": "b-2"}))
    train = read_problems(tmp_path / "train.jsonl")
    said = sentence(lambda: check_apart(tmp_path, train))
    assert "same.jsonl: 1 prompts are training prompts too, that of 'b-2' first" in said


SAMPLES = [
    (lines(without(SAMPLE, "tokens")), "line 1: the key 'tokens' is missing"),
    (lines({**SAMPLE, "response": 9}), "line 1: 'response' is 9, but must be a text"),
    (lines({**SAMPLE, "finished": "yes"}), "line 1: 'finished' is 'yes', but must be true or false"),
    (lines({**SAMPLE, "sample": True}), "line 1: 'sample' is True, but must be a whole number"),
    (lines({**SAMPLE, "tokens": "4 1"}), "line 1: 'tokens' is '4 1', but must be a list"),
    (lines({**SAMPLE, "tokens": [4, -1]}), "line 1: 'tokens' are not all whole numbers from 0 on"),
    (lines({**SAMPLE, "tokens": [4, 1.5]}), "line 1: 'tokens' are not all whole numbers from 0 on"),
    (lines(SAMPLE, SAMPLE), "line 2: this sample of prompt 'a-1' stands above already"),
    (lines(SAMPLE)[:-9], "line 1: no valid JSON"),
    (b"\x89PNG", "cannot be read as text"),
]


@pytest.mark.parametrize(("content", "told"), SAMPLES, ids=[told for _, told in SAMPLES])
def test_samples(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(content)
    said = sentence(lambda: read_samples(path))
    assert said.startswith(str(path))
    assert told in said


THRESHOLDS = [
    ("", "no valid JSON"),
    ("0.2", "a JSON object is needed, not float"),
    ("{}", "the key 'd' is missing; delete it and run make tables with its SIZE"),
    ('{"d": "0.2"}', "'d' is '0.2', but must be a number"),
    ('{"d": NaN}', "'d' is nan, but must be a number above 0"),
    ('{"d": -0.1}', "'d' is -0.1, but must be a number above 0"),
]


@pytest.mark.parametrize(("text", "told"), THRESHOLDS, ids=[told for _, told in THRESHOLDS])
def test_threshold_files(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "d.json").write_text(text)
    assert told in sentence(lambda: read_threshold(tmp_path / "d.json"))


YAML = "label: Mine\nneeds: {teacher: false, threshold: false}\n"
PYTHON = "from training.method import Method as Base\n\n\nclass Method(Base):\n    pass\n"
METHODS = [
    (None, PYTHON, "holds no method.yaml; a method folder needs both"),
    (YAML, None, "holds no method.py; a method folder needs both"),
    ("- label", PYTHON, "input should be an object"),
    (YAML + "lable: x\n", PYTHON, "unknown key 'lable'; did you mean 'label'"),
    (YAML + "label: x\n", PYTHON, "line 3: the key 'label' is given twice"),
    ("label: Mine\n", PYTHON, "'needs' is missing; add it"),
    ("label: Mine\nneeds: {teacher: 1, threshold: false}\n", PYTHON, "'needs.teacher' is 1"),
    (YAML + "objective: rewards\n", PYTHON, "'objective' is 'rewards', but input should be 'reward'"),
    (YAML + "settings: {n: {default: -1, min: 0, help: x}}\n", PYTHON, "'settings.n.default' is -1.0, but must be at"),
    (YAML + "settings: {n: {default: b, choices: [a, c], help: x}}\n", PYTHON, "'settings.n.default' is 'b'"),
    (
        YAML + "settings: {n: {default: text, help: x}}\n",
        PYTHON,
        "'settings.n.default' is 'text', but must be a number",
    ),
    (YAML + "settings: {n: {default: 1}}\n", PYTHON, "'settings.n.help' is missing"),
    (YAML + "settings: {n: {default: .inf, help: x}}\n", PYTHON, "settings.n.default"),
    (YAML + "statistics: {kl: a, step: b}\n", PYTHON, "but 'step' would replace the log's own value of this name"),
    (YAML, "def train(run:\n", "line 1: no valid Python"),
    (YAML, "\0", "no valid Python (source code string cannot contain null bytes)"),
    (YAML, "import torhc\n" + PYTHON, "line 1: there is no package 'torhc'"),
    (YAML, "X = 1\n", "defines neither a class 'Method' nor a function 'train'"),
    (YAML, "class Method:\n    pass\n", "'Method' is no subclass of training.method.Method"),
    (YAML, "X = undefined\n" + PYTHON, "cannot be loaded (NameError: name 'undefined' is not defined)"),
    (YAML, "import sys\nsys.exit('bye')\n" + PYTHON, "cannot be loaded (SystemExit: bye); correct it"),
    (YAML, "from training.batch import Bach\n" + PYTHON, "cannot be loaded (ImportError: cannot import name 'Bach'"),
]


@pytest.mark.parametrize(("declared", "code", "told"), METHODS, ids=[told for _, _, told in METHODS])
def test_method_folders(tmp_path: Path, declared: str | None, code: str | None, told: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in (("method.yaml", declared), ("method.py", code)):
        if text is not None:
            (folder / name).write_text(text)
    said = sentence(lambda: find_folders((tmp_path,))["mine"].load())
    assert str(folder) in said
    assert told in said


@pytest.mark.parametrize("name", ["grpo", "my method", "a;b", "$(b)"])
def test_names_of_method_folders(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "method.yaml").write_text(YAML)
    (tmp_path / name / "method.py").write_text(PYTHON)
    told = f"is in {ROOT / 'methods' / name} already" if name == "grpo" else "cannot name a method; use letters"
    assert told in sentence(lambda: find_folders((tmp_path,)))


def test_a_folder_of_methods_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no folder" in sentence(lambda: find_folders((tmp_path / "absent",)))
    itself = sentence(lambda: find_folders((ROOT / "methods" / "gkd",)))
    assert itself.endswith(f"gkd is a method itself; name {ROOT / 'methods'}, which holds it")


def test_the_slips_are_slips_and_the_pattern_is_sound(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "method.yaml").write_text(YAML)
    (tmp_path / "mine" / "method.py").write_text(PYTHON)
    found = find_folders((tmp_path,))["mine"]
    assert isinstance(found, Folder)
    assert found.load().__name__ == "Method"


CLAIMS = [
    ("- {id: A, claim: c, source: s, kind: levle}", "'claims.0.kind' is 'levle'"),
    ("- {id: A, claim: c, source: s, kind: level}", "claim 'A' of kind 'level' needs the key 'value'"),
    ("- {id: A, claim: c, source: s, kind: theory}", "claim 'A' of kind 'theory' needs the key 'statements'"),
    ("- {id: A, claim: c, source: s, kind: deployed, metrics: cs}", "unknown key 'claims.0.metrics'"),
    ("", "'claims' is None"),
]


@pytest.mark.parametrize(("text", "told"), CLAIMS, ids=[told for _, told in CLAIMS])
def test_claims(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "claims.yaml").write_text(text)
    assert told in sentence(lambda: evaluation.claims.load(tmp_path / "claims.yaml"))


def test_numbers_of_the_paper(tmp_path: Path) -> None:
    text = evaluation.paper_numbers.NUMBERS.read_text()
    (tmp_path / "numbers.yaml").write_text(text.replace("metric: fac", "metric: fca", 1).replace("fac,", "fca,", 1))
    assert "'fca'" in sentence(lambda: evaluation.paper_numbers.load(tmp_path / "numbers.yaml"))
    assert "cannot be read" in sentence(lambda: evaluation.paper_numbers.load(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    "content", [b"", b"## T\n", b"## T\n\ntext\n\n| a | b |\n| :-- | --: |\n| x |\n\nRuns\n", b"\xff"]
)
def test_tables_of_the_report(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "main.md").write_bytes(content)
    assert "main.md is no table as evaluation.tables writes it" in sentence(lambda: read_markdown(tmp_path / "main.md"))
