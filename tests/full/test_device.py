"""What the suite computes on the device that torch sees, a GPU where there is one, against float64 on the CPU.

The first thing to run on a new GPU, by itself: where other tests run too, all stay on the CPU (tests/conftest.py).
"""

from __future__ import annotations

import math
import os
from dataclasses import fields
from shutil import which

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.nn import functional

from benchmarks.pairs import MICRO, budget, llama, our_trainer
from benchmarks.timing import Bench
from tests import tiny
from training.batch import Batch
from training.divergence import forward_kl, generalised_jsd, reverse_kl, with_floor
from training.folders import Folder, find_folders
from training.models import default_device
from training.rollout import Rollouts, generate
from world.tokenizer import build

DEVICE = default_device()
VOCAB = 700
LEVEL = 1e-4  # of a false alarm in the test of the distribution
FOLDERS = [folder for folder in find_folders().values() if folder.own_train() is None]


def moved(rolled: Rollouts) -> Rollouts:
    values = (getattr(rolled, field.name) for field in fields(rolled))
    return Rollouts(*(value if value is None else value.to(DEVICE) for value in values))


def made(dtype: torch.dtype, device: torch.device, tile: int | None = None) -> tuple[tiny.LlamaForCausalLM, Batch]:
    """A student and a batch of its; weights are rounded to bfloat16 in every case, so that all have the same ones."""
    models = (tiny.llama(seed, vocab=VOCAB, width=64, scale=0.1) for seed in (1, 2))
    student, teacher = (model.bfloat16().to(device, dtype) for model in models)
    rolled = tiny.rollouts([3, 3, 3, 3, 5, 5, 5, 5], [4, 1, 6, 2, 3, 5, 6, 1], vocab=VOCAB)
    rolled = rolled if device.type == "cpu" else moved(rolled)
    rewards = torch.tensor([1.0, 0, 0, 1, 0, 0, 1, 0], device=device)
    group = torch.arange(2, device=device).repeat_interleave(4)
    return student, Batch(rolled, rewards, group, student, teacher.requires_grad_(False), tile=tile)


def expected(integrand: object) -> tuple[Tensor, Tensor]:
    """Value and gradient of the mean divergence from all logits at once, in float64 on the CPU."""
    student, batch = made(torch.float64, torch.device("cpu"))
    pi = tiny.full_log_probs(student, batch.rollouts)
    with torch.no_grad():
        mu = with_floor(tiny.full_log_probs(batch._teacher, batch.rollouts))
    value = batch.mean(integrand(pi, mu).sum(-1)).mean()
    return value.detach(), tiny.gradients(student, value)


def test_a_gpu_that_is_here_is_the_one_that_is_tested() -> None:
    assert DEVICE.type == "cuda" or which("nvidia-smi") is None or os.environ.get("CUDA_VISIBLE_DEVICES") == ""


@pytest.mark.parametrize("length", [64, 192])
def test_attention_under_a_mask_has_a_gradient(length: int) -> None:
    """At these lengths cuDNN's kernel gave NaN where all scores of a query are very low (pytorch issue 196678)."""
    q, k, v = (torch.randn(1, 1, length, 64, device=DEVICE, dtype=torch.bfloat16) * 0.1 for _ in range(3))
    q[..., 0], k[..., 0] = 1.0, -120 * math.sqrt(64)
    mask = torch.ones(length, length, dtype=torch.bool, device=DEVICE).tril()[None, None]
    inputs = [x.requires_grad_() for x in (q, k, v)]
    out = functional.scaled_dot_product_attention(*inputs, attn_mask=mask)
    out.backward(torch.randn_like(out))
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in inputs)


@pytest.mark.parametrize("tile", [None, 5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("integrand", [reverse_kl, forward_kl, generalised_jsd(0.5)], ids=["reverse", "forward", "jsd"])
def test_a_divergence_is_that_of_all_logits_in_float64(
    integrand: object, dtype: torch.dtype, tolerance: float, tile: int | None
) -> None:
    value, gradient = expected(integrand)
    for way in (lambda b: b.mean_expectation(integrand), lambda b: b.mean(b.expectation(integrand)).mean()):
        student, batch = made(dtype, DEVICE, tile)
        loss = way(batch)
        found = tiny.gradients(student, loss).cpu().double()
        assert loss.item() == pytest.approx(value.item(), rel=tolerance)
        assert (found - gradient).norm() < tolerance * gradient.norm()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_loss_has_the_gradient_that_it_has_in_float64(folder: Folder) -> None:
    found = []
    for dtype, device in ((torch.float32, DEVICE), (torch.float64, torch.device("cpu"))):
        student, batch = made(dtype, device)
        method = folder.load()(folder.grid({}, "test")[0], 1.0 if folder.declares.needs.threshold else None)
        loss, _ = method.loss(batch)
        found.append((loss.item(), tiny.gradients(student, loss).cpu().double()))
    (ours, gradient), (theirs, reference) = found
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert (gradient - reference).norm() < 1e-3 * reference.norm()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_updates_in_bfloat16_are_finite_and_move_the_student(folder: Folder) -> None:
    student, teacher = (tiny.llama(seed, vocab=len(build()), width=32).bfloat16().to(DEVICE) for seed in (1, 2))
    before = [p.detach().clone() for p in student.parameters()]
    settings = budget(MICRO, Bench(DEVICE, "bfloat16"), 16, 2).model_copy(update={"lr": 1e-2, "max_new_tokens": 16})
    trainer = our_trainer(folder.name, student, teacher.requires_grad_(False), settings)
    rows = list(trainer.steps())
    assert all(value - value == 0 for row in rows for value in row.values())
    moved = any(not torch.equal(p, old) for p, old in zip(student.parameters(), before, strict=False))
    assert moved == any(row["grad_norm"] > 0 for row in rows)
    assert moved or folder.name in ("grpo", "saute")  # random weights earn no reward, and all are beyond d alike


@pytest.mark.parametrize("greedy", [True, False])
def test_a_static_cache_gives_the_same_tokens(greedy: bool) -> None:
    words, model = build(), llama(MICRO, Bench(DEVICE), 1)
    prompts = [[3, 4, 5, 6], [7, 8], [9]]
    found = []
    for cache in ("dynamic", "static"):
        torch.manual_seed(0)
        found.append(generate(model, words, prompts, 24, greedy, cache=cache).response)
    assert torch.equal(*found)


def test_responses_are_drawn_from_the_policy() -> None:
    """First tokens of 4,000 responses against their exact probabilities."""
    words, count = build(), 4000
    model = tiny.llama(1, vocab=len(words), width=16).to(DEVICE)
    torch.manual_seed(0)
    drawn = generate(model, words, [[3, 4]] * count, 1).response[:, 0].cpu()
    with torch.no_grad():
        exact = model(torch.tensor([[3, 4]], device=DEVICE)).logits[0, -1].double().softmax(-1).cpu()
    seen = torch.bincount(drawn, minlength=len(exact)).double()
    often = exact * count >= 5
    observed = [*seen[often].tolist(), seen[~often].sum().item()]
    probable = [*exact[often].tolist(), exact[~often].sum().item()]
    assert chisquare(observed, [p * count for p in probable]).pvalue > LEVEL
