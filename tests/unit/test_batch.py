"""The lazy batch against all logits at once in float64."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests import tiny
from training.batch import Batch, token_kl
from training.data import derive_seed
from training.divergence import reverse_kl, with_floor
from training.monitor import Monitor
from training.prompt import encode
from training.rollout import Rollouts, generate
from world.tokenizer import build


def reference_kl(student: object, teacher: object, rolled: Rollouts) -> torch.Tensor:
    pi, mu = tiny.full_log_probs(student, rolled), with_floor(tiny.full_log_probs(teacher, rolled))
    return torch.where(rolled.mask, (pi.exp() * (pi - mu)).sum(-1), 0.0)


def test_values_and_gradients_match_the_reference() -> None:
    student = tiny.llama(1)
    batch = tiny.batch(student=student)
    teacher = tiny.llama(2)
    expected = reference_kl(student, teacher, batch.rollouts)
    found = batch.expectation(reverse_kl)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    logp = tiny.full_log_probs(student, batch.rollouts).gather(2, batch.rollouts.response[..., None])[..., 0]
    torch.testing.assert_close(batch.logp.double(), torch.where(batch.mask, logp, 0.0), rtol=1e-4, atol=1e-5)
    ours = tiny.gradients(student, batch.mean(batch.expectation(reverse_kl)).sum() + batch.mean(batch.logp).sum())
    theirs = tiny.gradients(student, batch.mean(expected).sum() + batch.mean(torch.where(batch.mask, logp, 0.0)).sum())
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("tile", [1, 3, 1000])
def test_tiles_change_nothing(tile: int) -> None:
    student = tiny.llama(1)
    whole, pieces = tiny.batch(student=student), tiny.batch(student=student, tile=tile)
    torch.testing.assert_close(pieces.expectation(reverse_kl), whole.expectation(reverse_kl))
    a = tiny.gradients(student, whole.expectation(reverse_kl).sum() + whole.logp.sum())
    b = tiny.gradients(student, pieces.expectation(reverse_kl).sum() + pieces.logp.sum())
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tile", [1, 3, 1000])
def test_the_mean_expectation_is_the_mean_of_the_expectation(tile: int) -> None:
    student = tiny.llama(1)
    batch, whole = tiny.batch(student=student, tile=tile), tiny.batch(student=student)
    found, expected = batch.mean_expectation(reverse_kl), whole.mean(whole.expectation(reverse_kl)).mean()
    torch.testing.assert_close(found, expected)
    ours, theirs = (tiny.gradients(student, 2 * mean) for mean in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(batch.mean_expectation(reverse_kl), expected)


def test_teacher_against_itself_is_zero() -> None:
    model, rolled = tiny.llama(3), tiny.rollouts([2, 4], [5, 3])
    assert token_kl(model, model, rolled)["exact"].abs().max() < 1e-5


def test_positions_leave_out_the_padding() -> None:
    """With learnt positions, where a shift changes the logits; rotary ones only know distances."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=11, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=1,
        initializer_range=0.5,
    )  # fmt: skip
    model, rolled = GPT2LMHeadModel(config).eval(), tiny.rollouts([2, 5], [4, 3])
    with torch.no_grad():
        together = Batch(rolled, torch.zeros(2), torch.zeros(2).long(), model, None).logp[0]
        alone = model(torch.cat([rolled.prompt[:1, 3:], rolled.response[:1]], 1)).logits[0, 1:5].log_softmax(-1)
    expected = alone.gather(1, rolled.response[0, :4, None])[:, 0]
    torch.testing.assert_close(together[:4], expected, rtol=1e-4, atol=1e-5)


def test_a_method_without_teacher_never_runs_it() -> None:
    batch = tiny.batch()
    alone = Batch(batch.rollouts, batch.rewards, batch.group, tiny.llama(1), None)
    torch.testing.assert_close(alone.logp, batch.logp)
    with pytest.raises(ValueError, match="no teacher"):
        alone.expectation(reverse_kl)


def test_padded_vocabularies_are_cut_to_the_shared_ids() -> None:
    student, teacher, rolled = tiny.llama(1, vocab=11), tiny.llama(2, vocab=13), tiny.rollouts([3, 3], [4, 2])
    pi, mu = tiny.full_log_probs(student, rolled), tiny.full_log_probs(teacher, rolled)[..., :11].log_softmax(-1)
    expected = torch.where(rolled.mask, (pi.exp() * (pi - with_floor(mu))).sum(-1), 0.0)
    found = token_kl(student, teacher, rolled)["exact"]
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_the_monitor_measures_by_definition_with_the_same_random_numbers_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One response of each prompt, kept to six places; a response counts as right where its text begins its answer."""
    monkeypatch.setattr("training.monitor.is_correct", lambda text, answer: text[:1] == answer)
    student, teacher = (tiny.llama(seed, vocab=len(build())) for seed in (1, 2))
    prompts = [f"{i} pens lie in a box ." for i in range(12)]
    torch.manual_seed(derive_seed("monitor"))
    drawn = generate(student, build(), [encode(build(), prompt) for prompt in prompts], 6)
    texts = drawn.texts(build())
    answers = [text[:1] if i % 2 else "no" for i, text in enumerate(texts)]
    problems = [{"prompt": prompt, "answer": answer} for prompt, answer in zip(prompts, answers, strict=True)]
    monitor = Monitor(teacher, build(), problems, 6)
    before = torch.get_rng_state()
    first, later = monitor.measure(student, 0), monitor.measure(student, 50)
    assert torch.equal(torch.get_rng_state(), before)
    assert {**first, "step": 50} == later
    kl = reference_kl(student, teacher, drawn)
    means = torch.where(drawn.mask, kl.cumsum(1) / torch.arange(1, kl.shape[1] + 1), 0.0)
    expected = {
        "kl_mean": kl.sum(1) / drawn.lengths, "kl_sum": kl.sum(1), "kl_prefix": means.amax(1), "length": drawn.lengths,
    }  # fmt: skip
    for name, values in expected.items():
        assert first[name] == pytest.approx(values.tolist(), rel=1e-5, abs=2e-6)
    assert first["reward"] == [0.0, 1.0] * 6
