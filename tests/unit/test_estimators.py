"""Every estimator against exact gradients, by enumeration of all groups of responses: no sampling error.

Each test names what the estimator's mean is. Where that is not the gradient of the stated objective, the bias is
stated as a cosine and a ratio of norms (estimate : true gradient) and held to it; the numbers belong to the small
problems here, that there is a bias does not.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.enumerable import EQUAL, UNEVEN, Response, Space, Tabular, exact, expected_gradient, gradient, make, pair
from training.method import Method
from training.rollout import generate

EXACT = {"rtol": 1e-9, "atol": 1e-12}
DROPPED = {EQUAL: (0.971, 0.801), UNEVEN: (0.977, 0.851)}  # GKD's bias


def one_of_three(response: Response) -> float:
    """Task reward of the equally long responses: exactly one token 1."""
    return float(sum(response) == 1)


def ends_at_once(response: Response) -> float:
    """Task reward of the uneven responses: EOS first, or (1, 2, 2)."""
    return float(response in {(0,), (1, 2, 2)})


def rewards(space: Space) -> Tensor:
    reward = one_of_three if space is EQUAL else ends_at_once
    return torch.tensor([reward(y) for y in space.responses()], dtype=torch.float64)


def bias(found: Tensor, true: Tensor) -> tuple[float, float]:
    """Cosine and ratio of norms."""
    return (found @ true / found.norm() / true.norm()).item(), (found.norm() / true.norm()).item()


@pytest.fixture
def undivided(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leave out the division by the group's deviation in one method."""

    def patch(method: Method) -> Method:
        scope = type(method).loss.__globals__
        monkeypatch.setitem(scope, "group_advantage", lambda returns, group: returns - returns.mean())
        return method

    return patch


def test_sampling_follows_the_policy_and_the_mixture() -> None:
    """The one link that enumeration takes for granted: z-scores of 20,000 draws below 4 (16 cells, fixed seed)."""
    student, teacher = pair(EQUAL)
    known = exact(student, teacher)

    class Tokens:
        pad_token_id = eos_token_id = 2  # outside the vocabulary: nothing ends early

    for alpha in (0.0, 0.3):
        mixed = (alpha * known.chosen_mu.exp() + (1 - alpha) * known.chosen.exp()).prod(1).detach()
        torch.manual_seed(0)
        drawn = generate(student, Tokens(), [[0]] * 20_000, 3, False, teacher, alpha).response  # type: ignore[arg-type]
        counts = torch.bincount(drawn @ torch.tensor([4, 2, 1]), minlength=8)
        z = (counts - 20_000 * mixed) / (20_000 * mixed * (1 - mixed)).sqrt()
        assert z.abs().max() < 4


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("space", [EQUAL, UNEVEN], ids=["equal", "uneven"])
def test_grpo_has_the_mean_that_the_binomial_distribution_gives(space: Space, size: int) -> None:
    """E[A | R] over the other G - 1 responses in closed form, then one sum over responses."""
    student, teacher = pair(space)
    known, r = exact(student, teacher), rewards(space)
    p = (known.probability @ r).item()

    def advantage(own: float) -> float:
        total = 0.0
        for k in range(size):  # so many of the others are right
            right = k + own
            deviation = math.sqrt(right * (size - right) / (size * (size - 1)))
            chance = math.comb(size - 1, k) * p**k * (1 - p) ** (size - 1 - k)
            total += chance * (own - right / size) / (deviation + 1e-4)
        return total

    mean_advantage = r * advantage(1.0) + (1 - r) * advantage(0.0)
    score = known.mean(known.chosen)  # the mean over tokens: where lengths differ this is no likelihood ratio
    expected = -gradient((known.probability.detach() * mean_advantage * score).sum(), student)
    found = expected_gradient(make("grpo"), student, teacher, one_of_three if space is EQUAL else ends_at_once, size)
    torch.testing.assert_close(found, expected, **EXACT)


def test_grpo_bias_is_a_question_weight_where_lengths_are_equal() -> None:
    """The direction is right for each question; the division lets a hard one count more than an easy one."""
    space = Space(tokens=2, horizon=2, questions=2)
    student, teacher = pair(space)
    student.table.data[1] += torch.tensor([4.0, 0.0], dtype=torch.float64)
    found, true, counts = torch.zeros(()), torch.zeros(()), {}
    for question in (0, 1):
        chance = exact(student, teacher, question).probability[1:3].sum()  # the responses (0, 1) and (1, 0)
        slope = gradient(chance, student)
        estimate = -expected_gradient(make("grpo"), student, teacher, one_of_three, 8, question)
        cosine, ratio = bias(estimate, slope)
        assert cosine == pytest.approx(1.0, abs=1e-9)
        counts[round(chance.item(), 2)] = ratio * space.horizon
        found, true = found + estimate, true + slope
    assert counts == pytest.approx({0.82: 2.01, 0.07: 2.24}, abs=5e-3)  # undivided: 7/8 for both
    assert bias(found, true) == pytest.approx((0.999, 1.03), abs=5e-3)


def test_grpo_bias_where_lengths_differ() -> None:
    """The mean over a response's own tokens weights short responses more."""
    student, teacher = pair(UNEVEN)
    found = -expected_gradient(make("grpo"), student, teacher, ends_at_once, 3)
    true = gradient(exact(student, teacher).probability @ rewards(UNEVEN), student)
    assert bias(found, true) == pytest.approx((0.998, 0.740), abs=5e-3)


def objective(name: str, student: Any, teacher: Any, d: float, weight: float) -> tuple[Tensor, Tensor]:
    """Return per response, with its own gradient, and how the loss counts the latter against the former.

    (I) likelihood ratio of the return, (II) the return's explicit dependence on the policy: Eq. (5) for `cmdp`.
    """
    known, r = exact(student, teacher), rewards(student.space)
    kl = known.mean(known.kl)
    if name == "cmdp":
        r = torch.where(kl.detach() <= d, r, -(20.0 + kl))
    explicit = gradient((known.probability.detach() * r).sum(), student) if name == "cmdp" else 0.0
    if name == "soft_lagrangian":
        explicit = -weight * gradient((known.probability.detach() * kl).sum(), student)
    return gradient((known.probability * r.detach()).sum(), student), explicit


@pytest.mark.parametrize(("name", "settings"), [("grpo", {}), ("soft_lagrangian", {"lambda": 0.5}), ("cmdp", {})])
def test_without_the_division_the_policy_gradient_is_unbiased(name: str, settings: Any, undivided: Any) -> None:
    """Mean = (G - 1) / G / T (I) + (II): the group's own mean as baseline, T tokens; exactly so for every method."""
    student, teacher = pair(EQUAL)
    method = undivided(make(name, threshold=0.35, **settings))
    first, second = objective(name, student, teacher, 0.35, 0.5)
    for size in (2, 4):
        found = -expected_gradient(method, student, teacher, one_of_three, size)
        torch.testing.assert_close(found, (size - 1) / size / EQUAL.horizon * first + second, **EXACT)


@pytest.mark.parametrize("d", [0.35, 0.2])
def test_cmdp_explicit_term_is_exact_and_the_division_biases_the_rest(d: float) -> None:
    """27 % of responses are infeasible at d = 0.35, 89 % at d = 0.2. The deviation undoes the size of n = 20."""
    student, teacher = pair(EQUAL)
    first, second = objective("cmdp", student, teacher, d, 0.0)
    found = -expected_gradient(make("cmdp", threshold=d), student, teacher, one_of_three, 4)
    ungraded = -expected_gradient(make("cmdp", threshold=d, phi="none"), student, teacher, one_of_three, 4)
    cost = exact(student, teacher)
    infeasible = (cost.probability @ (cost.mean(cost.kl) > d).double()).item()
    assert infeasible == pytest.approx({0.35: 0.267, 0.2: 0.889}[d], abs=1e-3)
    assert bias(found, first + second) == pytest.approx({0.35: (0.933, 0.031), 0.2: (0.683, 0.079)}[d], abs=5e-3)
    left = {0.35: (1.0, 1.0), 0.2: (0.741, 0.610)}[d]  # of (I): all-infeasible groups give nothing without phi
    assert bias(ungraded, found - second) == pytest.approx(left, abs=5e-3)


def test_the_division_can_turn_cmdp_away_from_the_constraint(undivided: Any) -> None:
    """All responses infeasible, and the divided step is more than 90 degrees off the descent of E[phi].

    The deviation makes one of the smallest difference in phi, so the pull to the cheaper branch, which makes the
    first step dearer, outweighs term (II).
    """
    space = Space(tokens=2, horizon=2)
    teacher = Tabular(space, torch.zeros(1, 3, 2, dtype=torch.float64))
    student = Tabular(space, torch.tensor([[[0.65, 0.35], [0.93, 0.07], [0.95, 0.05]]], dtype=torch.float64).log())
    known = exact(student, teacher)
    phi = known.mean(known.kl)
    assert phi.min() > 0.2
    descent = gradient(known.probability @ phi, student)
    method = make("cmdp", threshold=0.2)
    found = expected_gradient(method, student, teacher, one_of_three, 8)
    assert bias(found, descent) == pytest.approx((-0.382, 1.649), abs=5e-3)
    assert bias(expected_gradient(undivided(method), student, teacher, one_of_three, 8), descent)[0] > 0.9


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_soft_lagrangian_bias(weight: float) -> None:
    """Against the gradient of E[R] - λ E[KL]: what is missing is the effect of sampling on the KL."""
    student, teacher = pair(EQUAL)
    known = exact(student, teacher)
    true = gradient(known.probability @ (rewards(EQUAL) - weight * known.mean(known.kl)), student)
    found = -expected_gradient(make("soft_lagrangian", **{"lambda": weight}), student, teacher, one_of_three, 4)
    assert bias(found, true) == pytest.approx({0.1: (0.998, 0.484), 1.0: (0.983, 0.697)}[weight], abs=5e-3)


@pytest.mark.parametrize("space", [EQUAL, UNEVEN], ids=["equal", "uneven"])
def test_gkd_is_exact_on_sampled_prefixes_and_drops_the_sampling_term(space: Space) -> None:
    """What GKD claims: the gradient through the divergence, not through the sampling."""
    student, teacher = pair(space)
    known = exact(student, teacher)
    kl = known.mean(known.kl)
    found = expected_gradient(make("gkd"), student, teacher, ends_at_once, 1)
    torch.testing.assert_close(found, gradient(known.probability.detach() @ kl, student), **EXACT)
    assert bias(found, gradient(known.probability @ kl, student)) == pytest.approx(DROPPED[space], abs=5e-3)


def sequence_kl(student: Any, teacher: Any) -> Tensor:
    """Reverse KL of the distributions over whole responses."""
    known = exact(student, teacher)
    return (known.probability * (known.chosen - known.chosen_mu).sum(1)).sum()


def minillm(space: Space, **settings: Any) -> tuple[Tensor, Tensor]:
    """Mean of MiniLLM's gradient times T (its loss is a mean over tokens), and the sequence KL's gradient."""
    student, teacher = pair(space)
    known = exact(student, teacher)
    alpha = settings.get("teacher_mix", 0.0)
    mixed = alpha * known.chosen_mu.exp() + (1 - alpha) * known.chosen.exp()
    drawn = mixed.prod(1).detach()  # beyond the end of a response both are 1
    found = expected_gradient(make("minillm", **settings), student, teacher, ends_at_once, 1, 0, drawn)
    return found * space.horizon, gradient(sequence_kl(student, teacher), student)


def test_minillm_is_the_gradient_of_the_sequence_reverse_kl() -> None:
    """Single-step + long-term part, undivided return, equal lengths: exact. The sampled KL is the sum of exact ones."""
    found, true = minillm(EQUAL, length_normalised=False)
    torch.testing.assert_close(found, true, **EXACT)
    known = exact(*pair(EQUAL))
    torch.testing.assert_close(sequence_kl(*pair(EQUAL)), known.probability @ known.kl.sum(1))


def test_minillm_bias_of_length_normalisation() -> None:
    """The normalised return is biased, and so is the mean over tokens where lengths differ."""
    assert bias(*minillm(EQUAL)) == pytest.approx((0.993, 0.933), abs=5e-3)
    assert bias(*minillm(UNEVEN, length_normalised=False)) == pytest.approx((0.975, 1.666), abs=5e-3)


@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_teacher_mixed_sampling(alpha: float) -> None:
    """Weights of the whole sequence are unbiased; weights of the step, the source's choice, are not."""
    mixed = {"length_normalised": False, "teacher_mix": alpha}
    found, true = minillm(EQUAL, weights="sequence", **mixed)
    torch.testing.assert_close(found, true, **EXACT)
    step = {0.2: (0.996, 0.882), 0.5: (0.974, 0.730)}[alpha]
    assert bias(*minillm(EQUAL, weights="step", **mixed)) == pytest.approx(step, abs=5e-3)
    uneven, unmixed = (minillm(UNEVEN, weights="sequence", **s)[0] for s in (mixed, {"length_normalised": False}))
    torch.testing.assert_close(uneven, unmixed, **EXACT)
