"""What goes wrong outside the mathematics: a method that raises, memory, a full or unwritable disk, damaged files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from evaluation.sample_files import read_samples
from study import threshold
from tests.resumable import Study
from training import checkpoint, files, train
from training.cost import Cost
from training.errors import TrainingFailed, UserError, cli
from training.failures import Watched
from training.monitor import Monitor

OUTPUTS = ("policy", "run.json", "train.jsonl", "curves.jsonl", "cost.json")
HEAD = '''"""A method that fails in its second update."""
from training.method import Method as Base
class Failure(Exception): pass
'''
IN_LOSS = (
    HEAD
    + """
class Method(Base):
    calls = 0
    def loss(self, batch):
        self.calls += 1
        if self.calls > 1:
            {fault}
        return batch.mean(batch.logp).mean(), {{}}
"""
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Tiny models and data."""
    return Study(tmp_path_factory.mktemp("study"))


def run_method(study: Study, code: str, folder: Path) -> dict[str, str]:
    """The record of a run of a stranger's method, which must leave every output that Snakemake waits for."""
    method = folder / "methods" / "mine"
    method.mkdir(parents=True)
    (method / "method.py").write_text(code)
    (method / "method.yaml").write_text("label: Mine\nneeds: {teacher: false, threshold: false}\n")
    arguments = study.training("cmdp", folder / "out")
    params = json.loads(arguments[1])
    params |= {"method": "mine", "settings": {}, "methods_path": [str(method.parent)]}
    train.main(["--params", json.dumps(params), *arguments[2:]])
    for name in OUTPUTS:
        assert (folder / "out" / name).exists(), f"{name} is missing"
    assert list((folder / "out" / "policy").iterdir()) == []
    record: dict[str, str] = json.loads((folder / "out" / "run.json").read_text())
    return record


def test_the_monitor_asks_validation_prompts_alone(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    measure = Monitor.measure
    monkeypatch.setattr(
        Monitor, "measure", lambda self, *of: asked.append([p["id"] for p in self.problems]) or measure(self, *of)
    )
    train.main(study.training("grpo", tmp_path, monitor_prompts=2))
    held = [json.loads(line)["id"] for line in (study.world / "validation.jsonl").read_text().splitlines()]
    assert asked
    assert all(ids == held[:2] for ids in asked)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (IN_LOSS.format(fault="{}['beta']"), "KeyError at step 2: 'beta' (mine/method.py, line 10)"),
        (IN_LOSS.format(fault="raise Failure"), "Failure at step 2: no message (mine/method.py, line 10)"),
        (IN_LOSS.format(fault="raise SystemExit(0)"), "SystemExit at step 2: 0 (mine/method.py, line 10)"),
        (IN_LOSS.format(fault="open('/nowhere')"), "FileNotFoundError at step 2: [Errno 2] No such file or directory"),
        (IN_LOSS.format(fault="return batch.logp.mean() * float('nan'), {}"), "the loss is nan at step 2"),
        (IN_LOSS.format(fault="return batch.logp.mean(), {'kl': float('nan')}"), "the kl is nan at step 2"),
        (
            IN_LOSS.format(fault="raise RuntimeError('CUDA out of memory. Tried')"),
            "out of memory at step 2 (CUDA out of",
        ),
        (IN_LOSS.format(fault="raise MemoryError"), "set train.micro_tokens (or micro_questions) lower"),
        (IN_LOSS.format(fault="batch.logp.view(7, -1, 11)"), "RuntimeError at step 2: "),
        (HEAD + "def train(run):\n    raise Failure('no')\n", "Failure at step 1: no (mine/method.py, line 5)"),
        (HEAD + "class Method(Base):\n    def __init__(self):\n        pass\n", "TypeError at step 1: "),
    ],
    ids=[
        "key",
        "own-class",
        "exit",
        "file",
        "nan",
        "nan-statistic",
        "gpu-memory",
        "memory",
        "shape",
        "own-trainer",
        "signature",
    ],
)
def test_a_method_that_raises_is_a_failed_run_with_step_cause_and_place(
    study: Study, code: str, why: str, tmp_path: Path
) -> None:
    record = run_method(study, code, tmp_path)
    assert record["status"] == "failed"
    assert why in record["why"]
    assert "\n" not in record["why"]
    assert str(tmp_path) not in record["why"], "the tables would name a folder of this machine"


@pytest.mark.parametrize(
    ("said", "kind"),
    [("CUDA error: an illegal memory access was encountered", RuntimeError),
     ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", RuntimeError),
     ("InductorError: RuntimeError: Failed to find C compiler. Please specify via CC", RuntimeError),
     ("CUDA error: device-side assert triggered", TrainingFailed),
     ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", TrainingFailed)],
)  # fmt: skip
def test_trouble_with_the_device_is_no_result_of_the_method(said: str, kind: type[Exception]) -> None:
    """But for a wrong index, which a GPU reports the same way, and for its memory."""
    with pytest.raises(kind, match=r"CUDA|cuDNN|C compiler"), Watched(Path("methods/cmdp"), Cost()):
        raise RuntimeError(said)


def test_an_interrupt_ends_the_job() -> None:
    """It is the user's, and no result of the method."""
    with pytest.raises(KeyboardInterrupt), Watched(Path("methods/cmdp"), Cost()):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("monitored", "remedy"),
    [(False, "it was sampling: set train.questions, samples or max_new_tokens lower"),
     (True, "it was measuring validation prompts: set train.monitor_prompts lower")],
)  # fmt: skip
def test_the_remedy_fits_where_the_memory_ran_out(
    monitored: bool, remedy: str, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Micro-batches would be of no help to either."""

    def full(*_: object, **more: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.generation.GenerationMixin.generate", full)
    if not monitored:
        monkeypatch.setattr(Monitor, "measure", lambda self, student, step: {"step": step, "kl_mean": [0.0]})
    train.main(study.training("gkd", tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"] == "failed"
    assert remedy in record["why"]


def test_no_threshold_is_calibrated_from_a_run_that_failed(tmp_path: Path) -> None:
    (tmp_path / "curves.jsonl").write_text('{"step": 25, "kl_mean": [0.1, 0.9]}\n')
    (tmp_path / "run.json").write_text('{"status": "failed", "why": "the loss is nan at step 26"}')
    params = '{"calibrate": 0.9, "run": "gkd"}'
    with pytest.raises(UserError, match=r"nan at step 26\): no d can"):
        threshold.main(["--params", params, "--curves", str(tmp_path / "curves.jsonl"), "--out", str(tmp_path / "d")])


def sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says as it ends with exit code 2, its last line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        cli(lambda _: train.main(arguments))
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_a_full_disk_is_one_sentence_and_no_result(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run goes on where it was once there is space."""
    monkeypatch.setattr(checkpoint, "LEAST_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0.0)
    out, kept = tmp_path / "out", tmp_path / "checkpoints"
    arguments = study.training("cmdp", out, kept)
    with monkeypatch.context() as full:
        append = train._append
        written = iter(range(100))
        full.setattr(train, "_append", lambda *a: append(*a) if next(written) < 5 else append(Path("/dev/full"), a[1]))
        said = sentence(arguments, capsys)
    assert said == "error: No space left on device; free disk space and start again: what is finished is kept"
    assert not (out / "run.json").exists()
    assert len(list(kept.iterdir())) == 2
    train.main(arguments)
    assert "goes on after step" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text())["status"] == "ok"


def test_a_checkpoint_that_cannot_be_written_stops_nothing(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoint, "LEAST_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0.0)
    monkeypatch.setattr(checkpoint, "flush", full)
    train.main(study.training("cmdp", tmp_path / "out", tmp_path / "checkpoints"))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "ok"
    assert "no checkpoint at step 1 ([Errno 28] No space left on device" in capsys.readouterr().err


def test_a_read_only_folder_is_one_sentence(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody may make a folder in /sys, root included."""
    said = sentence(study.training("cmdp", Path("/sys/results/run")), capsys)
    assert said.startswith("error: /sys/results: ")
    assert "writable and start again" in said


def written(path: Path) -> Path:
    """A sample file of three rows as evaluation.generate leaves it."""
    row = {"test": "same", "decoding": "sampled", "prompt_id": "same-0", "prompt": "p", "answer": "9",
           "response": "#### 9", "tokens": [5, 1], "finished": True}  # fmt: skip
    files.write_whole(path, "".join(json.dumps({**row, "sample": i}) + "\n" for i in range(3)))
    files.write_whole(files.sum_file(path), f"{files.digest(path)}  {path.name}\n")
    return path


def test_whole_samples_are_read(tmp_path: Path) -> None:
    assert [row["sample"] for row in read_samples(written(tmp_path / "samples.jsonl"))] == [0, 1, 2]


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[: 2 * len(text) // 3], lambda text: text.replace("#### 9", "#### 8")],
    ids=["cut", "changed"],
)
def test_damaged_samples_are_named_with_the_remedy(damage: object, tmp_path: Path) -> None:
    """Every line that is left is JSON: only the checksum tells."""
    path = written(tmp_path / "samples.jsonl")
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(UserError, match=f"its sha256 differs from .*; delete {tmp_path} and run make"):
        read_samples(path)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "train.jsonl", "curves.jsonl", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_any_damage_to_a_checkpoint_is_found(name: str, damage: str, tmp_path: Path) -> None:
    """The one before is used, and said."""
    import torch

    logs = (tmp_path / "train.jsonl", tmp_path / "curves.jsonl")
    for log in logs:
        log.write_text('{"step": 1}\n')
    kept = checkpoint.Checkpoints(tmp_path / "kept", {"run": "a"}, logs)
    for step in (1, 2, 3):
        kept.save(step, {"weight": torch.full((4,), float(step))}, {"more": step})
    path = tmp_path / "kept" / "step-00000003" / name
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content[:-3] + b"#" + content[-2:])
    saved = kept.newest()
    assert saved is not None
    assert saved.step == saved.facts["more"] == 2
    assert saved.tensors["weight"].tolist() == [2.0] * 4
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-00000002"]
