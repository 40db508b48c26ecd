"""Group-relative advantage and surrogate by hand."""

import pytest
import torch

from training.constraint import response_costs, satisfied
from training.policy_gradient import EPSILON, group_advantage, mean_over_tokens, policy_loss


def test_advantage_by_hand() -> None:
    # group of 1, 0, 0, 1: mean 1/2, sample standard deviation sqrt(1/3)
    advantage = group_advantage(torch.tensor([1.0, 0.0, 0.0, 1.0, 5.0, 5.0]), torch.tensor([7, 7, 7, 7, 2, 2]))
    size = 0.5 / ((1 / 3) ** 0.5 + EPSILON)
    assert advantage.tolist() == pytest.approx([size, -size, -size, size, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(("value", "rows"), [(-100.7, 8), (-5.3, 8), (-20.1, 10), (0.1, 3)])
def test_equal_returns_have_no_advantage_whatever_their_mean_rounds_to(value: float, rows: int) -> None:
    returns = torch.tensor([value] * rows + [0.0, 1.0])
    advantage = group_advantage(returns, torch.tensor([0] * rows + [1, 1]))
    assert advantage[:rows].eq(0).all()
    assert advantage[rows:].ne(0).all()


def test_advantage_ignores_row_order() -> None:
    torch.manual_seed(0)
    returns, group, shuffled = torch.randn(12), torch.arange(3).repeat(4), torch.randperm(12)
    expected = group_advantage(returns, group)[shuffled]
    torch.testing.assert_close(group_advantage(returns[shuffled], group[shuffled]), expected)


def test_surrogate_and_clip_by_hand() -> None:
    old = torch.zeros(2, 2)
    logp = torch.log(torch.tensor([[1.5, 1.1], [0.5, 9.0]]))
    mask = torch.tensor([[True, True], [True, False]])
    # row 1, advantage 2: min(3, 2.4) and 2.2; row 2, advantage -1: min(-0.5, -0.8), second token masked
    loss = policy_loss(logp, old, torch.tensor([2.0, -1.0]), mask, clip=0.2)
    assert loss.tolist() == pytest.approx([-(2.4 + 2.2) / 2, 0.8])


def test_gradient_flows_through_the_policy_alone() -> None:
    logp, old, advantage = (torch.zeros(2, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True),
                            torch.ones(2, requires_grad=True))  # fmt: skip
    loss = policy_loss(logp, old, advantage, torch.ones(2, 2, dtype=torch.bool), clip=0.2).sum()
    found = torch.autograd.grad(loss, [logp, old, advantage], allow_unused=True)
    assert [gradient is None for gradient in found] == [False, True, True]


def test_mean_of_an_empty_response_is_zero() -> None:
    assert mean_over_tokens(torch.full((1, 3), torch.nan), torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0


def test_readings_by_hand() -> None:
    kl = torch.tensor([[0.6, 0.0, 0.3, 9.0]])
    mask = torch.tensor([[True, True, True, False]])
    costs = {name: cost.item() for name, cost in response_costs(kl, mask).items()}
    assert costs == pytest.approx({"mean": 0.3, "sum": 0.9, "prefix": 0.6})
    assert satisfied(torch.tensor([0.2, 0.3]), 0.25).tolist() == [True, False]
