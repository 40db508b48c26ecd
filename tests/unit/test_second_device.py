"""Training and evaluation on a device that is not the CPU: the same results, nothing left behind on the wrong one.

Attention and sums take other kernels there, hence tolerances; what is sampled is the same.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.pairs import TINY, budget, llama, our_trainer
from benchmarks.timing import Bench
from evaluation.judge.local import Local
from evaluation.judge.settings import LocalJudge
from sources import smollm2
from tests.killing import state_of
from tests.resumable import STEPS, Study
from tests.second_device import DEVICE, present
from training import train
from training.checkpoint import Saved
from training.folders import find_folders
from training.models import load_policy, load_tokenizer
from training.state import restore, snapshot

OWN_LOOP = [name for name, folder in find_folders().items() if folder.own_train() is None]
REFUSED = "tensors on lazy:0 and on cpu"


@pytest.fixture(autouse=True)
def comparable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same attention on both devices, and rewards that differ, so that every method has something to learn."""
    monkeypatch.setattr("training.monitor.is_correct", lambda text, answer: zlib.crc32(text.encode()) % 2 == 0)
    with sdpa_kernel(SDPBackend.MATH):
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


FLOAT = {"dtype": "float32"}  # in bfloat16 another order of a sum already gives another sample


def assert_same_run(there: Path, here: Path) -> None:
    """Logs and curves to a thousandth, and the students' weights."""
    for name in train.LOGS:
        pairs = zip(*((folder / name).read_text().splitlines() for folder in (there, here)), strict=True)
        for ours, theirs in pairs:
            assert json.loads(ours) == {k: pytest.approx(v, 1e-3, 1e-5) for k, v in json.loads(theirs).items()}
    ours, theirs = (load_file(folder / "policy" / "model.safetensors") for folder in (there, here))
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-2, atol=1e-3)


def test_what_a_gpu_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here = torch.arange(3.0)
    with present(monkeypatch):
        there = here.to(DEVICE)
        assert there.device == DEVICE
        assert (there + torch.tensor(1.0)).cpu().tolist() == [1, 2, 3]
        assert there[torch.tensor([2])].tolist() == [2]
        with pytest.raises(RuntimeError, match=REFUSED):
            there + here
        with pytest.raises(RuntimeError, match=REFUSED):
            here[there.long()] = 1.0
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()


@pytest.mark.parametrize(("method", "tile"), [*((name, 5) for name in OWN_LOOP), ("cmdp", None)])
def test_training_gives_the_same_results(
    method: str, tile: int | None, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a `tile`, probabilities are computed in pieces of as many tokens."""
    if tile:
        monkeypatch.setattr("training.chunks.TILE", 1)
        monkeypatch.setattr("training.chunks.LEAST_ROWS", tile)
    train.main(study.training(method, tmp_path / "here", **FLOAT, steps=3))
    with present(monkeypatch):
        train.main(study.training(method, tmp_path / "there", **FLOAT, steps=3))
    assert_same_run(tmp_path / "there", tmp_path / "here")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_is_gone_on_from(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.checkpoint.LEAST_S", 0.0)
    monkeypatch.setattr("training.checkpoint.SHARE", 0.0)
    train.main(study.training("dual_lagrangian", tmp_path / "here", **FLOAT))
    again = study.training("dual_lagrangian", tmp_path / "there", kept := tmp_path / "checkpoints", **FLOAT)
    with present(monkeypatch):
        with monkeypatch.context() as stopped:
            stopped.setattr("training.train.save_policy", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train.main(again)
        shutil.rmtree(kept / f"step-{STEPS:08}")
        train.main(again)
    assert_same_run(tmp_path / "there", tmp_path / "here")


def test_a_checkpoint_of_a_cpu_serves_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no random state of a GPU."""
    bench = Bench(torch.device("cpu"), quick=True)
    models = llama(TINY, bench, 1), llama(TINY, bench, 2, teacher=True)
    trainer = our_trainer("gkd", *models, budget(TINY, bench, 8, 1))
    trainer.update(0)
    tensors, facts = snapshot(trainer)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert restore(trainer, Saved(1, tensors, facts, {})) == 1


def test_evaluation_gives_the_same_bits(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("generate", "score"):
        module, arguments = study.command(name, here, samples=here)
        import_module(module).main(arguments)
        with present(monkeypatch):
            import_module(module).main(study.command(name, there, samples=there)[1])
    assert state_of(there) == state_of(here)


def test_a_model_is_fine_tuned_there(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model in place of SmolLM2."""
    monkeypatch.setattr(smollm2, "weights", lambda: Path("unused.gguf"))
    used, params = [], json.dumps({"sft_steps": 3, "batch": 2, "dtype": "float32"})

    def make(name: str) -> dict[str, torch.Tensor]:
        model = load_policy(study.student, device=torch.device("cpu"))
        model.model.register_forward_hook(lambda *given: used.append(given[-1].last_hidden_state.device.type))
        monkeypatch.setattr(smollm2, "load", lambda file: (model, load_tokenizer(study.student)))
        smollm2.main(["--params", params, "--data", str(study.world), "--out", str(tmp_path / name)])
        return load_file(tmp_path / name / "model.safetensors")

    here = make("here")
    with present(monkeypatch):
        there = make("there")
    assert used == ["cpu"] * 3 + [DEVICE.type] * 3
    for name, weight in here.items():
        torch.testing.assert_close(there[name], weight, rtol=1e-2, atol=1e-3)


def test_a_local_judge_gives_the_same_replies(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LocalJudge(backend="transformers", model=str(study.student), max_new_tokens=5, batch=2)
    prompts = {"a": "Ann has 7 pens", "b": "Ben has 3 coins , how many now ?", "c": "pens"}
    here = dict(Local(settings).replies(prompts, lambda key, reply: None))
    with present(monkeypatch):
        assert dict(Local(settings).replies(prompts, lambda key, reply: None)) == here
