"""Divergences against hand-worked cases and float64 references."""

import math

import pytest
import torch

from training.divergence import FLOOR, at_floor, forward_kl, generalised_jsd, log_policy, reverse_kl, with_floor

PI = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
MU = torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64)


def test_reverse_kl_by_hand() -> None:
    # 1/2 log 2 + 1/4 log 1 + 1/4 log 1/2 = 1/4 log 2
    assert reverse_kl(PI.log(), MU.log()).sum().item() == pytest.approx(0.25 * math.log(2), abs=1e-12)


def test_forward_kl_is_the_other_direction() -> None:
    a, b = torch.tensor([[0.9, 0.1]], dtype=torch.float64), torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    by_hand = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert forward_kl(a.log(), b.log()).sum().item() == pytest.approx(by_hand, abs=1e-12)
    assert reverse_kl(b.log(), a.log()).sum().item() == pytest.approx(by_hand, abs=1e-12)


def test_jsd_by_hand() -> None:
    # m = (3/8, 1/4, 3/8) at beta = 1/2; both parts equal by symmetry
    part = 0.5 * math.log(0.5 / 0.375) + 0.25 * math.log(0.25 / 0.375)
    assert generalised_jsd(0.5)(PI.log(), MU.log()).sum().item() == pytest.approx(part, abs=1e-12)


@pytest.mark.parametrize(("beta", "limit"), [(1e-6, forward_kl), (1 - 1e-6, reverse_kl)])
def test_jsd_limits(beta: float, limit: object) -> None:
    scale = beta * (1 - beta)
    value = generalised_jsd(beta)(PI.log(), MU.log()).sum().item() / scale
    assert value == pytest.approx(limit(PI.log(), MU.log()).sum().item(), rel=1e-4)


def test_kl_is_zero_for_equal_policies_and_positive_otherwise() -> None:
    torch.manual_seed(0)
    logits, other = 5 * torch.randn(50, 40), 5 * torch.randn(50, 40)
    assert reverse_kl(log_policy(logits), log_policy(logits)).sum(1).abs().max() == 0
    assert reverse_kl(log_policy(logits), log_policy(other)).sum(1).min() > 0


def test_float32_against_float64_at_a_large_vocabulary() -> None:
    """With logits this flat torch's own log_softmax misses up to 1.6e-5 of the mass in float32 (eight lanes, AVX2), for
    it adds 150,000 terms in a row; what comes after it adds 1e-7."""
    torch.manual_seed(0)
    student, teacher = 3 * torch.randn(4, 151_936), 3 * torch.randn(4, 152_064)
    single = reverse_kl(log_policy(student), log_policy(teacher, 151_936)).sum(1).double()
    log_pi, log_mu = log_policy(student.double()), log_policy(teacher.double(), 151_936)
    exact = reverse_kl(log_pi, log_mu).sum(1)
    torch.testing.assert_close(single, exact, rtol=5e-5, atol=1e-6)
    after = reverse_kl(log_pi.float(), log_mu.float()).sum(1).double()
    torch.testing.assert_close(after, exact, rtol=1e-6, atol=1e-6)


def test_cutting_a_padded_vocabulary_renormalises() -> None:
    torch.manual_seed(0)
    cut = log_policy(torch.randn(3, 13), 10)
    assert cut.shape == (3, 10)
    torch.testing.assert_close(cut.exp().sum(1), torch.ones(3))


def test_impossible_tokens_give_finite_values_and_gradients() -> None:
    student = torch.tensor([[0.0, 1.0, -torch.inf]], requires_grad=True)
    teacher = torch.tensor([[0.5, -torch.inf, -torch.inf]])
    for integrand in (reverse_kl, generalised_jsd(0.5)):
        value = integrand(log_policy(student), with_floor(log_policy(teacher))).sum()
        (gradient,) = torch.autograd.grad(value, student)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


def test_the_floored_teacher_is_a_distribution_and_hardly_differs() -> None:
    torch.manual_seed(0)
    log_mu = log_policy(torch.randn(5, 30).double())
    floored = with_floor(log_mu)
    torch.testing.assert_close(floored.exp().sum(1), torch.ones(5, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (floored - log_mu).abs().max() < 1e-5
    impossible = with_floor(torch.tensor([[0.0, -torch.inf]], dtype=torch.float64))
    assert impossible[0, 1].item() == pytest.approx(math.log(FLOOR / 2))


def test_the_floor_is_active_where_it_is_half_of_the_probability() -> None:
    width = 4
    own = torch.tensor([0.0, 0.9, 1.1, 1e6], dtype=torch.float64) * FLOOR / width  # beside the floor's FLOOR / width
    log_mu = torch.tensor([[-torch.inf, 0.0, 0.0, 0.0]], dtype=torch.float64)
    log_mu[0, 1:] = own[1:].log()
    assert at_floor(with_floor(log_mu), width).tolist() == [[True, True, False, False]]
