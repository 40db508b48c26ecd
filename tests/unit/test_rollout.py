"""Sampling: what counts as the response, and that it is a sample of exactly the policy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests import tiny
from training.batch import Batch
from training.divergence import reverse_kl
from training.rollout import Rollouts, TeacherMixture, generate, pad_prompts, response_mask
from training.stops import stop_ids
from world.tokenizer import build


def test_the_first_eos_is_counted_and_the_padding_is_not() -> None:
    # pad = EOS = 1: the first one belongs to the response, what follows is padding
    response = torch.tensor([[5, 1, 1, 1], [1, 1, 1, 1], [5, 6, 7, 8]])
    mask, finished = response_mask(response, [1])
    assert mask.tolist() == [[True, True, False, False], [True, False, False, False], [True] * 4]
    assert finished.tolist() == [True, True, False]


def test_every_declared_stop_id_ends_a_response() -> None:
    model, tokenizer = tiny.llama(1), build()
    model.generation_config.eos_token_id = [1, 7]
    assert stop_ids(model, tokenizer) == [1, 7]
    mask, finished = response_mask(torch.tensor([[5, 7, 3]]), [1, 7])
    assert mask.tolist() == [[True, True, False]]
    assert finished.item()


def test_padding_is_on_the_left() -> None:
    ids, mask = pad_prompts([[3], [4, 5, 6]], 0, torch.device("cpu"))
    assert ids.tolist() == [[0, 0, 3], [4, 5, 6]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]


@pytest.fixture(scope="module")
def policy() -> tiny.LlamaForCausalLM:
    return tiny.llama(1, vocab=len(build()))


def test_greedy_responses_do_not_depend_on_the_padding(policy: tiny.LlamaForCausalLM) -> None:
    prompts = [[5, 6], [7, 8, 9, 10, 11]]
    together = generate(policy, build(), prompts, 6, greedy=True)
    alone = generate(policy, build(), prompts[:1], 6, greedy=True)
    length = int(alone.lengths[0])
    assert together.response[0, :length].tolist() == alone.response[0, :length].tolist()


def test_samples_follow_the_policy(policy: tiny.LlamaForCausalLM) -> None:
    """First tokens of 20,000 samples against the exact distribution: chi-square within 5 standard deviations."""
    torch.manual_seed(0)
    prompt = [5, 6, 7]
    sampled = torch.cat([generate(policy, build(), [prompt] * 4000, 1).response[:, 0] for _ in range(5)])
    with torch.no_grad():
        exact = policy(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    counts = torch.bincount(sampled, minlength=len(exact)).double()
    kept = exact * 20_000 >= 5
    expected = exact[kept].double() * 20_000
    chi_square = ((counts[kept] - expected).square() / expected).sum().item()
    degrees = int(kept.sum()) - 1
    assert abs(chi_square - degrees) < 5 * (2 * degrees) ** 0.5


def test_the_teacher_mixture_is_the_mixture(policy: tiny.LlamaForCausalLM) -> None:
    teacher = tiny.llama(2, vocab=len(build()))
    ids, mask = pad_prompts([[5, 6], [7, 8, 9]], 0, policy.device)
    scores = torch.randn(2, len(build()))
    alone = teacher(torch.tensor([[5, 6]])).logits[0, -1].softmax(-1)
    with torch.no_grad():
        mixture = TeacherMixture(teacher, mask, 0.2, len(build()))
        first = mixture(ids, scores).exp()[0]
        torch.testing.assert_close(first, 0.2 * alone + 0.8 * scores[0].softmax(-1), rtol=1e-3, atol=1e-5)
        longer = torch.cat([ids, torch.tensor([[4], [4]])], 1)
        cached = mixture(longer, scores).exp()[0]
    alone = teacher(torch.tensor([[5, 6, 4]])).logits[0, -1].softmax(-1)
    torch.testing.assert_close(cached, 0.2 * alone + 0.8 * scores[0].softmax(-1), rtol=1e-3, atol=1e-5)


def test_the_mixture_with_a_narrower_teacher_is_over_the_shared_ids(policy: tiny.LlamaForCausalLM) -> None:
    own = len(build())
    teacher, scores = tiny.llama(2, vocab=own - 2), torch.randn(1, own)
    with torch.no_grad():
        mixed = TeacherMixture(teacher, torch.ones(1, 2).long(), 0.2, own - 2)(torch.tensor([[5, 6]]), scores).exp()[0]
        alone = teacher(torch.tensor([[5, 6]])).logits[0, -1].softmax(-1)
    expected = 0.2 * alone + 0.8 * scores[0, : own - 2].softmax(-1)
    torch.testing.assert_close(mixed[: own - 2], expected, rtol=1e-3, atol=1e-5)
    assert mixed[own - 2 :].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_only_ids_that_the_teacher_has_are_drawn(policy: tiny.LlamaForCausalLM, mix: float) -> None:
    """A student with wider logits: the policy that is trained is the one renormalised on the shared ids."""
    own = len(build())
    narrow = tiny.llama(2, vocab=own // 2)
    torch.manual_seed(0)
    wide = generate(policy, build(), [[5, 6, 7]] * 300, 4)
    drawn = generate(policy, build(), [[5, 6, 7]] * 300, 4, teacher=narrow, teacher_mix=mix)
    assert wide.response.max() >= own // 2 > drawn.response.max()
    batch = Batch(drawn, torch.zeros(300), torch.zeros(300).long(), policy, narrow)
    assert torch.isfinite(batch.expectation(reverse_kl)).all()
    if mix == 0.0:
        with torch.no_grad():
            exact = policy(torch.tensor([[5, 6, 7]])).logits[0, -1, : own // 2].softmax(-1)
        counts = torch.bincount(drawn.response[:, 0], minlength=own // 2) / 300
        assert (counts - exact).abs().max() < 4 * (exact.max() / 300) ** 0.5


def test_a_mixture_of_the_teacher_alone_is_drawn_without_the_student(policy: tiny.LlamaForCausalLM) -> None:
    teacher = tiny.llama(2, vocab=len(build()))
    prompts, ran = [[5, 6], [7, 8, 9]], list[int]()
    policy.register_forward_hook(lambda *given: ran.append(1))
    torch.manual_seed(3)
    own = generate(teacher, build(), prompts, 6)
    torch.manual_seed(3)
    mixed = generate(policy, build(), prompts, 6, teacher=teacher, teacher_mix=1.0)
    assert torch.equal(mixed.response, own.response)
    assert not ran


def excluding(layer: nn.Linear, ids: list[int]) -> nn.Linear:
    """The output layer with some ids made impossible."""
    made = nn.Linear(layer.in_features, layer.out_features)
    made.weight = layer.weight
    made.bias = nn.Parameter(torch.zeros(layer.out_features).index_fill(0, torch.tensor(ids), -torch.inf))
    return made.requires_grad_(layer.weight.requires_grad)


@pytest.mark.parametrize("who", ["student", "teacher", "both"])
def test_impossible_tokens_leave_every_method_finite(who: str) -> None:
    from training.folders import find_folders

    for name in (name for name, folder in find_folders().items() if not folder.brings_trainer):
        student, teacher = tiny.llama(1), tiny.llama(2).requires_grad_(False)
        rolled = tiny.rollouts([3, 3, 4, 4], [4, 2, 5, 3], vocab=9)
        for model in {"student": [student], "teacher": [teacher], "both": [student, teacher]}[who]:
            model.lm_head = excluding(model.lm_head, [9, 10])
        folder = find_folders()[name]
        method = folder.load()(folder.grid({}, "test")[0], 0.5)
        batch = Batch(rolled, torch.tensor([1.0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]), student, teacher)
        loss = method.loss(batch)[0]
        assert torch.isfinite(loss), name
        assert torch.isfinite(tiny.gradients(student, loss)).all(), name


def test_rows_of_rollouts_keep_together() -> None:
    rolled: Rollouts = tiny.rollouts([2, 3, 4], [1, 2, 3])
    assert rolled.rows(torch.tensor([2, 0])).lengths.tolist() == [3, 1]
