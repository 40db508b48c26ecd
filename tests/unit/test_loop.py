"""The shared loop: seeds, accumulation, the teacher, dropout, failure."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from training.data import Problem, order, read_problems
from training.divergence import reverse_kl
from training.errors import TrainingFailed, UserError
from training.folders import LOGGED, find_folders
from training.loop import Trainer
from training.settings import TrainSettings
from world.tokenizer import build

PROBLEMS: list[Problem] = [
    {"id": str(i), "question": "", "prompt": f"{i} pens lie in a box .", "answer": str(i), "solution": f"#### {i}"}
    for i in range(12)
]


def trainer(
    name: str, seed: int = 0, dropout: float = 0.0, overrides: dict[str, Any] | None = None, **more: Any
) -> Trainer:
    vocab = len(build())
    settings = TrainSettings(**{"steps": 2, "questions": 4, "samples": 3, "lr": 1e-3, "max_new_tokens": 6, **more})
    folder = find_folders()[name]
    teacher = tiny.llama(2, vocab=vocab).requires_grad_(False) if folder.declares.needs.teacher else None
    method = folder.load()(folder.grid(overrides or {}, "test")[0], 0.5)
    return Trainer(method, tiny.llama(1, vocab=vocab, dropout=dropout), teacher, build(), PROBLEMS, settings, seed)


def weights(made: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in made.student.parameters()])


@pytest.mark.parametrize("name", ["cmdp", "grpo"])
def test_a_seed_repeats_to_the_bit_and_another_differs(name: str) -> None:
    runs = [trainer(name, seed) for seed in (0, 0, 1)]
    rows = [list(run.steps()) for run in runs]
    assert rows[0] == rows[1]
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert rows[0] != rows[2]


@pytest.mark.parametrize("micro", [1, 3])
def test_accumulation_over_micro_batches_changes_nothing(micro: int) -> None:
    whole, split = trainer("cmdp", steps=1), trainer("cmdp", steps=1, micro_questions=micro)
    a, b = next(whole.steps()), next(split.steps())
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4, abs=1e-6)
    assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_dropout_is_off_so_the_sampling_policy_is_the_trained_one() -> None:
    without, with_dropout = trainer("grpo"), trainer("grpo", dropout=0.5)
    assert list(without.steps()) == list(with_dropout.steps())


def test_all_methods_meet_the_same_prompts_whatever_they_draw() -> None:
    """GRPO and the follow-up draw other responses; SeqKD has the teacher sample."""
    met = []
    for name in ("grpo", "worst_case", "seqkd"):
        made, prompts = trainer(name, steps=5), []
        sample = made._responses
        made._responses = lambda given, step, s=sample, p=prompts: p.append([x["id"] for x in given]) or s(given, step)
        list(made.steps())
        met.append(prompts)
    assert met[0] == met[1] == met[2]
    assert len(met[0]) == 5


def test_every_epoch_has_each_problem_once_in_an_order_of_its_own() -> None:
    """Three updates of four are an epoch of twelve; updates of five begin the next epoch in the midst of one."""
    epochs = [[i for step in range(3 * e, 3 * e + 3) for i in order(12, 4, step, seed=3)] for e in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert [i for step in range(7) for i in order(12, 5, step, seed=3)] == [i for epoch in epochs for i in epoch][:35]
    assert epochs[0] != [i for step in range(3) for i in order(12, 4, step, seed=4)]


def test_an_update_draws_from_its_seed_and_step_alone() -> None:
    """The same student and prompts: another step or seed draws other responses, the same ones draw the same."""
    drawn = {}
    for seed, step in ((0, 0), (0, 1), (1, 0)):
        for again in range(2):
            torch.manual_seed(again)  # what was drawn before does not matter
            drawn[seed, step, again] = trainer("grpo", seed)._responses(PROBLEMS[:4], step)[0].response.tolist()
        assert drawn[seed, step, 0] == drawn[seed, step, 1]
    assert drawn[0, 0, 0] != drawn[0, 1, 0]
    assert drawn[0, 0, 0] != drawn[1, 0, 0]


def test_costs_count_what_ran() -> None:
    made = trainer("grpo")
    rows = list(made.steps())
    tokens = sum(row["length"] for row in rows) * 12
    assert made.cost.teacher_tokens == 0
    assert made.cost.tokens_generated == pytest.approx(tokens)
    assert made.cost.steps == 2
    distilled = trainer("gkd")
    list(distilled.steps())
    assert distilled.cost.teacher_tokens == distilled.cost.student_tokens > 0


def test_a_teacher_of_the_warm_up_is_counted_for_the_warm_up_alone() -> None:
    made = trainer("grpo", kl_warmup=1, steps=3)
    made.teacher = tiny.llama(2, vocab=len(build())).requires_grad_(False)
    made.sizes = made.sizes[0], 1000
    next(made.steps())
    first = made.cost.teacher_tokens
    list(made.steps(1))
    assert first == made.cost.teacher_tokens > 0
    assert made.cost.student_tokens > first


@pytest.mark.parametrize(
    ("name", "student", "teacher"), [("gkd", 8, 2), ("seqkd", 6, 2), ("saute", 8, 4), ("sft", 6, 0)]
)
def test_operations_are_those_of_the_passes_made(name: str, student: int, teacher: int) -> None:
    """Per parameter and token: 2 for a pass, 6 with the backward pass; SeqKD's teacher samples, Sauté's runs along."""
    made = trainer(name, steps=1)
    made.update(0)
    of_student, of_teacher = made.sizes
    expected = student * of_student + teacher * (of_teacher or 0)
    assert made.cost.flops == pytest.approx(expected * made.cost.student_tokens)


def test_a_student_that_runs_beside_a_wider_teacher_is_counted() -> None:
    made = trainer("seqkd", steps=1)
    made.teacher = tiny.llama(2, vocab=len(build()) + 3).requires_grad_(False)
    made.update(0)
    student, teacher = made.sizes
    assert made.cost.flops == pytest.approx((8 * student + 2 * (teacher or 0)) * made.cost.student_tokens)


def test_a_teacher_that_samples_alone_and_is_asked_for_its_divergence_is_counted_twice() -> None:
    made = trainer("seqkd", steps=1)
    made._loss = lambda batch, step: (batch.mean_expectation(reverse_kl), {})  # type: ignore[method-assign]
    made.update(0)
    student, teacher = made.sizes
    assert made.cost.flops == pytest.approx((6 * student + 2 * 2 * (teacher or 0)) * made.cost.student_tokens)
    assert made.cost.teacher_tokens == 2 * made.cost.student_tokens


def test_off_policy_updates_use_the_solutions() -> None:
    row = next(trainer("gkd", overrides={"on_policy": 0.0}).steps())
    assert "reward" not in row
    assert row["length"] == 3.0  # `####`, the number, EOS


@pytest.mark.parametrize("on_policy", [0.0, 0.3, 1.0])
def test_the_share_of_updates_on_solutions_is_met(on_policy: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 updates, with fixed seeds: within three standard errors (0.069 at most), exactly at 0 and 1."""
    monkeypatch.setattr("training.loop.generate", lambda *_: tiny.rollouts([2], [1]))
    made = trainer("gkd", overrides={"on_policy": on_policy})
    shares = [made._responses(PROBLEMS[:1], step)[1] for step in range(400)]
    error = (on_policy * (1 - on_policy) / 400) ** 0.5
    assert abs(sum(shares) / 400 - on_policy) <= 3 * error


def test_a_solution_beyond_the_limit_is_cut_and_ended() -> None:
    """As a response is: `max_new_tokens` tokens at most, the last of them EOS."""
    made = trainer("sft", max_new_tokens=4)
    long = {**PROBLEMS[0], "solution": "1 + 2 = 3 ; #### 3"}
    rollouts, sampled = made._responses([long], 0)
    expected = [*made.tokenizer("1 + 2", add_special_tokens=False)["input_ids"], made.tokenizer.eos_token_id]
    assert not sampled
    assert rollouts.response.tolist() == [expected] * 3
    assert rollouts.mask.all()


def test_a_gradient_is_cut_to_its_largest_norm() -> None:
    """The log has the norm before; what the optimiser sees has the direction of the whole gradient."""
    left = {}
    for limit in (1e9, 0.1):
        made = trainer("gkd", steps=1, max_grad_norm=limit)
        norm = next(made.steps())["grad_norm"]
        left[limit] = norm, torch.cat([p.grad.flatten() for p in made.student.parameters() if p.grad is not None])
    (whole, gradient), (logged, cut) = left.values()
    assert whole == logged > 0.2
    assert gradient.norm().item() == pytest.approx(whole, rel=1e-4)
    torch.testing.assert_close(cut, gradient * 0.1 / whole, rtol=1e-4, atol=1e-8)


def test_a_loss_that_is_not_finite_fails_the_run() -> None:
    made = trainer("gkd")
    made.student.lm_head.weight.data.fill_(torch.nan)
    made._responses = lambda problems, step: (tiny.rollouts([2] * 12, [3] * 12), True)  # type: ignore[method-assign]
    with pytest.raises(TrainingFailed, match="the loss is nan at step 1"):
        next(made.steps())


@pytest.mark.parametrize(
    ("give", "told"),
    [
        (lambda loss: (loss.expand(3), {}), "a tensor of shape (3,) with gradient as the loss"),
        (lambda loss: (loss.detach(), {}), "a tensor of shape () without gradient as the loss"),
        (lambda loss: (loss.item(), {}), "0.5 as the loss"),
        (lambda loss: None, "None"),
        (lambda loss: loss, "a tensor of shape () with gradient"),
        (lambda loss: (loss, None), "None as the statistics"),
        (lambda loss: (loss, {"kl": "small"}), "'small' as the statistic 'kl'"),
        (lambda loss: (loss, {"kl": loss}), "a tensor of shape () with gradient as the statistic 'kl'"),
    ],
)
def test_what_a_loss_returns_is_checked(give: Any, told: str) -> None:
    made = trainer("grpo")
    made.method.loss = lambda batch: give(batch.logp.mean() * 0 + 0.5)  # type: ignore[method-assign]
    with pytest.raises(TrainingFailed) as failed:
        made.update(0)
    assert str(failed.value) == (
        f"loss(batch) returned {told} at step 1, but must return a pair: a scalar tensor with gradient, and a dict of "
        "names to numbers"
    )


@pytest.mark.parametrize("name", ["step", "reward", "length", "loss", "grad_norm"])
def test_a_statistic_does_not_replace_what_the_log_has_itself(name: str) -> None:
    made = trainer("grpo")
    made.method.loss = lambda batch: (batch.logp.mean(), {name: 7.0})  # type: ignore[method-assign]
    with pytest.raises(TrainingFailed, match=f"a statistic '{name}' at step 1, which would replace the log's own"):
        made.update(0)


def test_the_names_of_the_log_are_all_known() -> None:
    assert next(trainer("grpo").steps()).keys() - {"advantage_abs"} == LOGGED


@pytest.mark.parametrize("share", ["teacher_mix", "data_share"])
@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "half"])
def test_a_share_outside_0_and_1_fails_the_run(share: str, value: Any) -> None:
    made = trainer("gkd")
    setattr(made.method, share, value)
    with pytest.raises(TrainingFailed, match=f"the method's {share} is {value!r} at step 1, but must be a number from"):
        made.update(0)


def test_warm_up_descends_the_kl_alone_as_gkd_does() -> None:
    warm, gkd = trainer("grpo", kl_warmup=1), trainer("gkd")
    warm.teacher = gkd.teacher
    rows = warm.steps()
    assert next(rows)["kl"] == next(gkd.steps())["divergence"]
    assert torch.equal(weights(warm), weights(gkd))
    assert "kl" not in next(rows)  # from then on GRPO


@pytest.mark.parametrize(
    ("name", "overrides"), [("gkd", {"on_policy": 0.0}), ("sft", {}), ("seqkd", {}), ("minillm", {"teacher_mix": 0.5})]
)
def test_every_method_leaves_the_warm_up_with_the_same_weights(name: str, overrides: dict[str, float]) -> None:
    """Also those that later learn from solutions or from the teacher's samples."""
    made = [trainer(one, overrides=more, kl_warmup=2, steps=3) for one, more in ((name, overrides), ("grpo", {}))]
    for one in made:
        one.teacher = tiny.llama(2, vocab=len(build())).requires_grad_(False)
    rows = [list(islice(one.steps(), 2)) for one in made]
    assert rows[0] == rows[1]
    assert torch.equal(weights(made[0]), weights(made[1]))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_learning_rate_rises_over_the_warm_up(schedule: str) -> None:
    made, rates = trainer("grpo", steps=4, warmup=2, schedule=schedule), []
    for step in range(3):
        rates.append(made.scheduler.get_last_lr()[0])
        made.update(step)
    assert rates == pytest.approx([0.0, 5e-4, 1e-3])


def test_the_first_update_of_the_warm_up_has_its_rate_of_0() -> None:
    made = trainer("gkd", steps=4, warmup=2)
    before = weights(made)
    made.update(0)
    assert torch.equal(weights(made), before)
    made.update(1)
    assert not torch.equal(weights(made), before)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "line 1: no valid JSON"),
        ('{"id": "1"}', "line 1: the key 'question' is missing"),
        ("", "holds no problems"),
        (None, "cannot be read"),
    ],
)
def test_bad_data_is_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "train.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_problems(path)
