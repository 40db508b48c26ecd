"""Seconds and bytes of the estimates by hand, on a model and a device of round numbers."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sources.architectures import Config, published
from sources.settings import SmolModel
from study.config import Evaluation
from study.devices import DEVICES, Device
from study.preflight.estimates import (
    activations,
    cache_numbers,
    decoding_s,
    fine_tuning_s,
    generate_s,
    layer_bytes,
    monitor_bytes,
    score_s,
    update_s,
)
from study.preflight.hours import Clock, counted, meetings, pair_hours
from tests import tiny
from tests.unit.test_preflight_costs import GUESS, JUDGE, QWEN, TEACHER, changed, costs, known
from training.batch import hidden_states
from training.settings import TrainSettings

DEVICE = Device("toy", 1e9, peak=1e6, bandwidth=1e3)  # slow, so that starting kernels never decides
STUDENT, LARGER = (
    Config(
        model_type="llama", vocab_size=100, hidden_size=10, intermediate_size=20, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=1e4,
        tie_word_embeddings=True,
    )
    for layers in (2, 5)
)  # fmt: skip
OURS, THEIRS = STUDENT.parameters(), LARGER.parameters()


def test_decoding_takes_the_longest_of_reading_arithmetic_and_starting() -> None:
    assert decoding_s(STUDENT, 1, DEVICE, 4) == pytest.approx(4 * OURS / (0.6 * 1e3))
    assert decoding_s(STUDENT, 5000, DEVICE, 4) == pytest.approx(2 * OURS * 5000 / (0.4 * 1e6))
    assert decoding_s(STUDENT, 1, DEVICES["h200"], 2) == pytest.approx(2 * 0.9e-3)


def test_a_layer_and_the_cache_by_their_widths() -> None:
    assert layer_bytes(STUDENT, 7, 2) == 2 * 7 * (13 * 10 + 4 * 20)
    assert cache_numbers(STUDENT) == 2 * 2 * 5  # keys and values of two layers, one head of width 5
    plain = TrainSettings(steps=1, dtype="bfloat16")
    assert activations(LARGER, 7, plain) == 5 * layer_bytes(LARGER, 7, 2)
    saved = plain.model_copy(update={"gradient_checkpointing": True})
    assert activations(LARGER, 7, saved) == 5 * 2 * 7 * 10 + layer_bytes(LARGER, 7, 2)


def test_the_monitor_reads_with_the_larger_model() -> None:
    """Four values of the hidden width and three of the other a token, beside a tile's float32 copies of logits."""
    assert monitor_bytes(STUDENT, LARGER, 7, 2) == 2 * 7 * (4 * 10 + 3 * 20) + 4 * 10 * 2**24
    wide = LARGER.model_copy(update={"intermediate_size": 50})
    assert monitor_bytes(STUDENT, wide, 7, 2) == monitor_bytes(wide, STUDENT, 7, 2)
    held = STUDENT.model_copy(update={"num_hidden_layers": 10**7})  # answering, its cache is more than all that
    assert monitor_bytes(held, wide, 7, 2) == 2 * 7 * cache_numbers(held)


def kept_bytes(layers: int, width: int, inner: int, prompts: list[int], responses: list[int]) -> int:
    """Bytes that autograd keeps of a Llama's forward pass in bfloat16, its weights left out."""
    config = LlamaConfig(
        vocab_size=11, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).bfloat16()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is given twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden_states(model, tiny.rollouts(prompts, responses))
    return sum(storage.nbytes() for address, storage in kept.items() if address not in weights)


def test_a_layer_keeps_what_is_reckoned() -> None:
    """Two rows padded to 128 tokens, as many as the model is wide: to a hundredth (a few numbers a token are left out).

    The last token of the 129 is only predicted."""
    sizes = 128, 320, [65, 40], [64, 64]
    counted = kept_bytes(2, *sizes) - kept_bytes(1, *sizes)
    config = STUDENT.model_copy(update={"hidden_size": 128, "intermediate_size": 320})
    assert counted == pytest.approx(layer_bytes(config, 2 * 128, 2), rel=0.01)


@pytest.mark.parametrize(("checkpointing", "passes"), [(False, 6), (True, 8)])
@pytest.mark.parametrize(("processes", "rows"), [(1, 32), (4, 8)])
def test_an_update_is_generation_and_the_passes(checkpointing: bool, passes: int, processes: int, rows: int) -> None:
    """Eight questions, four samples; a process has its share. A teacher adds one forward pass, 2 per parameter."""
    train = TrainSettings(
        steps=1, questions=8, samples=4, max_new_tokens=50, processes=processes, gradient_checkpointing=checkpointing
    )
    generation = 50 * decoding_s(STUDENT, rows, DEVICE, 4)
    tokens = rows * (30 + 50)
    alone = generation + passes * OURS * tokens / (0.4 * 1e6)
    assert update_s(STUDENT, None, train, DEVICE, 30) == pytest.approx(alone)
    assert update_s(STUDENT, LARGER, train, DEVICE, 30) == pytest.approx(alone + 2 * THEIRS * tokens / (0.4 * 1e6))


def test_an_evaluation_answers_greedily_once_and_by_samples() -> None:
    """Two test sets of 30 prompts, five responses each: 300 in batches of 20; all are scored by both models."""
    evaluate = Evaluation(prompts=30, samples=4, batch=20, max_new_tokens=50)
    assert generate_s(STUDENT, 2, evaluate, DEVICE) == pytest.approx(15 * 50 * decoding_s(STUDENT, 20, DEVICE, 4))
    expected = 2 * (OURS + THEIRS) * 300 * (30 + 50) / (0.4 * 1e6)
    assert score_s(STUDENT, LARGER, 2, evaluate, DEVICE, 30) == pytest.approx(expected)


def test_fine_tuning_is_forward_and_backward_over_the_longest_solutions() -> None:
    recipe = SmolModel(sft_steps=11, batch=8, max_tokens=70)
    expected = 11 * 6 * OURS * 8 * (30 + 70) / (0.4 * 1e6)
    assert fine_tuning_s(STUDENT, recipe, 30, DEVICE) == pytest.approx(expected)


@pytest.mark.usefixtures("offline")
def test_hours_of_training_count_all_cards_and_grpos_teacher_for_the_warm_up() -> None:
    """Eight rows, three seeds, eight cards side by side; GRPO runs the teacher in a quarter of its updates."""
    size = changed(
        "paper", {"train.processes": 8, "train.kl_warmup": 2500, "train.epochs": None, "train.steps": 10_000}
    )
    train, card = counted(size, "qwen"), DEVICES["h100_80gb"]
    student, teacher = (published()[name].config for name in (QWEN, TEACHER))
    beside, alone = (update_s(student, model, train, card, GUESS.mean) for model in (teacher, None))
    models = known(size)["qwen"][:2]
    found = pair_hours(size, "qwen", models, GUESS, Clock(card, here=False))["train"]
    assert train.steps == 10_000
    assert found == pytest.approx(10_000 * (7 * beside + 0.25 * beside + 0.75 * alone) * 3 * 8 / 3600)


@pytest.mark.usefixtures("offline")
def test_hours_of_a_judge_count_both_orders() -> None:
    size = changed("paper", {f"judges.{JUDGE}.prompts": 1000})
    (said,) = (finding.found for finding in costs(size, "h100_80gb") if finding.what == "hours by rule")
    met = sum(meetings(size, pair) * len(content.tests) for pair, content in size.pairs.items())
    token_s = decoding_s(published()["deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"].config, 7, DEVICES["h100_80gb"], 2)
    hours = dict(part.rsplit(" ", 1) for part in said.split(", "))
    assert float(hours["judge"].replace(",", "")) == pytest.approx(met * 2 * 1000 / 7 * 4096 * token_s / 3600, rel=1e-4)
