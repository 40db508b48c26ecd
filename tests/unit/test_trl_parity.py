"""Same weights, same rollouts, same numbers: our losses and gradients against TRL's own trainers.

TRL computes everything itself here: padding, advantages from the rewards, the forward passes, the loss. Given are
the weights, the sampled ids and the rewards. Tolerance: 1e-5 relative, plus 1e-6 for gradients, in float32.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from tests import tiny
from training.batch import Batch
from training.data import order
from training.errors import UserError
from training.folders import find_folders
from training.prompt import encode
from training.rollout import Rollouts
from training.settings import TrainSettings
from training.trl_adapter import arguments, train
from world import tokenizer

FOLDERS = find_folders()
VOCABULARY = len(tokenizer.vocabulary())
UNEVEN, EQUAL = [4, 1, 6, 2, 3, 5, 6, 1], [5] * 8
REWARDS = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*rollout_func:UserWarning"),
]


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL reports its use over the network unless told not to."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)


def rolled(lengths: list[int]) -> Rollouts:
    """Prompts of uneven length, so that left padding takes part."""
    return tiny.rollouts([3, 3, 3, 3, 5, 5, 5, 5], lengths, vocab=VOCABULARY)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"dtype": "bfloat16"}, "'dtype' is bfloat16"),
        ({"questions": 3, "micro_questions": 2}, "'micro_questions' is 2"),
    ],
)
def test_a_budget_that_trl_would_spend_otherwise_is_refused(more: dict[str, Any], told: str) -> None:
    asked = types.SimpleNamespace(train=TrainSettings(steps=2, **more))
    with pytest.raises(UserError, match=told):
        arguments(asked)  # type: ignore[arg-type]


def test_attention_has_no_dropout_while_trl_trains() -> None:
    """TRL puts the student into training mode; the suite's own loop never does."""
    student, ids, seen = tiny.llama(1, dropout=0.5), torch.tensor([[3, 4, 5, 6]]), []
    expected = student(ids).logits
    assert not torch.equal(student.train()(ids).logits, expected)

    def trained() -> None:
        seen.append(student.train()(ids).logits)

    run = types.SimpleNamespace(student=student, teacher=None, tokenizer=types.SimpleNamespace(eos_token_id=1))
    no = types.SimpleNamespace(remove_callback=lambda _: None, add_callback=lambda _: None, train=trained)
    train(run, no)  # type: ignore[arg-type]
    assert torch.equal(seen[0], expected)
    assert not student.training


def common(folder: Path) -> dict[str, Any]:
    """Plain float32 on the CPU, all rows at once, nothing written or reported."""
    return {
        "output_dir": str(folder), "report_to": "none", "bf16": False, "use_cpu": True, "disable_tqdm": True,
        "gradient_checkpointing": False, "per_device_train_batch_size": 8, "max_completion_length": 6,
    }  # fmt: skip


def lists(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """Unpadded rows."""
    return [row[keep].tolist() for row, keep in zip(ids, mask.bool(), strict=True)]


def trl_grpo(rollouts: Rollouts, old: torch.Tensor | None, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of TRL's `GRPOTrainer` on these rollouts, sampled with log-probabilities `old`."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    given = {
        "prompt_ids": lists(rollouts.prompt, rollouts.prompt_mask),
        "completion_ids": lists(rollouts.response, rollouts.mask),
        "logprobs": None,
    }
    student = tiny.llama(1, vocab=VOCABULARY)
    config = GRPOConfig(
        num_generations=4, loss_type="grpo", beta=0.0, epsilon=0.2, scale_rewards="group", **common(folder)
    )
    trainer = GRPOTrainer(
        student, lambda completions, **_: REWARDS, config, Dataset.from_list([{"prompt": "a"}] * 2),
        processing_class=tokenizer.build(), rollout_func=lambda prompts, trainer: given,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    inputs = trainer._generate_and_score_completions([{"prompt": "a"}] * 8)
    loss = trainer.compute_loss(student.train(), {**inputs, "old_per_token_logps": old})
    return loss.detach(), tiny.gradients(student, loss)


def trl_distillation(rollouts: Rollouts, beta: float, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of TRL's `DistillationTrainer` on these rollouts."""
    from datasets import Dataset
    from trl import DistillationConfig, DistillationTrainer

    student, teacher = tiny.llama(1, vocab=VOCABULARY), tiny.llama(2, vocab=VOCABULARY)
    config = DistillationConfig(beta=beta, **common(folder))
    trainer = DistillationTrainer(
        student, teacher, config, Dataset.from_list([{"prompt": "a"}] * 8), processing_class=tokenizer.build()
    )
    inputs = {
        "prompt_ids": rollouts.prompt, "prompt_mask": rollouts.prompt_mask,
        "completion_ids": rollouts.response, "completion_mask": rollouts.mask.long(),
        "num_items_in_batch": rollouts.mask.sum(),
    }  # fmt: skip
    loss = trainer.compute_loss(student.train(), inputs)
    return loss.detach(), tiny.gradients(student, loss)


def ours(
    name: str, rollouts: Rollouts, old: torch.Tensor | None = None, **settings: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of our method on the same."""
    student, teacher = tiny.llama(1, vocab=VOCABULARY), tiny.llama(2, vocab=VOCABULARY)
    rewards, group = torch.tensor(REWARDS)[: rollouts.size], torch.arange(2).repeat_interleave(4)[: rollouts.size]
    batch = Batch(rollouts, rewards, group, student, teacher.requires_grad_(False), old)
    folder = FOLDERS[name]
    loss, _ = folder.load()(folder.grid(settings, "test")[0]).loss(batch)
    return loss.detach(), tiny.gradients(student, loss)


def expect_same(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    """Loss and gradient agree to the stated tolerance, and the gradient is not small itself."""
    assert expected[1].abs().max() > 1e-2
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


PROBLEMS = [{"prompt": f"{i} pens", "answer": str(i)} for i in range(10)]


def given_to_trl(
    name: str, trainer: str, words: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[dict[str, Any]]]:
    """Config and rows that a folder hands to TRL's trainer; nothing is trained."""
    given: list[Any] = []
    monkeypatch.setattr(f"trl.{trainer}", lambda *asked, **named: given.extend(asked))
    own = FOLDERS[name].own_train()
    assert own is not None
    monkeypatch.setitem(own.__globals__, "train_with", lambda run, made: None)
    budget = TrainSettings(
        steps=3, questions=2, samples=3, lr=2e-3, clip=0.3, max_new_tokens=5, max_grad_norm=0.7, schedule="cosine",
        warmup=1, weight_decay=0.1, micro_questions=1,
    )  # fmt: skip
    own(types.SimpleNamespace(
        student=tiny.llama(1, vocab=VOCABULARY), teacher=tiny.llama(2, vocab=VOCABULARY), tokenizer=words,
        problems=PROBLEMS, train=budget, settings={"beta": 0.25}, seed=5, out=out,
    ))  # fmt: skip
    return given[-2], given[-1]


@pytest.mark.parametrize(
    ("name", "trainer", "repeats"), [("trl_grpo", "GRPOTrainer", 1), ("trl_distillation", "DistillationTrainer", 3)]
)
def test_trl_is_given_the_studys_settings_and_prompts(
    name: str, trainer: str, repeats: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts in the order of the seed; TRL's GRPO repeats each for its samples itself."""
    config, rows = given_to_trl(name, trainer, tokenizer.build(), tmp_path, monkeypatch)
    expected = {"max_steps": 3, "learning_rate": 2e-3, "lr_scheduler_type": "cosine", "warmup_steps": 1,
                "weight_decay": 0.1, "max_grad_norm": 0.7, "max_completion_length": 5, "temperature": 1.0, "top_p": 1.0,
                "top_k": 0, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 2,
                "shuffle_dataset": False}  # fmt: skip
    expected |= {"beta": 0.0, "epsilon": 0.3, "num_generations": 3} if repeats == 1 else {"beta": 0.25}
    assert {key: getattr(config, key) for key in expected} == expected
    met = [i for step in range(3) for i in order(10, 2, step, seed=5) for _ in range(repeats)]
    assert rows["prompt"] == [PROBLEMS[i]["prompt"] for i in met]
    assert rows["answer"] == [PROBLEMS[i]["answer"] for i in met]


@pytest.mark.parametrize(
    ("name", "trainer"), [("trl_grpo", "GRPOTrainer"), ("trl_distillation", "DistillationTrainer")]
)
def test_trl_fills_a_chat_template_as_the_other_rows_do(
    name: str, trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that prints the date, as Llama 3.2's."""
    chat = tokenizer.build()
    chat.chat_template = "{{ date_string | default(strftime_now('%d %b %Y')) }} {{ messages[0]['content'] }}"
    config, rows = given_to_trl(name, trainer, chat, tmp_path, monkeypatch)
    i = order(10, 2, 0, seed=5)[0]
    text = chat.apply_chat_template(
        rows[0]["prompt"], add_generation_prompt=True, tokenize=False, **config.chat_template_kwargs
    )
    assert chat(text, add_special_tokens=False)["input_ids"] == encode(chat, PROBLEMS[i]["prompt"])
    assert "26 Jul 2024" in text


def test_trls_reward_reads_a_text_and_a_message() -> None:
    own = FOLDERS["trl_grpo"].own_train()
    assert own is not None
    reward = own.__globals__["task_reward"]
    assert reward(["#### 7", "#### 8"], ["7", "7"]) == [1.0, 0.0]
    assert reward([[{"role": "assistant", "content": "#### 7"}], [{"content": "#### 8"}]], ["7", "7"]) == [1.0, 0.0]


@pytest.mark.parametrize("lengths", [UNEVEN, EQUAL], ids=["uneven", "equal"])
def test_grpo_is_trls(lengths: list[int], tmp_path: Path) -> None:
    rollouts = rolled(lengths)
    expect_same(ours("grpo", rollouts), trl_grpo(rollouts, None, tmp_path))


def test_the_clip_is_trls(tmp_path: Path) -> None:
    """Off policy: a third of the ratios leaves the clip range."""
    rollouts = rolled(UNEVEN)
    logp = Batch(rollouts, torch.zeros(8), torch.zeros(8).long(), tiny.llama(1, vocab=VOCABULARY), None).logp
    noise = torch.randn(logp.shape, generator=torch.Generator().manual_seed(0))
    old = torch.where(rollouts.mask, logp.detach() + 0.2 * noise, 0.0)
    found = ours("grpo", rollouts, old)
    expect_same(found, trl_grpo(rollouts, old, tmp_path))
    assert (found[1] - ours("grpo", rollouts)[1]).norm() > 0.1 * found[1].norm()


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 1.0])
def test_gkd_is_trls_where_responses_are_equally_long(beta: float, tmp_path: Path) -> None:
    rollouts = rolled(EQUAL)
    expect_same(ours("gkd", rollouts, beta=beta), trl_distillation(rollouts, beta, tmp_path))


def test_trl_averages_over_tokens_and_we_over_responses(tmp_path: Path) -> None:
    """The one difference: TRL weights each response by its length, so ours times the lengths gives TRL's."""
    rollouts = rolled(UNEVEN)
    loss, gradient = trl_distillation(rollouts, 1.0, tmp_path)
    shares = rollouts.lengths / rollouts.lengths.sum()
    losses, gradients = zip(*(ours("gkd", rollouts.rows(slice(i, i + 1))) for i in range(rollouts.size)), strict=True)
    torch.testing.assert_close(shares @ torch.stack(losses), loss, **TOLERANCE)
    torch.testing.assert_close(shares @ torch.stack(gradients), gradient, **TOLERANCE)
    assert (ours("gkd", rollouts)[1] - gradient).norm() > 0.1 * gradient.norm(), "the two averages do differ"
