"""The scorer: exact divergence of the stored tokens in its readings, and what the text says."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from evaluation.columns import KEYS, KL_COLUMNS, TEXT_SCORES
from evaluation.score import main, measure, read_samples, text_scores, token_texts
from tests.unit.tiny_models import tiny_policy
from training.divergence import FLOOR
from training.errors import UserError
from training.models import load_policy, load_tokenizer
from training.prompt import encode
from training.rollout import generate

CHAIN = {"start": 7, "ops": [["+", 5], ["-", 3]]}
PROMPTS = ["Ann has 7 pens , finds 5 , loses 3 , how many now ? answer :", "Ben has 3 coins , how many now ? answer :"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return str(tiny_policy(root / "policy", seed=0)), str(tiny_policy(root / "teacher", seed=1, width=24))


@pytest.fixture(scope="module")
def rows(models):
    policy, tokenizer = load_policy(models[0]), load_tokenizer(models[0])
    torch.manual_seed(0)
    prompts = PROMPTS * 6
    rollouts = generate(policy, tokenizer, [encode(tokenizer, prompt) for prompt in prompts], 10)
    texts = rollouts.texts(tokenizer)
    return [
        row(i, prompt=prompt, response=texts[i], tokens=rollouts.response[i][rollouts.mask[i]].tolist(),
            finished=bool(rollouts.finished[i]))
        for i, prompt in enumerate(prompts)
    ]  # fmt: skip


def row(number=0, **changes):
    base = {
        "test": "same", "decoding": "sampled", "prompt_id": f"same-{number:04d}", "sample": 0, "prompt": PROMPTS[0],
        "question": "", "answer": "9", "response": "#### 9", "tokens": [], "finished": True, "chain": CHAIN,
    }  # fmt: skip
    return base | changes


def write(rows, path):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reference(models, prompt, tokens):
    """KL per token, and mean k1 and k3, in float64, one response at a time, from the definition."""
    policy, teacher = (load_policy(path, "float64") for path in models)
    ids = encode(load_tokenizer(models[0]), prompt)
    with torch.no_grad():
        log_p, log_q = (
            model(torch.tensor([ids + tokens])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
            for model in (policy, teacher)
        )
    chosen = torch.arange(len(tokens)), torch.tensor(tokens)
    log_ratio = (log_q - log_p)[chosen]
    k1, k3 = -log_ratio, log_ratio.exp() - 1 - log_ratio
    return (log_p.exp() * (log_p - log_q)).sum(-1).numpy(), k1.mean().item(), k3.mean().item()


def test_divergence_is_the_definition(models, rows):
    readings = measure(rows, *models, "float32", 8192).readings
    for found, kept in zip(readings, rows, strict=True):
        kl, k1, k3 = reference(models, kept["prompt"], kept["tokens"])
        running = kl.cumsum() / np.arange(1, len(kl) + 1)
        np.testing.assert_allclose(found[:5], [kl.mean(), kl.sum(), running.max(), k1, k3], rtol=1e-4)
        assert found[5] == 0.0  # no token is so unlikely that the floor carries it
    assert readings[:, :3].min() > 0.01


def test_divergence_does_not_depend_on_the_micro_batch(models, rows):
    whole = measure(rows, *models, "float32", 8192).readings
    np.testing.assert_allclose(measure(rows, *models, "float32", 1).readings, whole, rtol=1e-5)
    np.testing.assert_allclose(measure(rows[::-1], *models, "float32", 90).readings, whole[::-1], rtol=1e-5)


def test_divergence_of_a_policy_to_itself_is_zero_up_to_the_floor(models, rows):
    per_token = measure(rows, models[0], models[0], "float32", 8192).readings[:, 0]
    assert np.abs(per_token).max() < FLOOR


def test_a_token_that_the_teacher_lacks_has_no_divergence(models, rows, tmp_path):
    """A student whose output is padded further than its teacher's, and who drew one of those ids."""
    wider, known = load_policy(models[0]), len(load_tokenizer(models[0]))
    wider.resize_token_embeddings(known + 4)
    wider.save_pretrained(tmp_path)
    load_tokenizer(models[0]).save_pretrained(tmp_path)
    drawn = [rows[0] | {"tokens": [*rows[0]["tokens"], known + 1]}]
    with pytest.raises(UserError, match=f"token {known + 1}, but .* share {known} ids alone; generate them again"):
        measure(drawn, str(tmp_path), models[1], "float32", 8192)
    assert np.isfinite(measure(rows, str(tmp_path), models[1], "float32", 8192).readings).all()


def test_divergence_follows_the_stored_tokens_not_the_text(models, rows):
    retold = [kept | {"response": "something else"} for kept in rows]
    ours, theirs = (measure(kept, *models, "float32", 8192).readings for kept in (retold, rows))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("response", "correct", "extracted", "reasoning", "sound"),
    [
        ("7 + 5 = 12 ; 12 - 3 = 9 ; #### 9", 1, 1, 1.0, 1),
        ("7 + 5 = 12 ; 12 - 3 = 8 ; #### 8", 0, 1, 0.5, 0),
        ("#### 9", 1, 1, 0.0, 0),
        ("9", 0, 0, 0.0, 0),
        ("", 0, 0, 0.0, 0),
    ],
)
def test_scores_of_the_text(response, correct, extracted, reasoning, sound):
    scores = text_scores(row(response=response))
    assert [scores[name] for name in ("correct", "extracted", "reasoning", "sound")] == [
        correct, extracted, reasoning, sound,
    ]  # fmt: skip


def test_what_is_undefined_is_nan():
    scores = text_scores(row(chain=None))
    assert np.isnan([scores["reasoning"], scores["sound"], scores["tokens"]]).all()
    assert scores["finished"] == 1.0


def test_file_has_one_typed_row_per_response_in_order(models, rows, tmp_path):
    samples = write(rows, tmp_path / "samples.jsonl")
    main(
        ["--samples", str(samples), "--policy", models[0], "--teacher", models[1], "--out", str(tmp_path / "s.parquet")]
    )
    scores = pd.read_parquet(tmp_path / "s.parquet")
    assert set(scores.columns) == {*KEYS, *TEXT_SCORES, *KL_COLUMNS}
    assert scores["prompt"].tolist() == [kept["prompt_id"] for kept in rows]
    assert scores["tokens"].tolist() == [len(kept["tokens"]) for kept in rows]
    assert scores["finished"].tolist() == [float(kept["finished"]) for kept in rows]
    assert (scores["kl_prefix"] >= scores["kl_mean"] - 1e-9).all()
    assert {str(kind) for kind in scores[[*TEXT_SCORES, *KL_COLUMNS]].dtypes} == {"float64"}


def test_scoring_twice_gives_the_same_bytes(models, rows, tmp_path):
    samples = write(rows, tmp_path / "samples.jsonl")
    for out in ("a.parquet", "b.parquet"):
        main(["--samples", str(samples), "--policy", models[0], "--teacher", models[1], "--out", str(tmp_path / out)])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_tokens_of_a_few_responses_are_kept_with_their_divergence(models, rows, tmp_path):
    again = [kept | other for kept in rows for other in ({"decoding": "greedy"}, {"sample": 1})]
    samples = write(again + rows, tmp_path / "samples.jsonl")
    out, tokens = str(tmp_path / "s.parquet"), tmp_path / "tokens.jsonl"
    inputs = ["--samples", str(samples), "--policy", models[0], "--teacher", models[1]]
    main([*inputs, "--out", out, "--tokens", str(tokens)])
    shown = [json.loads(line) for line in tokens.read_text().splitlines()]
    assert [line["prompt_id"] for line in shown] == [kept["prompt_id"] for kept in rows[:3]]
    assert [line["sample"] for line in shown] == [0, 0, 0]
    means = pd.read_parquet(out).query("decoding == 'sampled' and sample == 0")["kl_mean"].to_numpy()
    tokenizer = load_tokenizer(models[0])
    for line, kept, mean in zip(shown, rows, means, strict=False):
        assert len(line["tokens"]) == len(line["kl"]) == len(kept["tokens"])
        assert np.mean(line["kl"]) == pytest.approx(mean, abs=1e-5)
        assert "".join(line["tokens"]) == tokenizer.decode(kept["tokens"])


class _Bytes:
    """A tokenizer of single bytes: what byte-level vocabularies do to characters of several bytes."""

    def decode(self, ids, skip_special_tokens):
        return bytes(ids).decode("utf-8", errors="replace")


def test_a_character_of_several_tokens_appears_once_it_is_whole():
    assert token_texts(_Bytes(), list("a→b".encode())) == ["a", "", "", "→", "b"]


def test_a_control_has_no_divergence(tmp_path):
    samples = write([row(), row(1)], tmp_path / "samples.jsonl")
    tokens = tmp_path / "tokens.jsonl"
    main(["--samples", str(samples), "--out", str(tmp_path / "scores.parquet"), "--tokens", str(tokens)])
    assert tokens.read_text() == ""
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    assert scores[KL_COLUMNS].isna().all(axis=None)
    assert (scores["correct"] == 1).all()


def test_a_failed_run_gives_an_empty_table_of_the_same_columns(models, tmp_path):
    samples = write([], tmp_path / "samples.jsonl")
    out = tmp_path / "scores.parquet"
    main(["--samples", str(samples), "--policy", str(tmp_path / "none"), "--teacher", models[1], "--out", str(out)])
    scores = pd.read_parquet(out)
    assert len(scores) == 0
    assert set(scores.columns) == {*KEYS, *TEXT_SCORES, *KL_COLUMNS}


def test_faults_of_the_input_are_named(models, tmp_path):
    with pytest.raises(UserError, match=r"run make tables"):
        read_samples(tmp_path / "absent.jsonl")
    (tmp_path / "torn.jsonl").write_text('{"test": "same"}\n{"test": "sa')
    with pytest.raises(UserError, match="line 1: the key 'decoding' is missing"):
        read_samples(tmp_path / "torn.jsonl")
    out = str(tmp_path / "s.parquet")
    samples = str(write([row()], tmp_path / "samples.jsonl"))
    with pytest.raises(UserError, match="--teacher is missing"):
        main(["--samples", samples, "--policy", models[0], "--out", out])
    with pytest.raises(UserError, match="--micro-tokens is 0"):
        main(["--samples", samples, "--micro-tokens", "0", "--out", out])
