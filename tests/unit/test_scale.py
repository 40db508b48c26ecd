"""What the larger sizes need of the code: epochs, recomputed layers, unlike vocabularies, shadows, dropped layers."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from sources import packages, reasoning, shadow
from sources.architectures import published
from sources.layers import drop_layers
from study.config import load_size
from study.vocabulary import Vocabulary, read_vocabulary
from tests.tiny import batch, gradients, llama
from training.cost import parameters
from training.divergence import reverse_kl
from training.errors import UserError
from training.models import check_same_vocabulary, decoder, load_policy, load_tokenizer, recomputing
from training.prompt import encode
from training.rollout import generate
from training.schema import parse
from training.settings import TrainSettings
from training.stops import share_stops, stop_ids
from training.vocabulary import clashes
from world.tokenizer import build

COUNTS = {
    "Qwen/Qwen2.5-Math-1.5B": 1_543_714_304, "Qwen/Qwen2.5-Math-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-0.5B": 494_032_768, "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": 32_763_876_352, "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
}  # fmt: skip


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shadow of Llama 3.2 with vision: text path, vision tower and all."""
    folder = tmp_path_factory.mktemp("shadow")
    shadow.main(["--params", '{"of": "meta-llama/Llama-3.2-11B-Vision-Instruct"}', "--data", ".", "--out", str(folder)])
    return folder


def test_parameters_are_counted_as_published() -> None:
    assert {name: published()[name].config.parameters() for name in COUNTS} == COUNTS


def test_the_formula_counts_what_a_model_has(vision: Path) -> None:
    model = load_policy(vision)
    shape = published()["meta-llama/Llama-3.2-11B-Vision-Instruct"].config
    cut = {key: value for key, value in shadow.cut(shape).items() if key in type(shape).model_fields}
    small = shape.model_copy(update={**cut, "head_dim": None})
    assert small.parameters() == sum(p.numel() for p in model.parameters())


def test_operations_of_the_text_path_leave_out_what_text_passes_by(vision: Path) -> None:
    """Layers of cross-attention may hold anything: the logits are the same, and they are not counted."""
    model, ids = load_policy(vision), torch.arange(5)[None]
    before, counted = model(input_ids=ids).logits, parameters(model)
    passed = [decoder(model).layers[i] for i in model.config.cross_attention_layers]
    held = sum(p.numel() for layer in passed for p in layer.parameters())
    whole = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    for layer in passed:
        for weight in layer.parameters():
            weight.data.fill_(torch.nan)
    assert torch.equal(model(input_ids=ids).logits, before)
    assert counted == whole - held < whole


def test_the_text_path_is_read_whole_and_runs(vision: Path) -> None:
    model, tokenizer = load_policy(vision), load_tokenizer(vision)
    assert type(model).__name__ == "MllamaForCausalLM"
    assert model.get_output_embeddings().weight.shape == (128256, 16)
    assert decoder(model) is not model
    rolled = generate(model, tokenizer, [encode(tokenizer, "What is 3 + 4?")], 3)
    assert rolled.response.shape == (1, 3)


def test_a_folder_without_all_weights_is_refused(tmp_path: Path) -> None:
    model = llama(1)
    weights = {name: value for name, value in model.state_dict().items() if "layers.1.mlp" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(UserError, match=r"lacks 3 weights of its model, model\.layers\.1\.mlp\.down_proj"):
        load_policy(tmp_path)


def test_epochs_become_updates() -> None:
    settings = parse(TrainSettings, {"epochs": 20, "kl_warmup_epochs": 3}, "here").in_updates(7273)
    assert (settings.steps, settings.kl_warmup, settings.epochs) == (18182, 2727, None)
    assert settings.in_updates(5) == settings
    short = parse(TrainSettings, {"epochs": 2, "kl_warmup_epochs": 1.9, "questions": 8}, "here").in_updates(20)
    assert (short.steps, short.kl_warmup) == (5, 4)  # 4.75 updates: rounded up, they would leave the method none


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "exactly one of 'steps'"),
        ({"steps": 3, "epochs": 1}, "exactly one of 'steps'"),
        ({"steps": 3, "kl_warmup_epochs": 1}, "'kl_warmup_epochs' goes with 'epochs'"),
        ({"epochs": 3, "kl_warmup": 2}, "'kl_warmup' goes with 'steps'; beside 'epochs' give 'kl_warmup_epochs'"),
        ({"steps": 3, "kl_warmup": 3}, r"'kl_warmup' \(3\) leaves nothing of 'steps' \(3\) to the method"),
        ({"epochs": 2, "kl_warmup_epochs": 3}, r"'kl_warmup_epochs' \(3\) leaves nothing of 'epochs' \(2\)"),
    ],
)
def test_one_unit_of_length_and_something_left_to_the_method(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(TrainSettings, values, "here")


def test_recomputed_layers_change_no_gradient() -> None:
    def gradient(student: torch.nn.Module) -> torch.Tensor:
        return gradients(student, batch(student=student).expectation(reverse_kl).sum())

    plain, saving = llama(1, dropout=0.5), llama(1, dropout=0.5)
    saving.activation_checkpointing_enable()
    calls: list[str] = []
    for name, model in (("plain", plain), ("saving", saving)):
        model.model.layers[0].self_attn.register_forward_hook(lambda *_, name=name: calls.append(name))
    assert torch.equal(gradient(plain), gradient(saving))
    assert calls == ["plain", "saving", "saving"]
    assert not any(module.training for module in saving.modules())
    with recomputing(saving):
        assert sum(module.training for module in saving.modules()) == 2  # the layers, and nothing within them
    with recomputing(plain):
        assert not any(module.training for module in plain.modules())


def test_the_student_stops_where_the_teacher_does() -> None:
    """At the ids that its model declares and at its tokenizer's own end; what ends the student already stays."""
    student, teacher = llama(1), llama(2)
    ours, theirs = SimpleNamespace(eos_token_id=1), SimpleNamespace(eos_token_id=7)
    teacher.generation_config.eos_token_id = [1, 5]
    share_stops(student, ours, stop_ids(teacher, theirs))
    assert student.generation_config.eos_token_id == [1, 5, 7]
    share_stops(teacher, theirs, stop_ids(llama(3), ours))
    assert teacher.generation_config.eos_token_id == [1, 5]


@pytest.mark.parametrize(
    "settings", [{"min_p": 0.3, "do_sample": True}, {"num_beams": 3}, {"suppress_tokens": [4]}, {"temperature": 0.6}]
)
def test_a_model_folder_does_not_decide_how_is_sampled(settings: dict[str, Any], tmp_path: Path) -> None:
    """transformers takes from the folder all that is not said when sampling, and refuses to save the last of these."""
    llama(1).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 5], **settings}))
    model, plain = load_policy(tmp_path), llama(1)
    drawn = []
    for one in (model, plain):
        one.generation_config.eos_token_id = [1, 5]
        torch.manual_seed(0)
        drawn.append(generate(one, SimpleNamespace(eos_token_id=1, pad_token_id=0), [[3, 4]] * 200, 6).response)
    assert torch.equal(*drawn)
    share_stops(model, SimpleNamespace(eos_token_id=1), [7])
    model.save_pretrained(tmp_path / "policy")
    assert load_policy(tmp_path / "policy").generation_config.eos_token_id == [1, 5, 7]


def test_control_tokens_may_have_other_names_where_nothing_uses_them() -> None:
    text = {"a": 0, "b": 1, "<end>": 2, "<reserved>": 3}
    vision = {"a": 0, "b": 1, "<end>": 2, "<step>": 3, "<image>": 4}
    special = {"<end>", "<reserved>", "<step>", "<image>"}
    assert clashes(text, vision, special) == []
    assert clashes(text, vision, special, used={3}) == [(3, "<reserved>", "<step>")]
    assert clashes(text, vision, special - {"<step>"}) == [(3, "<reserved>", "<step>")]
    assert clashes({"a": 0, "b": 1}, {"a": 1, "b": 0}, ()) == [(0, "a", "b"), (1, "b", "a")]
    assert clashes({"a": 0, "b": 1}, {"a": 0}, ()) == [(1, "b", None)]
    assert clashes({"a": 0, "b": 1}, {"a": 0, "<end>": 1}, {"<end>"}) == [(1, "b", "<end>")]


def test_ids_of_a_list_of_tokens_are_their_places(tmp_path: Path) -> None:
    """As unigram models have it; added tokens bring their ids."""
    model = {"vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2.0]]}
    added = [{"content": "<end>", "id": 7, "special": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": added}))
    found = read_vocabulary(tmp_path / "tokenizer.json")
    assert found == Vocabulary({"<unk>": 0, "a": 1, "b": 2, "<end>": 7}, frozenset({"<end>"}))


def test_a_template_that_prints_the_date_prints_the_same_every_day() -> None:
    tokenizer = build()
    tokenizer.chat_template = "{{ '7' if date_string == '26 Jul 2024' else strftime_now('%d') }}"
    assert encode(tokenizer, "3") == tokenizer("7", add_special_tokens=False)["input_ids"]


def test_tokenizers_of_two_families_are_refused(vision: Path) -> None:
    other = shadow.build_tokenizer("Qwen2.5", True, "<|im_end|>")
    with pytest.raises(UserError, match="different vocabularies"):
        check_same_vocabulary(other, load_tokenizer(vision))


def test_dropped_layers_are_gone_and_the_rest_works(tmp_path: Path) -> None:
    model, whole = llama(1), llama(1)
    drop_layers(model, [0])
    ids = torch.tensor([[2, 3, 4]])
    whole.model.layers = whole.model.layers[1:]
    expected = whole(input_ids=ids, use_cache=False).logits
    assert torch.equal(model(input_ids=ids, use_cache=False).logits, expected)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0]
    mixed = llama(1)
    mixed.config.layer_types = ["full_attention", "sliding_attention"]
    drop_layers(mixed, [0])
    assert mixed.config.layer_types == ["sliding_attention"]
    assert again.generate(ids, max_new_tokens=2, do_sample=False).shape[1] <= 5
    with pytest.raises(UserError, match="cannot be taken out of 1; name some of 0 to 0"):
        drop_layers(model, [0])
    with pytest.raises(UserError, match="cannot be taken out of 1"):
        drop_layers(model, [7])


def test_generated_problems_keep_templates_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the package: ten templates that draw a number."""
    name = "reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic"

    def template(number: int) -> object:
        def make(rng: object, difficulty: float) -> dict[str, object]:
            question = f"{number}: {rng.random()}"  # type: ignore[attr-defined]
            return {"question": question, "answer": "3", "metadata": {"answer_cot": "#### 3"}}

        return make

    package = types.ModuleType(name)
    package.tasks_ok = list(range(10))
    package.GSMSymbolicDatasetConfig = dict
    package.GSMSymbolicDataset = lambda config: types.SimpleNamespace(generators={n: template(n) for n in range(10)})
    monkeypatch.setattr(reasoning, "check_reasoning_gym", lambda: None)
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setattr(reasoning.importlib, "import_module", lambda wanted: sys.modules[wanted])
    rows = {split: reasoning.generate(split) for split in reasoning.EACH}
    templates = {split: {row["question"].split(":")[0] for row in found} for split, found in rows.items()}
    assert templates["new"] == {"4", "9"}
    assert templates["train"] == templates["test"] == {str(n) for n in range(10)} - {"4", "9"}
    for key in ("id", "question"):  # no problem of one split is in another
        assert len({row[key] for found in rows.values() for row in found}) == sum(map(len, rows.values()))
    assert not {r["question"] for r in rows["train"]} & {r["question"] for r in rows["test"]}
    assert rows["train"] == reasoning.generate("train")


def test_generated_problems_name_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package reasoning-gym; run `.* -m pip install"):
        packages.check_reasoning_gym()


def test_the_paper_size_is_the_papers() -> None:
    size = load_size("paper")
    assert set(size.methods) == {"gkd", "minillm", "soft_lagrangian", "cmdp", "grpo"}
    assert (size.threshold.d, size.threshold.reading, size.methods["cmdp"]["n"]) == (0.35, "mean", 20)
    assert size.methods["soft_lagrangian"]["lambda"] == [0.001, 0.01, 0.1, 1.0]
    assert len(size.seeds) == 3
    models = {name: (pair.student.pretrained, pair.teacher.pretrained) for name, pair in size.pairs.items()}
    assert models == {
        "qwen": ("Qwen/Qwen2.5-Math-1.5B", "Qwen/Qwen2.5-Math-7B-Instruct"),
        "llama": ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-11B-Vision-Instruct"),
    }
    trained_on = {name: pair.data.problems.train for name, pair in size.pairs.items() if pair.data.problems}
    assert trained_on == {"qwen": "gsm8k", "llama": "math"}
    (judge,) = size.judges.values()
    assert judge.model == "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
    for name in size.pairs:
        train = size.train_of(name)
        assert (train.epochs, train.questions, train.samples, train.lr, train.dtype) == (20, 8, 8, 1e-5, "bfloat16")
        assert [test.name for test in size.pairs[name].tests] == ["gsm_symbolic_main", "gsm8k", "math"]
    assert size.train_of("llama").kl_warmup_epochs == 3
    assert size.evaluate_of("llama").max_new_tokens == 2 * size.evaluate_of("qwen").max_new_tokens == 1024
