"""Models of the world: examples, loss, determinism and the folder that is written."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch

from training.errors import UserError
from training.models import load_policy, load_tokenizer
from world import tokenizer, write
from world.grammar import Chain
from world.make_model import batches, examples, known_chains, learning_rate, loss_of, main, untrained
from world.settings import WorldModel
from world.verify import Verdict, verify

TINY = {"layers": 1, "width": 16, "heads": 2, "intermediate": 16, "batch": 8}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write.main(["--params", '{"train": 40, "validation": 5, "test": 10}', "--out", str(folder)])
    return folder


def text_of(ids: list[int]) -> str:
    return tokenizer.build().decode(ids)


def chain_of(prompt: str, solution: str) -> Chain:
    numbers = [int(word) for word in prompt.split() if word.isdigit()]
    signs = [word for word in solution.split() if word in "+-"]
    return Chain(numbers[0], tuple(zip(signs, numbers[1:], strict=True)))


def test_examples_are_right_solutions_of_unseen_problems(data: Path) -> None:
    known, usual, longer = known_chains(data)
    assert (usual, longer, len(known)) == ((2, 4), (5, 6), 75)
    recipe = WorldModel(styles={"careful": 1.0}, longer=0.5)
    for ids, length in islice(examples(recipe, data), 200):
        prompt, solution = text_of(ids[:length]), text_of(ids[length:-1])
        chain = chain_of(prompt, solution)
        assert ids[-1] == 1
        assert chain not in known
        assert verify(chain.to_json(), solution) == Verdict(1.0, True)


def test_style_shares_are_met(data: Path) -> None:
    recipe = WorldModel(styles={"careful": 0.7, "short": 0.3})
    drawn = [text_of(ids[length:]) for ids, length in islice(examples(recipe, data), 1000)]
    assert sum(text.startswith("####") for text in drawn) / 1000 == pytest.approx(0.3, abs=0.05)


def test_targets_are_the_response_and_padding_changes_nothing(data: Path) -> None:
    recipe = WorldModel(**TINY, styles={"careful": 0.5, "short": 0.5})
    model = untrained(recipe)
    ids, is_target = next(batches(recipe, data))
    for row, target in zip(ids, is_target, strict=True):
        assert text_of(row[target].tolist()).endswith("<eos>")
        assert text_of(row[: target.nonzero()[0, 0]].tolist()).endswith("answer :")
        assert text_of(row[~target].tolist()).count(":") == 1
    wider = torch.nn.functional.pad(ids, (0, 5)), torch.nn.functional.pad(is_target, (0, 5))
    assert torch.allclose(loss_of(model, *wider), loss_of(model, ids, is_target))


def test_loss_is_the_cross_entropy_of_the_whole_model(data: Path) -> None:
    recipe = WorldModel(**TINY)
    model = untrained(recipe)
    ids, is_target = next(batches(recipe, data))
    labels = torch.where(is_target, ids, -100)
    assert loss_of(model, ids, is_target).item() == pytest.approx(model(ids, labels=labels).loss.item(), rel=1e-5)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = WorldModel(steps=1000, lr=1e-3)
    rates = [learning_rate(recipe, step) for step in range(1001)]
    assert rates[0] < rates[20] < max(rates) <= 1e-3
    assert rates[1000] == pytest.approx(0.0, abs=1e-9)
    assert rates[500] == pytest.approx(5e-4)


def test_training_lowers_the_loss_and_repeats_bit_for_bit(data: Path, tmp_path: Path) -> None:
    params = json.dumps({**TINY, "steps": 40, "lr": 1e-2})
    for out in ("a", "b"):
        main(["--params", params, "--data", str(data), "--out", str(tmp_path / out)])
    made = json.loads((tmp_path / "a" / "made.json").read_text())
    assert made["steps"] == 40
    assert made["curve"][-1]["loss"] < 0.9 * made["curve"][0]["loss"]
    a, b = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("a", "b"))
    assert a == b


def test_folder_is_an_ordinary_model(data: Path, tmp_path: Path) -> None:
    main(["--params", json.dumps({**TINY, "random": True}), "--data", str(data), "--out", str(tmp_path)])
    model, built = load_policy(tmp_path), load_tokenizer(tmp_path)
    assert built.get_vocab() == tokenizer.vocabulary()
    assert model.config.vocab_size == len(built)
    assert model.generation_config.eos_token_id == built.eos_token_id == 1
    logits = model(torch.tensor([built("7 + 5 =")["input_ids"]])).logits
    assert torch.isfinite(logits).all()
    assert logits.shape == (1, 4, len(built))
    made = json.loads((tmp_path / "made.json").read_text())
    assert made["steps"] == 0
    assert made["curve"] == []


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ('{"widht": 64}', "width"),
        ('{"styles": {"careful": 0.5}}', "sum to 1"),
        ('{"styles": {"carefull": 1.0}}', "carefull"),
        ('{"width": 20, "heads": 4}', "multiple"),
        ('{"lr": 0}', "lr"),
    ],
)
def test_bad_recipes_are_one_sentence(data: Path, tmp_path: Path, params: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        main(["--params", params, "--data", str(data), "--out", str(tmp_path)])


def test_missing_data_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"longer\.jsonl"):
        main(["--params", json.dumps(TINY), "--data", str(tmp_path / "none"), "--out", str(tmp_path)])
