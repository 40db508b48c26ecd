"""The methods beyond the paper, by hand and against enumeration: dual ascent, the prefix constraint, SFT, SeqKD."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch
from torch import Tensor

from study.plan import make_plan
from tests import tiny
from tests.enumerable import (
    EQUAL,
    FOLDERS,
    UNEVEN,
    Response,
    Space,
    Tabular,
    exact,
    expected_gradient,
    gradient,
    make,
    pair,
)
from tests.unit.test_loop import PROBLEMS, trainer
from training.batch import Batch
from training.rollout import generate

EXACT = {"rtol": 1e-9, "atol": 1e-12}


def test_the_size_extended_runs_every_method() -> None:
    assert {run.method for run in make_plan("extended").runs.values() if run.kind == "method"} == set(FOLDERS)


# Dual Lagrangian


def test_the_multiplier_follows_the_violation_and_returns_to_zero() -> None:
    method = make("dual_lagrangian", threshold=0.3, start=0.5, eta=0.5)
    seen = []
    for cost in (0.7, 0.3, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.31):
        method.after_update({"cost": cost})
        seen.append(method.multiplier)
    assert seen == pytest.approx([0.7, 0.7, 0.6, 0.45, 0.3, 0.15, 0.0, 0.0, 0.005])
    assert seen[-2] == 0.0  # exactly, not a small or a negative number


def test_at_the_same_multiplier_the_loss_is_the_soft_lagrangians() -> None:
    for weight in (0.0, 0.5):
        student = tiny.llama(1)
        ours, soft = (
            made.loss(tiny.batch(student=student))[0]
            for made in (make("dual_lagrangian", 0.3, start=weight), make("soft_lagrangian", **{"lambda": weight}))
        )
        assert ours.item() == pytest.approx(soft.item())
        torch.testing.assert_close(tiny.gradients(student, ours), tiny.gradients(student, soft))


def test_the_multiplier_weighs_the_cost_in_its_reading() -> None:
    """All rows at once: L(λ = 1) - L(λ = 0) is the mean of the summed KL."""
    found = {}
    for start in (0.0, 1.0):
        loss, statistics = make("dual_lagrangian", 0.3, start=start, constraint="sum").loss(tiny.batch())
        found[start] = loss.item()
    batch = tiny.batch()
    pi, mu = (tiny.full_log_probs(tiny.llama(seed), batch.rollouts).detach() for seed in (1, 2))
    total = torch.where(batch.mask, (pi.exp() * (pi - mu)).sum(-1), 0.0).sum(1).mean().item()
    assert statistics["cost"] == pytest.approx(total, rel=1e-4)
    costs = torch.where(batch.mask, (pi.exp() * (pi - mu)).sum(-1), 0.0).sum(1).sort().values
    between = (costs[2] + costs[3]).item() / 2
    within = make("dual_lagrangian", between, constraint="sum").loss(tiny.batch())[1]["satisfied"]
    assert within == pytest.approx(3 / 8)
    assert found[1.0] - found[0.0] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("micro", [None, 1, 3])
def test_one_dual_step_per_update(micro: int | None) -> None:
    """The loop's threshold is 0.5 and the untrained pair is far apart, so λ rises by η (cost - d) each time."""
    rows = list(trainer("dual_lagrangian", overrides={"eta": 0.5}, micro_questions=micro, steps=3).steps())
    assert rows[0]["cost"] > 0.5
    assert rows[0]["lambda"] == 0.0
    for now, later in itertools.pairwise(rows):
        assert later["lambda"] == pytest.approx(now["lambda"] + 0.5 * (now["cost"] - 0.5), rel=1e-5)


def test_no_dual_step_in_the_warm_up() -> None:
    rows = list(trainer("dual_lagrangian", kl_warmup=1, steps=3).steps())
    assert "lambda" not in rows[0]
    assert rows[1]["lambda"] == 0.0
    assert rows[2]["lambda"] > 0.0


def test_the_multiplier_survives_a_checkpoint() -> None:
    method, copy = make("dual_lagrangian", 0.3), make("dual_lagrangian", 0.3)
    method.after_update({"cost": 1.3})
    copy.load_state_dict(json.loads(json.dumps(method.state_dict())))
    assert copy.multiplier == method.multiplier == pytest.approx(0.1)


# Worst case


def two_steps() -> tuple[Space, Tabular, Tabular]:
    """A uniform student; a teacher that starts evenly and goes on with token 0 (0.9), whatever came first."""
    space = Space(tokens=2, horizon=2)
    mu = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]]], dtype=torch.float64).log()
    return space, Tabular(space, torch.zeros(1, 3, 2, dtype=torch.float64)), Tabular(space, mu)


@pytest.mark.parametrize(
    ("response", "d", "penalty", "loss", "satisfied"),
    [
        # Costs 0.693, 0.105: within 0.7. -20 is half likely at token 2; the reward 1 counts at both tokens.
        ((0, 0), 0.7, "each", 0.5 * math.log(2) + 0.5 * (10 + math.log(2)), 1.0),
        # Costs 0.693, 2.303: their mean is above 0.7, so -20 instead of the reward, seen from token 1 as -10.
        ((0, 1), 0.7, "each", 10 * math.log(0.5) + 0.5 * 10, 0.0),
        # The first prefix is above 0.6. The second is not (0.399), but the violation stays: -20 twice, no reward.
        ((0, 0), 0.6, "each", 20 + 10 * math.log(0.5) + 0.5 * 20, 0.0),
        ((0, 0), 0.6, "once", 20, 0.0),
    ],
)
def test_worst_case_by_hand(response: Response, d: float, penalty: str, loss: float, satisfied: float) -> None:
    space, student, teacher = two_steps()
    reward, group = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    batch = Batch(space.rollouts([response]), reward, group, student, teacher)
    found, statistics = make("worst_case", d=d, gamma=0.5, penalty=penalty).loss(batch)
    assert found.item() == pytest.approx(loss, abs=1e-5)
    assert statistics["satisfied"] == satisfied


def returns(
    student: Tabular, teacher: Tabular, task: Tensor, d: float, gamma: float, each: bool, n: float
) -> tuple[Tensor, list[int]]:
    """Discounted return of every response `(N,)`, one prefix at a time, and where each first violates (0: never)."""
    known, found, first = exact(student, teacher), [], []
    for costs, mask, reward in zip(-known.chosen_mu, known.mask, task, strict=True):
        total, length, start = 0.0, int(mask.sum()), 0
        for t in range(1, length + 1):
            if start == 0 and costs[:t].mean() > d:
                start = t
            penalty = -n * (each or t == start)
            total += gamma ** (t - 1) * (penalty if start else reward.item() * (t == length))
        found.append(total)
        first.append(start)
    return torch.tensor(found, dtype=torch.float64), first


@pytest.mark.parametrize("penalty", ["each", "once"])
@pytest.mark.parametrize(("gamma", "n"), [(1.0, 20.0), (0.7, 3.0)])
@pytest.mark.parametrize("space", [EQUAL, UNEVEN], ids=["equal", "uneven"])
def test_worst_case_is_the_gradient_of_the_expected_return(space: Space, gamma: float, n: float, penalty: str) -> None:
    """Exactly: the sum over the vocabulary and Monte Carlo together have no bias, also where lengths differ."""
    student, teacher = pair(space)
    d = {EQUAL: 0.75, UNEVEN: 1.1}[space]

    def reward(response: Response) -> float:
        return float(sum(response) % 2 == 0)

    task = torch.tensor([reward(y) for y in space.responses()], dtype=torch.float64)
    value, first = returns(student, teacher, task, d, gamma, penalty == "each", n)
    assert {0, 1} < set(first)  # some are feasible, some violate at once, some later
    expected = -gradient(exact(student, teacher).probability @ value, student)
    made = make("worst_case", d=d, gamma=gamma, n=n, penalty=penalty)
    found = expected_gradient(made, student, teacher, reward, 1)
    torch.testing.assert_close(found, expected, **EXACT)


def test_a_loose_bound_leaves_the_task_reward() -> None:
    student, teacher = pair(EQUAL)
    found = expected_gradient(make("worst_case", d=50.0), student, teacher, lambda y: float(sum(y) == 1), 1)
    right = torch.tensor([float(sum(y) == 1) for y in EQUAL.responses()], dtype=torch.float64)
    torch.testing.assert_close(found, -gradient(exact(student, teacher).probability @ right, student), **EXACT)


# SFT and SeqKD


def test_sft_is_the_likelihood_of_the_solutions() -> None:
    made = trainer("sft", steps=1)
    seen: list[Batch] = []
    loss_of = made.method.loss
    made.method.loss = lambda batch: (seen.append(batch), loss_of(batch))[1]  # type: ignore[method-assign]
    untrained = trainer("sft").student
    row = next(made.steps())
    assert "reward" not in row
    texts = set(seen[0].rollouts.texts(made.tokenizer))
    assert texts <= {problem["solution"] for problem in PROBLEMS}
    assert len(texts) == 4  # one for each question of the update
    chosen = seen[0].rollouts.response[..., None]
    logp = tiny.full_log_probs(untrained, seen[0].rollouts).gather(2, chosen)[..., 0]
    summed = -(logp * seen[0].mask).sum(1)
    assert row["loss"] == pytest.approx(summed.mean().item(), rel=1e-4)
    assert row["nll"] == pytest.approx(summed.div(seen[0].mask.sum(1)).mean().item(), rel=1e-4)
    assert made.cost.tokens_generated == made.cost.teacher_tokens == 0


@pytest.mark.parametrize("space", [EQUAL, UNEVEN])
def test_seqkd_descends_the_forward_kl_of_responses(space: Space) -> None:
    """Whatever their lengths: a mean over each response's tokens would prefer short ones."""
    student, teacher = pair(space)
    known = exact(student, teacher)
    drawn = known.chosen_mu.sum(1).exp()
    kl = (drawn * (known.chosen_mu.sum(1) - known.chosen.sum(1))).sum()
    found = expected_gradient(make("seqkd"), student, teacher, lambda y: 0.0, 1, 0, drawn)
    torch.testing.assert_close(found, gradient(kl, student), rtol=1e-7, atol=1e-9)


def test_at_the_teacher_seqkd_stands_still() -> None:
    teacher = pair(UNEVEN)[1]
    drawn = exact(teacher, teacher).chosen.sum(1).exp().detach()
    found = expected_gradient(make("seqkd"), teacher, teacher, lambda y: 0.0, 1, 0, drawn)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-12)


def test_seqkd_samples_from_the_teacher_alone() -> None:
    space, student, teacher = two_steps()
    teacher.table.data[...] = torch.tensor([-40.0, 40.0])  # always token 1; the student is uniform

    class Tokens:
        pad_token_id = eos_token_id = 2

    share = make("seqkd").teacher_mix
    drawn = generate(student, Tokens(), [[0]] * 64, space.horizon, False, teacher, share)  # type: ignore[arg-type]
    assert drawn.response.eq(1).all()
