"""Values over the vocabulary in pieces against all logits at once."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import training.chunks
from training.chunks import Asked, Output, per_token, tile_rows, weighted_sum

N, H, V = 9, 3, 11


def values(log_pi: Tensor, log_mu: Tensor | None, tokens: Tensor) -> tuple[Tensor, ...]:
    """Log-probability of the token; of the token under mu; cross-entropy from pi to mu."""
    logp = log_pi.gather(1, tokens[:, None])[:, 0]
    if log_mu is None:
        return logp, logp.detach(), logp.detach()
    return logp, log_mu.gather(1, tokens[:, None])[:, 0], -(log_pi.exp() * log_mu).sum(1)


class Case:
    """Random hidden states and output layers, in float64."""

    def __init__(self, bias: bool = True, rows: int | None = None, width: int = V) -> None:
        torch.manual_seed(0)
        self.head, self.teacher = (nn.Linear(H, width, bias=bias).double() for _ in range(2))
        self.hidden, fixed = torch.randn(N, H, dtype=torch.float64, requires_grad=True), torch.randn(N, H).double()
        self.pi = Output(self.hidden, self.head.weight, self.head.bias)
        with torch.no_grad():
            self.mu = Output(fixed, *(p if p is None else p.detach() for p in (self.teacher.weight, self.teacher.bias)))
        self.asked = Asked(values, self.mu, (torch.arange(N) % width,), rows)

    def gradients(self, loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, [p for p in self.pi if p is not None]))


Loss = Callable[[Tensor, Tensor], Tensor]
WEIGHTS = torch.linspace(-1, 2, N, dtype=torch.float64)
LOSSES: dict[str, Loss] = {
    "both": lambda logp, value: (WEIGHTS * logp).sum() + (WEIGHTS.flip(0) * value).square().sum(),
    "the log-probability alone": lambda logp, value: (WEIGHTS * logp).sum(),
    "the expectation alone": lambda logp, value: (WEIGHTS * value).sum(),
    "the expectation of some tokens": lambda logp, value: (WEIGHTS * logp).sum() + value[2:4].sum(),
    "some tokens": lambda logp, value: logp[5:].sum() + value[6:8].sum(),
    "no token": lambda logp, value: 0.0 * (logp + value).sum(),
}


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.chunks, "SLICE", 2 * V)  # two tokens: the last slice of a tile is smaller


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 5, N - 1, 2 * N])
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_those_of_all_logits_at_once(name: str, rows: int, bias: bool) -> None:
    found, expected = [], []
    for results, size in ((found, rows), (expected, None)):
        case = Case(bias, size)
        logp, teacher_logp, value = per_token(case.asked, case.pi)
        results += [logp, teacher_logp, value, *case.gradients(LOSSES[name](logp, value))]
    torch.testing.assert_close(found, expected)


def test_all_at_once_is_the_definition() -> None:
    case = Case()
    log_pi, log_mu = (linear(*output).log_softmax(1) for output in (case.pi, case.mu))
    torch.testing.assert_close(per_token(case.asked, case.pi), values(log_pi, log_mu, *case.asked.others))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 5, N])
def test_a_weighted_sum_is_that_of_the_values(rows: int, bias: bool) -> None:
    case = Case(bias, rows)
    found = weighted_sum(case.asked, case.pi, WEIGHTS)
    expected = (WEIGHTS * per_token(replace(case.asked, rows=None), case.pi)[-1]).sum()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(case.gradients(3 * found.square()), case.gradients(3 * expected.square()))


def test_the_backward_pass_leaves_out_what_has_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, bool]] = []
    real = training.chunks._tiles

    def counted(asked: Asked, pi: Output) -> object:
        made.append((len(pi.hidden), asked.mu is not None))
        return real(asked, pi)

    case = Case(rows=2)
    logp, _, value = per_token(case.asked, case.pi)
    monkeypatch.setattr(training.chunks, "_tiles", counted)
    (logp[:6].sum() + value[1:3].sum()).backward()
    assert made == [(2, True), (4, False)]  # tokens 1 and 2 with the teacher, 0 and 3 to 5 without, 6 to 8 not at all


def test_values_that_do_not_depend_on_the_student_have_no_gradient_in_tiles_either() -> None:
    """A method may weigh its tokens by the teacher's entropy alone."""

    def entropy(log_pi: Tensor, log_mu: Tensor | None, tokens: Tensor) -> tuple[Tensor, ...]:
        assert log_mu is not None
        return log_pi[:, 0], log_mu[:, 0], -(log_mu.exp() * log_mu).sum(1)

    found = []
    for rows in (2, None):
        case = Case(rows=rows)
        value = per_token(replace(case.asked, f=entropy), case.pi)[2]
        found.append(torch.autograd.grad((value * case.hidden.square().sum(1)).sum(), case.hidden)[0])
    torch.testing.assert_close(found[0], found[1])


def test_nan_is_not_left_out() -> None:
    case = Case(rows=2)
    (hidden, *_) = case.gradients(per_token(case.asked, case.pi)[0][4] * torch.nan)
    assert hidden.isnan().any(1).tolist() == [n == 4 for n in range(N)]


def test_many_pieces_of_a_bfloat16_layer_lose_no_small_gradient() -> None:
    # Each token adds 1 to an entry and -1 to the other. Summed in bfloat16, whose numbers are 2 apart above 256, it
    # would stop there.
    count = 600
    weight = torch.tensor([[0.0], [-60.0]]).bfloat16().requires_grad_()
    pi = Output(torch.ones(count, 1).bfloat16(), weight, None)
    asked = Asked(lambda log_pi, log_mu: (log_pi[:, 1],), None, (), 1)
    per_token(asked, pi)[0].sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[-count], [count]]


def test_no_logits_are_kept_for_the_backward_pass() -> None:
    kept: list[int] = []
    case = Case(rows=2, width=1000)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        results = per_token(case.asked, case.pi)
        total = weighted_sum(case.asked, case.pi, WEIGHTS)
    assert max(kept) == case.head.weight.numel() < N * 1000
    assert all(value.requires_grad for value in (*results, total))


def test_tiles_keep_enough_rows_for_the_largest_vocabularies() -> None:
    assert [tile_rows(2**12, width) for width in (2**12, 2**13, 2**16, 151_936)] == [None, 2**11, 512, 512]
