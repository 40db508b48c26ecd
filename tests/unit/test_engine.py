"""How an update is computed must not change what it is: packing, caches, the teacher's precision."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from sources import shadow
from sources.architectures import published
from tests import tiny
from tests.unit.tiny_models import tiny_policy
from training.batch import token_kl
from training.engine import check_engine
from training.errors import UserError
from training.folders import find_folders
from training.loop import Trainer
from training.micro_batches import micro_batches, packed
from training.models import load_policy, load_teacher
from training.rollout import generate
from training.schema import parse
from training.settings import TrainSettings
from world.tokenizer import build

PROMPTS = [3, 3, 5, 5, 2, 2]
LENGTHS = [4, 2, 6, 1, 3, 3]  # three groups of two: 3 + 4, 5 + 6 and 2 + 3 tokens at their longest


def settings(**changed: object) -> TrainSettings:
    return parse(TrainSettings, {"steps": 1, "questions": 3, "samples": 2, "max_new_tokens": 6, **changed}, "test")


@pytest.mark.parametrize(
    ("budget", "groups"), [(1, [[1], [0], [2]]), (44, [[1, 0], [2]]), (43, [[1], [0, 2]]), (66, [[1, 0, 2]])]
)
def test_groups_are_packed_by_their_padded_tokens(budget: int, groups: list[list[int]]) -> None:
    rolled = tiny.rollouts(PROMPTS, LENGTHS)
    found = [index.tolist() for index in packed(rolled, 2, budget)]
    assert found == [[row for group in batch for row in (2 * group, 2 * group + 1)] for batch in groups]


def test_a_micro_batch_has_the_padding_of_its_own_rows_alone() -> None:
    rolled = tiny.rollouts(PROMPTS, LENGTHS)
    for index, piece in micro_batches(rolled, settings(micro_tokens=1)):
        assert piece.prompt.shape == (2, max(PROMPTS[i] for i in index.tolist()))
        assert piece.response.shape == (2, max(LENGTHS[i] for i in index.tolist()))
        assert piece.lengths.tolist() == [LENGTHS[i] for i in index.tolist()]
        assert piece.prompt_mask.sum(1).tolist() == [PROMPTS[i] for i in index.tolist()]


@pytest.mark.parametrize("name", ["cmdp", "minillm"])
def test_packed_micro_batches_make_the_same_update(name: str) -> None:
    found = []
    for budget in (None, 1, 44):
        student, folder = tiny.llama(1).double(), find_folders()[name]
        method = folder.load()(folder.grid({}, "test")[0], 0.5)
        teacher = tiny.llama(2).double().requires_grad_(False)
        made = Trainer(method, student, teacher, build(), [], settings(micro_tokens=budget, lr=1e-3), 0)
        rewards, group = torch.tensor([1.0, 0, 0, 1, 1, 0]), torch.arange(3).repeat_interleave(2)
        made.optimizer.zero_grad()
        row, asked = made._gradients(tiny.rollouts(PROMPTS, LENGTHS), rewards, group, 0)
        assert asked is folder.declares.needs.teacher
        found.append((row, torch.cat([p.grad.flatten() for p in student.parameters()])))
    for row, gradient in found[1:]:
        assert row == pytest.approx(found[0][0], abs=1e-6)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-5, atol=1e-6)


def shadow_of(name: str) -> PreTrainedModel:
    """The architecture of a published model, cut as in the shadows, with a vocabulary of eleven tokens."""
    shape = published()[name]
    config = shape.config.model_copy(update={"vocab_size": 11})
    return shadow.build_model(shape.model_copy(update={"config": config}), [tiny.EOS], tiny.EOS, 0).float().eval()


@pytest.mark.parametrize("greedy", [True, False], ids=["greedy", "sampled"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_static_cache_gives_the_same_tokens(family: str, greedy: bool) -> None:
    model = tiny.llama(1) if family == "llama" else shadow_of("Qwen/Qwen2.5-Math-1.5B")
    responses = []
    for cache in ("dynamic", "static"):
        torch.manual_seed(0)
        responses.append(generate(model, build(), [[5, 6], [7, 8, 9]] * 4, 8, greedy, cache=cache).response)
    assert torch.equal(*responses)
    assert model._previous_max_cache_length == 3 + 8 - 1  # set where a cache is static


def test_a_static_cache_gives_the_same_mixture() -> None:
    student, teacher, responses = tiny.llama(1), tiny.llama(2), []
    for cache in ("dynamic", "static"):
        torch.manual_seed(0)
        made = generate(student, build(), [[5, 6], [7, 8, 9]] * 4, 8, False, teacher, 0.5, cache)
        responses.append(made.response)
    assert torch.equal(*responses)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"micro_questions": 1, "micro_tokens": 9}, "only one of 'micro_questions' and 'micro_tokens'"),
        ({"processes": 2}, r"'questions' \(3\) must be a multiple of 'processes' \(2\)"),
        ({"teacher_dtype": "int4"}, "'teacher_dtype' is 'int4'"),
    ],
)
def test_settings_that_contradict_each_other(changed: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings(**changed)


@pytest.mark.parametrize(
    ("method", "changed", "told"),
    [
        ("saute", {"cache": "static"}, "the policy of method 'saute' reads its budget"),
        ("trl_grpo", {"processes": 3}, "train.processes is 3, but method 'trl_grpo' brings its own trainer"),
        ("trl_grpo", {}, "2 GPUs are visible here, and method 'trl_grpo' brings its own trainer"),
        ("trl_grpo", {"micro_tokens": 9}, "train.micro_tokens is 9, but method 'trl_grpo' brings its own trainer"),
        ("gkd", {"teacher_dtype": "int8"}, "needs torchao; run `pip install torchao"),
        ("gkd", {"processes": 3}, "train.processes is 3, but 2 GPUs are visible here"),
    ],
)
def test_what_an_engine_cannot_do(
    method: str, changed: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=told):
        check_engine(settings(**changed), find_folders()[method])


def test_attention_is_not_left_to_a_kernel_that_loses_gradients() -> None:
    """On the device itself: tests/full/test_device.py."""
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_a_teacher_of_lower_precision_gives_almost_the_same_divergence(tmp_path: Path) -> None:
    folder, student = tiny_policy(tmp_path, seed=2), tiny.llama(1, vocab=len(build()))
    rolled = tiny.rollouts([3, 3], [4, 6], vocab=len(build()))
    exact = token_kl(student, load_policy(folder), rolled)["exact"]
    half = load_teacher(folder, "bfloat16", "float32")
    assert half.dtype == torch.bfloat16
    assert not any(p.requires_grad for p in half.parameters())
    torch.testing.assert_close(token_kl(student, half, rolled)["exact"], exact, rtol=0.03, atol=0.03)
