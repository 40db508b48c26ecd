"""The policy that reads its budget: z by hand, the same z in sampling and scoring, and what it needs to be used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.unit.tiny_models import tiny_policy
from training.batch import Batch, hidden_states, token_kl
from training.budget import Budget, left_along, remaining, saved
from training.divergence import log_policy, with_floor
from training.errors import UserError
from training.folders import find_folders
from training.method import Method
from training.model_folder import BUDGET
from training.models import load_policy, load_tokenizer
from training.rollout import Rollouts, generate, given
from training.train import save_policy

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [4, 5]]
D = 0.4


def reader(scale: float, teacher: torch.nn.Module | None = None) -> tiny.LlamaForCausalLM:
    """A tiny student that reads its budget through a random vector of this size."""
    student, vocab = tiny.llama(1, vocab=60), 60
    budget = Budget(student, teacher or tiny.llama(2, vocab=vocab).requires_grad_(False), D, "mean")
    with torch.no_grad():
        budget.vector.copy_(scale * torch.randn(16, generator=torch.Generator().manual_seed(5)))
    return student


class Words:
    """A tokenizer as far as sampling asks for one."""

    pad_token_id, eos_token_id = tiny.PAD, tiny.EOS


def drawn(student: tiny.LlamaForCausalLM, greedy: bool = False) -> Rollouts:
    torch.manual_seed(3)
    return generate(student, Words(), PROMPTS * 2, 8, greedy)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reading", "expected"),
    [("mean", [0.5, 0.25, 0.5]), ("sum", [0.5, -0.5, -0.5]), ("prefix", [0.5, 0.25, 0.25])],
)
def test_what_is_left_of_three_tokens_by_hand(reading: str, expected: list[float]) -> None:
    kl = torch.tensor([[0.2, 0.4, 0.0]])  # means 0.2, 0.3, 0.2 of d = 0.4
    assert [remaining(kl[:, :t], D, reading).item() for t in (1, 2, 3)] == pytest.approx(expected)


def test_equal_policies_are_equal_files(tmp_path: Path) -> None:
    """`make merge` compares them; safetensors orders several facts otherwise in each file."""
    contents = set()
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        reader(0.5).budget.save(tmp_path / str(number))
        contents.add((tmp_path / str(number) / BUDGET).read_bytes())
    assert len(contents) == 1
    assert saved(tmp_path / "0")[1:3] == (D, "mean")  # type: ignore[index]


def test_what_is_left_ends_at_minus_one() -> None:
    assert remaining(torch.tensor([[9.0], [0.0]]), D, "mean").tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("greedy", [False, True])
def test_a_vector_of_zeros_is_the_student(greedy: bool) -> None:
    plain, same = tiny.llama(1, vocab=60), reader(0.0)
    rolled = drawn(plain, greedy)
    assert torch.equal(drawn(same, greedy).response, rolled.response)
    assert torch.equal(hidden_states(same, rolled), hidden_states(plain, rolled))
    assert not torch.equal(hidden_states(reader(0.5), rolled), hidden_states(plain, rolled))


def test_the_budgets_of_sampling_are_those_of_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where scoring pads the same responses to other lengths."""
    student = reader(0.5)
    seen: list[torch.Tensor] = []
    add = student.budget._add
    student.model.embed_tokens._forward_hooks.clear()
    student.model.embed_tokens.register_forward_hook(
        lambda module, given, embedded: (seen.append(student.budget.left), add(module, given, embedded))[1]
    )
    rolled = drawn(student)
    sampled = torch.cat(seen, 1)
    for i, (row, mask) in enumerate(zip(rolled.response, rolled.mask, strict=True)):
        again = given([(PROMPTS * 2)[i]], [row[mask].tolist()], torch.device("cpu"))
        found = left_along(student, student.budget, again)[0]
        torch.testing.assert_close(found, sampled[i, : len(found)], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rolled.left, sampled)
    assert sampled.std() > 0.05


def with_an_impossible_token() -> tiny.LlamaForCausalLM:
    """A teacher that is three ids wider than the student and excludes one that the student samples."""
    teacher = tiny.llama(2, vocab=63).requires_grad_(False)
    bias = torch.zeros(63)
    bias[9] = -torch.inf
    teacher.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return teacher


@pytest.mark.parametrize(
    ("teacher", "d"), [(tiny.llama(2, vocab=60), D), (with_an_impossible_token(), 20.0)], ids=["alike", "wider"]
)
def test_one_parallel_pass_is_the_policy_that_sampled(teacher: tiny.LlamaForCausalLM, d: float) -> None:
    """By an independent recomputation: each token's distribution from the prefix alone, with z of the KLs before it."""
    student = reader(0.5, teacher)
    student.budget.d = d
    rolled = drawn(student)
    exact = token_kl(student, student.budget.held[0], rolled)["exact"]
    for row in range(3):
        prompt, count = (PROMPTS * 2)[row], int(rolled.lengths[row])
        ids, left, kls = torch.tensor([prompt]), [1.0] * len(prompt), list[float]()
        for t in range(count):
            student.budget.left = torch.tensor([left])
            with torch.no_grad():
                pi = student(ids).logits[:, -1].log_softmax(-1)
                mu = with_floor(log_policy(teacher(ids).logits[:, -1], 60))
            kls.append((pi.exp() * (pi - mu)).sum().item())
            left.append(max(1 - sum(kls) / len(kls) / d, -1.0))
            ids = torch.cat([ids, rolled.response[row, t].view(1, 1)], 1)
        student.budget.left = None
        assert exact[row, :count].tolist() == pytest.approx(kls, rel=1e-3, abs=1e-5)


def test_the_vector_learns_and_the_teacher_does_not() -> None:
    student = reader(0.0)
    batch = Batch(drawn(student), torch.zeros(8), torch.zeros(8).long(), student, student.budget.held[0])
    batch.logp.sum().backward()
    assert student.budget.vector.grad.abs().max() > 0
    assert [name for name, _ in student.named_parameters() if "budget" in name] == ["budget.vector"]
    assert all(p.grad is None for p in student.budget.held[0].parameters())


def test_a_pass_without_its_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="reads what is left of its budget"):
        reader(0.5)(torch.tensor([[5, 6]]))


def test_the_folder_needs_the_teachers(tmp_path: Path) -> None:
    for seed, name in enumerate(("student", "teacher")):
        tiny_policy(tmp_path / name, seed)
    student, teacher = (load_policy(tmp_path / name) for name in ("student", "teacher"))
    Budget(student, teacher.requires_grad_(False), D, "prefix").vector.data += 0.5
    save_policy(student, load_tokenizer(tmp_path / "student"), tmp_path / "policy")
    again = load_policy(tmp_path / "policy")
    assert (again.budget.d, again.budget.reading) == (D, "prefix")
    assert torch.equal(drawn(again).response, drawn(student).response)
    shutil.rmtree(tmp_path / "teacher")
    with pytest.raises(UserError, match=r"policy' reads its budget, so it needs its teacher at every token, but .*"):
        load_policy(tmp_path / "policy")


def test_a_damaged_budget_is_one_sentence(tmp_path: Path) -> None:
    tiny_policy(tmp_path / "policy", 0)
    (tmp_path / "policy" / "budget.safetensors").write_text("no tensors")
    with pytest.raises(UserError, match="no budget can be read from"):
        load_policy(tmp_path / "policy")


def method(name: str, d: float | None = None, **settings: object) -> Method:
    folder = find_folders()[name]
    return folder.load()(folder.grid(settings, "test")[0], d)


@pytest.mark.parametrize(("penalty", "expected"), [("once", [1.0, 1.0]), ("each", [2.0, 1.0])])
def test_how_often_a_spent_budget_costs_n(penalty: str, expected: list[float]) -> None:
    """Running means 0.5, 0.3, 0.5 of d = 0.4: spent after the first and third token; the second response recovers."""
    kl = torch.tensor([[0.5, 0.1, 0.9], [0.5, 0.1, 0.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    made = method("saute", D, penalty=penalty)
    assert made._spent(kl, mask).tolist() == expected
    assert made._within(kl, mask).tolist() == [False, True]


def test_with_all_within_d_the_gradient_is_grpos_and_with_none_a_group_ties() -> None:
    found = {}
    for name, made in {
        "grpo": method("grpo"), "within": method("saute", 1e9), "beyond": method("saute", 1e-9),
        "graded": method("saute", 1e-9, penalty="each"),
    }.items():  # fmt: skip
        student = tiny.llama(1)
        found[name] = tiny.gradients(student, made.loss(tiny.batch(student=student))[0])
    torch.testing.assert_close(found["within"], found["grpo"])
    assert found["beyond"].abs().max() < 1e-6
    assert min(found[name].abs().max() for name in ("grpo", "graded")) > 1e-3
