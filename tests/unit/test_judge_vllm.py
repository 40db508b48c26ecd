"""A local judge answered by vLLM: what is asked, what becomes of replies, what is refused (in earnest: tests/full)."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from evaluation.judge import __main__ as judge
from evaluation.judge.cache import Cache, key_of
from evaluation.judge.comparisons import comparisons
from evaluation.judge.local import Local
from evaluation.judge.settings import JudgedRun, LocalJudge
from tests.unit.judged import write_runs
from tests.unit.tiny_models import tiny_policy
from tests.unit.vllm_standin import Engine, vllm  # noqa: F401 (a fixture)
from training.errors import UserError
from training.model_folder import BUDGET
from training.models import load_tokenizer
from training.prompt import encode

ASKED = 2 * (2 * 6 + 2)  # both orders of: two questions, six meetings of four rows with one seed, and the control
NEW = 4
SAYS = ("Verdict: A", "Verdict: B")


class Judging(Engine):
    """Replies with one token: A or B, as the sum of the prompt's ids is even or odd."""

    made: list[Judging]
    verdicts: list[int]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.made.append(self)

    @classmethod
    def reply(cls, ids: list[int]) -> list[int]:
        """Token ids of a reply, ended by EOS."""
        return [cls.verdicts[sum(ids) % 2], 1]


@pytest.fixture
def model(tmp_path: Path, vllm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A judge's folder whose tokenizer knows both verdicts, served by `Judging`."""
    folder = tiny_policy(tmp_path / "model", seed=0)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"max_position_embeddings": 4096}))
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(list(SAYS))
    tokenizer.save_pretrained(folder)
    monkeypatch.setattr(Judging, "made", [], raising=False)
    monkeypatch.setattr(Judging, "verdicts", tokenizer.convert_tokens_to_ids(list(SAYS)), raising=False)
    monkeypatch.setattr(vllm, "LLM", Judging)
    return folder


def command(folder: Path, model: Path, **settings: Any) -> list[str]:
    """The arguments of a job over four rows with two questions."""
    runs = folder / "runs"
    local = {"backend": "vllm", "model": str(model), "max_new_tokens": NEW, "batch": 3, **settings}
    if not (folder / "runs.json").is_file():
        (folder / "runs.json").write_text(json.dumps(write_runs(runs, 2, 1)))
    job = {"name": "near", "local": local, "prompts": 2, "runs": json.loads((folder / "runs.json").read_text())}
    return ["--params", json.dumps(job), "--runs", str(runs), "--cache", str(folder / "cache"),
            "--out", str(folder / "verdicts.parquet")]  # fmt: skip


def test_each_reply_goes_to_the_comparison_and_order_that_it_was_asked_for(tmp_path: Path, model: Path) -> None:
    judge.main(command(tmp_path, model))
    frame, tokenizer = pd.read_parquet(tmp_path / "verdicts.parquet"), load_tokenizer(model)
    entries = [JudgedRun(**entry) for entry in json.loads((tmp_path / "runs.json").read_text())]
    asked = [judge.prompts_of(pair) for pair in comparisons(entries, tmp_path / "runs", 2)]
    first = [[1.0 if sum(encode(tokenizer, prompt)) % 2 == 0 else -1.0 for prompt in both] for both in asked]
    assert frame["forth"].tolist() == [forth for forth, _ in first]
    assert frame["back"].tolist() == [-back for _, back in first]
    assert set(frame["forth"]) == {1.0, -1.0}
    lengths = [len(encode(tokenizer, prompt)) for both in asked for prompt in both]
    (engine,) = Judging.made
    assert len(engine.asked) == len(lengths) == ASKED
    assert {(s.temperature, s.seed, s.max_tokens) for s in engine.asked} == {(0.0, None, NEW)}
    assert [engine.settings[key] for key in ("max_model_len", "max_num_seqs", "dtype")] == [
        max(lengths) + NEW, 3, "bfloat16",
    ]  # fmt: skip


def test_a_stopped_job_goes_on_with_what_is_missing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Cache.put
    kept: list[str] = []

    def put(cache: Cache, key: str, reply: str) -> None:
        if len(kept) == 5:
            raise KeyboardInterrupt
        whole(cache, key, reply)
        kept.append(key)

    monkeypatch.setattr(Cache, "put", put)
    with pytest.raises(KeyboardInterrupt):
        judge.main(command(tmp_path, model))
    monkeypatch.setattr(Cache, "put", whole)
    judge.main(command(tmp_path, model))
    judge.main(command(tmp_path, model))
    assert [len(engine.asked) for engine in Judging.made] == [ASKED, ASKED - 5]  # and the third time nothing


def test_another_backend_is_another_judge(model: Path) -> None:
    one, two = (Local(LocalJudge(model=str(model), backend=name)).identity() for name in ("vllm", "transformers"))
    assert one["files"] == two["files"]
    assert key_of(one, "prompt") != key_of(two, "prompt")


def test_what_vllm_cannot_judge_with_is_one_sentence(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UserError, match=r"has a context of 4096 tokens, .*lower the judge's max_new_tokens"):
        judge.main(command(tmp_path, model, max_new_tokens=4000))
    (model / BUDGET).touch()
    with pytest.raises(UserError, match=r"cannot serve the judge .* reads its budget .*backend to transformers"):
        judge.main(command(tmp_path, model))
    (model / BUDGET).unlink()
    config = json.loads((model / "config.json").read_text()) | {"architectures": ["Strange"]}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"vLLM has no model Strange; set the judge's backend to transformers"):
        judge.main(command(tmp_path, model))
    assert not Judging.made
