"""The real vLLM against transformers: the same greedy tokens, distribution, ends, and replies of a judge.

Collected only where SUITE_VLLM_PYTHON names the python of an environment with vllm, a build for CPUs will do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare

from evaluation.generate import main
from evaluation.judge import __main__ as judge
from evaluation.judge.cache import Cache, key_of
from evaluation.judge.comparisons import comparisons
from tests.unit.judged import write_runs
from tests.unit.tiny_models import tiny_policy, tiny_world
from training.folders import ROOT
from training.models import load_policy, load_tokenizer
from training.prompt import encode

STOPS = {1, 5}
PADDED = 6  # rows of logits beyond the tokenizer's ids
LEVEL = 1e-4  # of a false alarm in the test of the distribution
SETTINGS = {"tests": ["same", "longer"], "prompts": 8, "samples": 4, "batch": 16, "max_new_tokens": 24}
DRAWS = {"tests": ["same"], "prompts": 1, "samples": 12000, "batch": 128, "max_new_tokens": 2}

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data, and a random policy with two ends and more logits than tokens (heads of a width that vLLM has)."""
    root = tmp_path_factory.mktemp("vllm")
    policy = tiny_policy(root / "policy", seed=0, width=64)
    model = load_policy(policy)
    torch.manual_seed(1)
    model.resize_token_embeddings(model.config.vocab_size + PADDED, mean_resizing=False)
    model.generation_config.eos_token_id = sorted(STOPS)
    model.save_pretrained(policy)
    return tiny_world(root / "world"), policy


def words(folders: tuple[Path, Path], out: Path, **settings: Any) -> list[str]:
    """Arguments of `evaluation.generate`."""
    data, policy = folders
    return ["--params", json.dumps(settings), "--data", str(data), "--policy", str(policy), "--out", str(out)]


def by_vllm(folders: tuple[Path, Path], out: Path, **settings: Any) -> Rows:
    """Rows of samples.jsonl, made by the other interpreter."""
    command = [os.environ["SUITE_VLLM_PYTHON"], "-m", "evaluation.generate"]
    done = subprocess.run(
        [*command, *words(folders, out, **settings, engine="vllm")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "transformers generates" not in done.stdout
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def rows(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Both test sets, both decodings."""
    return by_vllm(folders, tmp_path_factory.mktemp("rows") / "samples.jsonl", **SETTINGS)


def test_greedy_tokens_are_those_of_transformers(folders: tuple[Path, Path], rows: Rows, tmp_path: Path) -> None:
    main(words(folders, tmp_path / "samples.jsonl", **SETTINGS))
    ours = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    greedy = [row for row in rows if row["decoding"] == "greedy"]
    assert len(greedy) == 16
    assert greedy == [row for row in ours if row["decoding"] == "greedy"]
    assert [row["prompt_id"] for row in rows] == [row["prompt_id"] for row in ours]


def test_responses_end_with_a_stop_token_and_nowhere_else(folders: tuple[Path, Path], rows: Rows) -> None:
    tokenizer = load_tokenizer(folders[1])
    assert {row["tokens"][-1] for row in rows if row["finished"]} == STOPS
    for row in rows:
        assert not STOPS & set(row["tokens"][:-1])
        assert (row["tokens"][-1] in STOPS) == row["finished"]
        assert row["finished"] or len(row["tokens"]) == SETTINGS["max_new_tokens"]
        assert tokenizer.decode(row["tokens"], skip_special_tokens=True) == row["response"]


def test_the_same_call_and_a_smaller_one_give_the_same_responses(
    folders: tuple[Path, Path], rows: Rows, tmp_path: Path
) -> None:
    assert by_vllm(folders, tmp_path / "again.jsonl", **SETTINGS) == rows
    alone = by_vllm(folders, tmp_path / "alone.jsonl", **SETTINGS | {"tests": ["longer"]})
    assert alone == [row for row in rows if row["test"] == "longer"]
    other = by_vllm(folders, tmp_path / "other.jsonl", **SETTINGS, seed=1)
    assert [row["tokens"] for row in other if row["decoding"] == "sampled"] != [
        row["tokens"] for row in rows if row["decoding"] == "sampled"
    ]


def exact(policy: Path, prompt: str, length: int, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """Probability of the first one or two tokens of a response, from transformers' logits in float64."""
    model, tokenizer = load_policy(policy).double(), load_tokenizer(policy)
    ids = torch.tensor([encode(tokenizer, prompt)])
    with torch.no_grad():
        first = (model(ids).logits[0, -1] / temperature).softmax(-1)
        after = torch.cat([ids.expand(len(first), -1), torch.arange(len(first))[:, None]], 1)
        second = (model(after).logits[:, -1] / temperature).softmax(-1)
    ended = [a for a in range(len(first)) if length == 1 or a in STOPS]
    longer = [(a, b) for a in range(len(first)) if a not in ended for b in range(len(first))]
    return {**{(a,): float(first[a]) for a in ended}, **{(a, b): float(first[a] * second[a, b]) for a, b in longer}}


def p_value(counts: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    """Pearson's chi-square; responses expected fewer than five times are one cell."""
    total = counts.total()
    wide = [response for response, p in expected.items() if p * total >= 5]
    seen, hoped = [counts[r] for r in wide], [expected[r] * total for r in wide]
    seen, hoped = [*seen, total - sum(seen)], [*hoped, total - sum(hoped)]
    return float(chisquare(seen, np.array(hoped)).pvalue)


def test_sampled_frequencies_are_the_exact_probabilities(folders: tuple[Path, Path], tmp_path: Path) -> None:
    drawn = [row for row in by_vllm(folders, tmp_path / "drawn.jsonl", **DRAWS) if row["decoding"] == "sampled"]
    known = len(load_tokenizer(folders[1]))
    for length in (1, 2):  # of the part that is compared
        counts = Counter(tuple(row["tokens"][:length]) for row in drawn)
        likely = exact(folders[1], drawn[0]["prompt"], length)
        assert sum(likely.values()) == pytest.approx(1.0, abs=1e-9)
        found = p_value(counts, likely)
        colder = p_value(counts, exact(folders[1], drawn[0]["prompt"], length, temperature=0.9))
        beyond = sum(count for response, count in counts.items() if max(response) >= known)
        print(f"{length} tokens, {len(drawn)} responses, {beyond} beyond the tokenizer: p = {found:.3f}, {colder:.1e}")
        assert beyond > 20  # they too have the probability that the policy gives them
        assert found > LEVEL
        assert colder < LEVEL  # a temperature of 0.9 would be seen


def test_a_judge_by_vllm_replies_as_by_transformers(folders: tuple[Path, Path], tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(folders[1], policy)
    config = json.loads((policy / "config.json").read_text())
    (policy / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    local = {"model": str(policy), "max_new_tokens": 24, "dtype": "float32", "batch": 4}
    runs = write_runs(tmp_path / "runs", prompts=2, seeds=1)
    said, frames = [], []
    for backend in ("transformers", "vllm"):
        job = judge.Job.model_validate(
            {"name": "near", "local": local | {"backend": backend}, "prompts": 2, "runs": runs}
        )
        out, cache = tmp_path / f"{backend}.parquet", tmp_path / "cache"
        command = ["--params", job.model_dump_json(), "--runs", str(tmp_path / "runs"), "--cache", str(cache)]
        if backend == "vllm":
            python = [os.environ["SUITE_VLLM_PYTHON"], "-m", "evaluation.judge"]
            done = subprocess.run([*python, *command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
        else:
            judge.main([*command, "--out", str(out)])
        frames.append(pd.read_parquet(out))
        prompts = [p for pair in comparisons(job.runs, tmp_path / "runs", 2) for p in judge.prompts_of(pair)]
        identity = judge.source(job).identity()
        said.append([Cache(cache).get(key_of(identity, prompt)) for prompt in prompts])
    print(f"{sum(a == b for a, b in zip(*said, strict=True))} of {len(said[0])} replies are equal")
    assert len(set(said[0])) > 5
    assert None not in said[0]
    assert said[0] == said[1]
    pd.testing.assert_frame_equal(*frames)
