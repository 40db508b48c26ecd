"""Preflight: what is refused and why, what is only said, and what the estimates rest on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import study.costs
import study.facts
from sources.architectures import published
from study import preflight
from study.config import ModelSource, Pair, load_size
from study.costs import cost_findings, counted, find_device, measured_update_s, meetings, trained_rows
from study.estimates import DEVICES, LOGIT_ROWS, LOGITS, PROMPT, decoding_s, training_memory, update_s
from study.facts import Facts, facts
from study.pair_checks import Finding, data_findings, pair_findings
from study.vocabulary import Vocabulary
from tests.tiny import llama
from training.chunks import LEAST_ROWS, TILE
from training.errors import UserError
from training.schema import parse
from training.settings import TrainSettings

QWEN, TEACHER, LLAMA = "Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen2.5-Math-7B-Instruct", "meta-llama/Llama-3.2-3B"
PAPER = {"epochs": 20, "dtype": "bfloat16", "gradient_checkpointing": True, "micro_questions": 2, "max_new_tokens": 512}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, whatever this machine has, and no card."""
    monkeypatch.setattr(study.facts, "_reachable", lambda: False)
    monkeypatch.setattr(study.costs, "_gpu", lambda: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def settings(**changed: object) -> TrainSettings:
    return parse(TrainSettings, {**PAPER, **changed}, "test")


def of(name: str) -> Facts:
    return facts(ModelSource(pretrained=name))


def about(found: list[Finding], what: str) -> Finding:
    (one,) = [finding for finding in found if finding.what == what]
    return one


def checks(student: Facts, teacher: Facts, **changed: object) -> list[Finding]:
    return list(pair_findings("pair", student, teacher, settings(**changed)))


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
    short = [f for f in checks(of(QWEN), of(TEACHER), max_new_tokens=4000) if f.what == "context length"]
    assert [finding.level for finding in short] == ["refused", "refused"]
    vision = checks(of(LLAMA), of("meta-llama/Llama-3.2-11B-Vision-Instruct"))
    assert about(vision, "chat template").level == "warning"
    assert all("gated" in f.found for f in vision if f.what == "licence, gate")
    assert about(checks(of(QWEN), of(QWEN)), "models").level == "warning"


def test_a_folder_is_read(tmp_path: Path) -> None:
    model = llama(1)
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}, "added_tokens": []}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ x }}"}))
    found = facts(ModelSource(pretrained=str(tmp_path)))
    assert found.config is not None
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert (found.source, found.template, found.stops, found.trouble) == ("folder", True, (1,), "")
    assert found.vocabulary == Vocabulary({"a": 0}, frozenset())


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


def test_memory_is_the_sum_of_its_parts() -> None:
    student, teacher = published()[QWEN].config, published()[TEACHER].config
    count = student.parameters()
    parts = training_memory(student, teacher, settings())
    assert parts["optimiser"] == 12 * count
    assert parts["teacher"] == 2 * teacher.parameters()
    assert parts["gradients"] in {2 * count, 4 * count}
    assert sum(parts.values()) < DEVICES["h100_80gb"].memory
    full = training_memory(student, teacher, settings(dtype="float32", gradient_checkpointing=False))
    assert full["optimiser"] == 8 * count
    assert sum(full.values()) > DEVICES["h100_80gb"].memory
    assert (LOGITS, LOGIT_ROWS) == (TILE, LEAST_ROWS)


def test_memory_knows_the_engine() -> None:
    student, teacher = published()[QWEN].config, published()[TEACHER].config

    def parts(**changed: object) -> dict[str, float]:
        return training_memory(student, teacher, settings(gradient_checkpointing=False, **changed))

    usual, one = parts(), parts(micro_questions=1)
    group = 8 * (PROMPT + 512)
    assert parts(micro_questions=None, micro_tokens=2 * group)["activations"] == usual["activations"]
    assert parts(micro_questions=None, micro_tokens=1)["activations"] == one["activations"]  # a group goes alone
    assert parts(processes=8)["activations"] == one["activations"]
    assert parts(processes=8)["optimiser"] == usual["optimiser"]
    assert usual["teacher"] / 2 < parts(teacher_dtype="int8")["teacher"] < 0.6 * usual["teacher"]
    assert parts(teacher_dtype="float32")["teacher"] == 2 * usual["teacher"]


def test_time_grows_with_what_is_asked() -> None:
    student, teacher = published()[QWEN].config, published()[TEACHER].config
    card = DEVICES["a100_80gb"]
    assert update_s(student, teacher, settings(), card) > update_s(student, None, settings(), card)
    double = update_s(student, None, settings(max_new_tokens=1024), card) / update_s(student, None, settings(), card)
    assert 1.8 < double < 2.1
    assert decoding_s(teacher, 4096, card, 2) > decoding_s(teacher, 1, card, 2)


def test_rows_and_updates_are_counted() -> None:
    size = load_size("paper")
    assert trained_rows(size) == {"gkd": 1, "minillm": 1, "soft_lagrangian": 4, "cmdp": 1, "grpo": 1}
    assert counted(size, "qwen").steps == round(20 * (7473 - 200) / 8)
    assert meetings(size, "qwen") == 3 * 28 + 2 * 3 * 8 + 1 + 1  # rows by seed, references with all, both, control


def test_measured_seconds_take_the_place_of_stated_ones(tmp_path: Path) -> None:
    train = settings()
    for number, seconds in enumerate((10.0, 30.0)):
        run = tmp_path / f"qwen-gkd-s{number}"
        run.mkdir()
        (run / "run.json").write_text(json.dumps({"status": "ok", "train": train.model_dump()}))
        (run / "cost.json").write_text(json.dumps({"wall_s": seconds, "steps": 10}))
    assert measured_update_s("qwen", "gkd", train, tmp_path) == 2.0
    assert measured_update_s("qwen", "gkd", settings(max_new_tokens=9), tmp_path) is None
    assert measured_update_s("qwen", "grpo", train, tmp_path) is None


def test_a_card_too_small_is_refused() -> None:
    size = load_size("paper")
    known = {name: (facts(pair.student), facts(pair.teacher)) for name, pair in size.pairs.items()}
    small = list(cost_findings(size, known, DEVICES["rtx4090"], "test"))
    assert {f.level for f in small if f.what in {"memory", "judge"}} == {"refused"}
    large = list(cost_findings(size, known, DEVICES["h100_80gb"], "test"))
    assert {f.level for f in large if f.what in {"memory", "judge"}} == {"ok"}
    assert all("stated, not measured" in f.found for f in large if f.what == "throughput")
    with pytest.raises(UserError, match=r"no device 'h100'.*did you mean"):
        find_device("h100", size)


def test_training_on_what_is_tested_is_refused(tmp_path: Path) -> None:
    pair = load_size("smollm2").pairs["smollm2"]
    data = {"problems": {"train": "reasoning_gym", "tests": {"gsm8k": 2}}}
    leaky = parse(Pair, {**pair.model_dump(), "data": data}, "test")
    found = [finding.found for finding in data_findings("pair", leaky, str(tmp_path)) if finding.level == "refused"]
    assert any("trained on templates of GSM8K's test questions" in text for text in found)


def test_the_command_says_ready_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    preflight.main(["--size", "micro"])
    assert "ready: 0 refused" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        preflight.main(["--size", "paper", "--data-root", "/nowhere", "--device", "l4"])
    assert stopped.value.code == 1
    printed = capsys.readouterr().out
    assert "not ready: " in printed
    assert max(map(len, printed.splitlines())) <= 125
