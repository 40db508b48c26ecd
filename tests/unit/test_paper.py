"""The paper's numbers and the document that sets ours beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from evaluation import measures, paper
from evaluation.collected import read
from evaluation.paper_numbers import NUMBERS, load
from study.config import load_size
from tests.unit.synthetic import lose, write_collected
from training.errors import UserError


def _section(text: str, title: str) -> str:
    return text.split(f"### {title}\n")[1].split("\n#")[0]


def test_every_number_has_a_source_and_a_confidence() -> None:
    known = load()
    assert len(known.numbers) == 27
    assert len({(n.setting, n.test, n.method, n.metric, n.source) for n in known.numbers}) == 27
    reported = [n for n in known.numbers if n.confidence == "reported"]
    assert len(reported) == 24
    assert all(n.source == "readers" for n in reported)


def test_the_numbers_are_of_the_sizes_own_names() -> None:
    known, pairs = load(), load_size("paper").pairs
    assert {name: (p.student.pretrained, p.teacher.pretrained) for name, p in pairs.items()} == {
        name: (setting.student, setting.teacher) for name, setting in known.settings.items()
    }
    assert known.tests.keys() == {test.name for pair in pairs.values() for test in pair.tests}


def test_other_models_under_the_papers_name_are_another_setting(tmp_path: Path) -> None:
    folder = write_collected(tmp_path, pair="qwen", prompts=5, steps=2)
    content = (folder / "runs.json").read_text(encoding="utf-8").replace("Qwen2.5-Math-7B-Instruct", "Qwen2.5-1.5B")
    (folder / "runs.json").write_text(content, encoding="utf-8")
    text = paper.document(load(), read(folder))
    assert text.count("not run: needs `config/paper.yaml`") == 2
    assert "values are not comparable to the paper's" in text


def test_the_papers_headline_stands_in_its_cell() -> None:
    cell = {(n.setting, n.test, n.method, n.metric): n.value for n in load().numbers}
    assert cell["qwen", "gsm8k", "cmdp", "cs"] == 94.99
    assert cell["qwen", "gsm8k", "grpo", "cs"] == 42.83
    assert cell["llama", "gsm8k", "cmdp", "fac"] == 38.36


def test_another_setting_is_not_put_beside_the_paper(tmp_path: Path) -> None:
    collected = write_collected(tmp_path / "c", prompts=5, steps=2)
    paper.main(["--collected", str(collected), "--out", str(tmp_path / "paper_tables.md")])
    text = (tmp_path / "paper_tables.md").read_text(encoding="utf-8")
    assert text.count("not run: needs `config/paper.yaml` on 80 GB GPUs") == 2
    assert "| GRPO | 80.06 | 12.15 | 42.83 |" in _section(text, "Table 1, GSM8K test")
    assert "| GKD | 38.36 (?) | 41.74 | – |" in _section(text, "Table 2, GSM8K test")
    assert "values are not comparable to the paper's" in text
    assert "## Main results, size tiny" in text


def test_what_is_neither_known_nor_run_takes_no_room(tmp_path: Path) -> None:
    text = paper.document(load(), read(write_collected(tmp_path, prompts=5, steps=2)))
    section = _section(text, "Table 1, GSM8K test")
    assert section.strip().splitlines()[0] == "|  | FAC % paper | RWR % paper | CS % paper |"
    assert "Mini-LLM" not in section
    assert "λ" not in section
    assert _section(text, "Table 2, MATH test").strip().startswith("No number is known to belong here")
    assert "| not said | MATH test | cmdp | FAC % | 25.78 |" in text


def test_a_pair_of_the_papers_name_stands_beside_it(tmp_path: Path) -> None:
    folder = write_collected(tmp_path, pair="qwen", prompts=5, steps=2, failed=("minillm",))
    content = (folder / "runs.json").read_text(encoding="utf-8").replace('"name": "same"', '"name": "gsm8k"')
    (folder / "runs.json").write_text(content, encoding="utf-8")
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.assign(test=scores["test"].replace("same", "gsm8k")).to_parquet(folder / "scores.parquet", index=False)
    text = paper.document(load(), read(folder))
    section = _section(text, "Table 1, GSM8K test")
    assert re.search(r"\| Teacher \| 92\.27 \| [\d.]+ \[[\d.]+, [\d.]+\] \|", section)
    assert "| Mini-LLM | – | failed: loss became infinite at step 7 |" in section
    assert "**another constraint**: d = 0.2 nats, mean reading" in text
    assert "not comparable to the paper's" not in text


def test_in_the_papers_own_setting_difference_and_verdict_stand_beside(tmp_path: Path) -> None:
    folder = write_collected(tmp_path, pair="qwen", prompts=40, steps=2)
    content = (folder / "runs.json").read_text(encoding="utf-8").replace('"name": "same"', '"name": "gsm8k"')
    (folder / "runs.json").write_text(content.replace('"d": 0.2', '"d": 0.35'), encoding="utf-8")
    scores = pd.read_parquet(folder / "scores.parquet")
    scores.assign(test=scores["test"].replace("same", "gsm8k")).to_parquet(folder / "scores.parquet", index=False)
    size = read(folder)
    section = _section(paper.document(load(), size), "Table 1, GSM8K test")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.strip().splitlines()]
    heading, _, *lines = rows
    assert heading.count("FAC % verdict") == heading.count("CS % difference") == 1
    assert "KL difference" not in heading
    cells = {line[0]: dict(zip(heading, line, strict=True)) for line in lines}
    row = size.row("qwen", "grpo")
    assert row is not None
    ours = measures.satisfaction(size, row, "gsm8k")
    assert ours is not None
    shown = cells["GRPO"]["CS % difference"]
    assert float(shown.split(" ")[0]) == pytest.approx(100 * ours.mean - 42.83, abs=0.06)
    inside = ours.low <= 0.4283 <= ours.high
    assert cells["GRPO"]["CS % verdict"] == ("agrees" if inside else "lower" if ours.high < 0.4283 else "higher")
    assert cells["Student before"]["FAC % verdict"] == "higher"
    fewer = _section(paper.document(load(), lose(size, "GRPO")), "Table 1, GSM8K test")
    (line,) = (line for line in fewer.splitlines() if line.startswith("| GRPO"))
    found = dict(zip(heading, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
    assert found[""] == "GRPO (1 of 3 runs)"
    assert {text for name, text in found.items() if name.endswith(("verdict", "difference"))} == {"\N{EN DASH}"}
    assert cells["Mini-LLM"]["FAC % verdict"] == "–"


def test_a_number_of_an_unknown_method_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load(NUMBERS.read_text(encoding="utf-8"))
    content["numbers"][0]["method"] = "ppo"
    path = tmp_path / "numbers.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError, match="unknown method 'ppo'"):
        load(path)
