"""The mathematics of the five methods against each other and by hand (checks 1, 2 and 4 of the study's notes)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import tiny
from training.batch import Batch
from training.divergence import reverse_kl
from training.folders import find_folders

FOLDERS = find_folders()


def gradient(name: str, threshold: float | None = None, **overrides: Any) -> torch.Tensor:
    student = tiny.llama(1)
    folder = FOLDERS[name]
    method = folder.load()(folder.grid(overrides, "test")[0], threshold)
    return tiny.gradients(student, method.loss(tiny.batch(student=student))[0])


def test_all_feasible_cmdp_is_grpo() -> None:
    assert torch.equal(gradient("cmdp", threshold=1e6), gradient("grpo"))


@pytest.mark.parametrize("phi", ["mean", "last"])
def test_all_infeasible_is_the_graded_policy_gradient_plus_the_gradient_of_phi(phi: str) -> None:
    """What is left after the likelihood-ratio term is the gradient of the mean φ: with phi = mean that is GKD's."""
    student = tiny.llama(1)
    folder = FOLDERS["cmdp"]
    method = folder.load()(folder.grid({"phi": phi}, "test")[0], 1e-9)
    total = tiny.gradients(student, method.loss(tiny.batch(student=student))[0])
    plain, graded = tiny.batch(student=student), tiny.batch(student=student)
    kl = plain.expectation(reverse_kl)
    ends = [int(length) - 1 for length in plain.mask.sum(1)]
    values = plain.mean(kl) if phi == "mean" else torch.stack([kl[row, end] for row, end in enumerate(ends)])
    graded.rewards = -(20.0 + values.detach())
    grpo = FOLDERS["grpo"]
    first = tiny.gradients(student, grpo.load()(grpo.grid({}, "test")[0], None).loss(graded)[0])
    left = gradient("gkd") if phi == "mean" else tiny.gradients(student, values.mean())
    torch.testing.assert_close(total - first, left, rtol=1e-4, atol=1e-6)


def test_without_phi_an_all_infeasible_group_gives_no_gradient() -> None:
    assert gradient("cmdp", threshold=1e-9, phi="none").abs().max() == 0


@pytest.mark.parametrize("n", [0.0, 20.0])
def test_an_infeasible_right_answer_is_made_less_likely_than_a_feasible_one(n: float) -> None:
    """By the gradient at each response's log-probability, which is minus its advantage over its length."""
    batch = tiny.batch(student=tiny.llama(1))
    batch.rewards = torch.ones_like(batch.rewards)
    cost = batch.mean(batch.expectation(reverse_kl)).detach()
    threshold = float(cost.median())
    method = FOLDERS["cmdp"].load()(FOLDERS["cmdp"].grid({"n": n, "phi": "none"}, "test")[0], threshold)
    loss, statistics = method.loss(batch)
    pull = -torch.autograd.grad(loss, batch.logp)[0].sum(1)
    feasible = cost <= threshold
    assert statistics["satisfied"] == pytest.approx(feasible.float().mean().item())
    mixed = [
        index
        for index in batch.group.unique()
        if 0 < feasible[batch.group == index].sum() < (batch.group == index).sum()
    ]
    assert mixed
    for index in mixed:
        of = batch.group == index
        assert (pull[of & feasible] > 0).all()
        assert (pull[of & ~feasible] < 0).all()


@pytest.mark.parametrize("reading", ["mean", "sum", "prefix"])
@pytest.mark.parametrize(("name", "choice"), [("cmdp", {"phi": "none"}), ("saute", {"penalty": "once"})])
def test_responses_are_judged_in_the_reading_that_is_set(name: str, choice: dict[str, str], reading: str) -> None:
    """GRPO on -n, here -0.4, for each response beyond a d between the two middle costs of that reading."""
    student = tiny.llama(1)
    batch, graded = tiny.batch(student=student), tiny.batch(student=student)
    pi, mu = (tiny.full_log_probs(model, batch.rollouts).detach() for model in (student, tiny.llama(2)))
    kl = torch.where(batch.mask, (pi.exp() * (pi - mu)).sum(-1), 0.0)
    means = torch.where(batch.mask, kl.cumsum(1) / torch.arange(1, kl.shape[1] + 1), 0.0)
    costs = {"mean": kl.sum(1) / batch.mask.sum(1), "sum": kl.sum(1), "prefix": means.amax(1)}
    d = costs[reading].sort().values[3:5].mean().item()
    graded.rewards = torch.where(costs[reading] <= d, batch.rewards, -0.4)
    made = FOLDERS[name].load()(FOLDERS[name].grid({"constraint": reading, "n": 0.4, **choice}, "test")[0], d)
    loss, statistics = made.loss(batch)
    grpo = FOLDERS["grpo"]
    expected = tiny.gradients(student, grpo.load()(grpo.grid({}, "test")[0], None).loss(graded)[0])
    torch.testing.assert_close(tiny.gradients(student, loss), expected, rtol=1e-4, atol=1e-6)
    assert statistics["satisfied"] == 0.5


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_soft_lagrangian_is_grpo_plus_weighted_gkd(weight: float) -> None:
    expected = gradient("grpo") + weight * gradient("gkd")
    torch.testing.assert_close(gradient("soft_lagrangian", **{"lambda": weight}), expected, rtol=1e-4, atol=1e-6)


def test_gkd_is_the_gradient_of_the_mean_kl() -> None:
    student = tiny.llama(1)
    batch = tiny.batch(student=student)
    pi, mu = tiny.full_log_probs(student, batch.rollouts), tiny.full_log_probs(tiny.llama(2), batch.rollouts).detach()
    kl = torch.where(batch.mask, (pi.exp() * (pi - mu)).sum(-1), 0.0).sum(1) / batch.mask.sum(1)
    torch.testing.assert_close(gradient("gkd"), tiny.gradients(student, kl.mean()), rtol=1e-3, atol=1e-5)


def test_minillm_by_hand_on_a_batch() -> None:
    """Loss gradient = single-step exact KL plus the score function times minus the later log-ratios."""
    student = tiny.llama(1)
    batch = tiny.batch(student=student)
    chosen = batch.rollouts.response[..., None]
    pi, mu = tiny.full_log_probs(student, batch.rollouts), tiny.full_log_probs(tiny.llama(2), batch.rollouts).detach()
    logp, ratio = pi.gather(2, chosen)[..., 0], (mu - pi).gather(2, chosen)[..., 0].detach()
    total = 0.0
    for i, length in enumerate(batch.mask.sum(1).tolist()):
        for t in range(length):
            later = ratio[i, t + 1 : length]
            future = later.mean() if len(later) else torch.zeros(())
            single = (pi[i, t].exp() * (pi[i, t] - mu[i, t])).sum()
            total = total + (single - future * logp[i, t]) / length / len(batch.mask)
    expected = tiny.gradients(student, total)
    torch.testing.assert_close(gradient("minillm"), expected, rtol=1e-3, atol=1e-5)


def test_minillm_off_policy_is_clipped() -> None:
    """Ratios of 1.5, 1 and 0.5 to the sampling policy in turn; the lesser of the whole and the cut gain counts."""
    student = tiny.llama(1)
    on = tiny.batch(student=student)
    shift = torch.tensor([1.5, 1.0, 0.5]).log().repeat(2)
    old = torch.where(on.mask, on.logp.detach() - shift, 0.0)
    batch = Batch(on.rollouts, on.rewards, on.group, student, tiny.llama(2), old)
    reward, total = torch.where(on.mask, on.teacher_logp - old, 0.0), 0.0
    single = on.expectation(reverse_kl).detach()
    for i, length in enumerate(on.mask.sum(1).tolist()):
        for t in range(length):
            later = reward[i, t + 1 : length]
            future = later.mean().item() if len(later) else 0.0
            ratio = shift[t].exp().item()
            gained = min(ratio * future, min(max(ratio, 0.8), 1.2) * future)
            total += (single[i, t].item() - gained) / length / len(on.mask)
    folder = FOLDERS["minillm"]
    loss, _ = folder.load()(folder.grid({}, "test")[0], None, 0.2).loss(batch)
    assert loss.item() == pytest.approx(total, rel=1e-4)


def test_rewards_do_not_enter_pure_distillation() -> None:
    student = tiny.llama(1)
    folder = FOLDERS["gkd"]
    method = folder.load()(folder.grid({}, "test")[0], None)
    batch = tiny.batch(student=student)
    flipped = Batch(batch.rollouts, 1 - batch.rewards, batch.group, student, tiny.llama(2))
    assert method.loss(batch)[0].item() == method.loss(flipped)[0].item()
