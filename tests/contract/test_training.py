"""What every method folder must keep, also one with its own trainer: it is complete, and three real updates work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from training import train
from training.folders import ROOT, Folder
from world import tokenizer

STEPS, QUESTIONS, SAMPLES = 3, 2, 4

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a student, a teacher and a threshold, all tiny; some responses are within d and some beyond it."""
    path = tmp_path_factory.mktemp("world")
    words = tokenizer.build()
    for seed, name in ((1, "student"), (2, "teacher")):
        tiny.llama(seed, vocab=len(words)).save_pretrained(path / name)
        words.save_pretrained(path / name)
    texts = [f"{i} pens lie in a box ." for i in range(10)]
    made = [{"id": t, "question": t, "prompt": t, "answer": t[0], "solution": f"#### {t[0]}"} for t in texts]
    for name, rows in (("train", made[:5]), ("validation", made[5:])):
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "threshold.json").write_text(json.dumps({"d": 1.4}))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(path: Path) -> torch.Tensor:
    return torch.cat([w.flatten() for _, w in sorted(load_file(path / "model.safetensors").items())])


def run(folder: Folder, world: Path, out: Path, seed: int = 0, checkpoints: Path | None = None, **budget: Any) -> None:
    """The command line of a training run."""
    train_settings = {"steps": STEPS, "questions": QUESTIONS, "samples": SAMPLES, "max_new_tokens": 6, "lr": 1e-3}
    params = {
        "run": "contract", "method": folder.name, "settings": folder.grid({}, "contract")[0], "seed": seed,
        "train": {**train_settings, "monitor_every": 2, **budget},
        "methods_path": [] if folder.path.parent == ROOT / "methods" else [str(folder.path.parent)],
    }  # fmt: skip
    given = {"params": json.dumps(params), "data": world, "student": world / "student", "teacher": world / "teacher"}
    given |= {"threshold": world / "threshold.json"} if folder.declares.needs.threshold else {}
    given |= {"checkpoints": checkpoints} if checkpoints else {}
    train.main([text for name, value in {**given, "out": out}.items() for text in (f"--{name}", str(value))])


def test_the_folder_is_complete(folder: Folder) -> None:
    for file in ("method.py", "README.md", "cite.bib"):
        assert (folder.path / file).is_file(), f"{folder.path / file} is missing; copy the one of methods/_template"
    count = (folder.path / "method.py").read_text().count("\n")
    assert count <= 150, f"{folder.path / 'method.py'} has {count} lines; a method has at most 150"
    readme, citation = ((folder.path / file).read_text() for file in ("README.md", "cite.bib"))
    for part, what in (("\n    ", "an equation (a line indented by four)"), ("\nSource: ", "a line 'Source: ...'"),
                       ("| detail |", "a table of details: kept, changed or dropped")):  # fmt: skip
        assert part in readme, f"{folder.path / 'README.md'} lacks {what}; see methods/_template/README.md"
    assert "@" in citation, f"{folder.path / 'cite.bib'} has no entry; give the source, or what the method builds on"
    for name in folder.declares.settings:
        assert f"`{name}`" in readme, f"{folder.path / 'README.md'} does not explain the setting `{name}`; add a row"


def samples_alone(folder: Folder) -> bool:
    """Whether no update takes the data set's solutions in place of samples."""
    return folder.own_train() is not None or folder.load()(folder.grid({}, "contract")[0], 0.5).data_share == 0


@pytest.mark.parametrize("micro", [None, 1], ids=["whole", "micro-batches"])
def test_three_updates_leave_what_a_run_leaves(folder: Folder, micro: int | None, world: Path, tmp_path: Path) -> None:
    run(folder, world, tmp_path, micro_questions=micro)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "ok", f"{folder.path / 'method.py'}: training fails: {record['why']}"
    log, cost = lines(tmp_path / "train.jsonl"), json.loads((tmp_path / "cost.json").read_text())
    assert [row["step"] for row in log] == [1, 2, 3]
    expected = {"length", "loss", "grad_norm", *folder.declares.statistics}
    for row in log:
        missing = sorted(expected - row.keys())
        assert not missing, f"{folder.path / 'method.py'}: train.jsonl lacks {missing}; report them at every update"
    assert [row["step"] for row in lines(tmp_path / "curves.jsonl")] == [0, 2, 3]
    assert cost["steps"] == STEPS
    assert cost["prompts"] == STEPS * QUESTIONS
    tokens = sum(row["length"] for row in log) * QUESTIONS * SAMPLES
    if samples_alone(folder):
        assert cost["tokens_generated"] == pytest.approx(tokens, abs=0.01)
    else:
        assert cost["tokens_generated"] <= tokens
    assert (cost["teacher_tokens"] > 0) == folder.declares.needs.teacher, (
        f"{folder.path / 'method.yaml'}: needs.teacher is {folder.declares.needs.teacher}, but the run's cost has "
        f"{cost['teacher_tokens']} tokens of the teacher"
    )
    assert cost["wall_s"] == pytest.approx(cost["generate_s"] + cost["student_s"] + cost["teacher_s"])


def test_a_seed_repeats_and_another_differs(folder: Folder, world: Path, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("first", "again", "other")]
    for out, seed in zip(outs, (0, 0, 1), strict=True):
        out.mkdir()
        run(folder, world, out, seed=seed, steps=2)
    first, again = (weights(out / "policy") for out in outs[:2])
    assert torch.equal(first, again), (
        f"{folder.path / 'method.py'}: the same seed gives another policy (by {(first - again).abs().max():.2g}); "
        "draw random numbers from torch's global state only, which the loop seeds at every update"
    )
    assert (outs[0] / "train.jsonl").read_text() != (outs[2] / "train.jsonl").read_text()
    assert (outs[0] / "train.jsonl").read_text() == (outs[1] / "train.jsonl").read_text()


@pytest.mark.needs_loss
def test_a_stopped_run_goes_on_where_it_was(
    folder: Folder, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the checkpoint of the second of three updates. Rewards differ within a group."""
    for module in ("training.monitor", "training.answers"):
        monkeypatch.setattr(f"{module}.is_correct", lambda text, answer: len(text) % 2 == 0)
    for name in ("LEAST_S", "SHARE"):
        monkeypatch.setattr(f"training.checkpoint.{name}", 0.0)
    run(folder, world, tmp_path / "undisturbed")
    out, kept = tmp_path / "stopped", tmp_path / "checkpoints"
    save = train.save_policy
    monkeypatch.setattr(train, "save_policy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(folder, world, out, checkpoints=kept)
    monkeypatch.setattr(train, "save_policy", save)
    shutil.rmtree(kept / "step-00000003")
    run(folder, world, out, checkpoints=kept)
    for file in ("policy/model.safetensors", "train.jsonl", "curves.jsonl"):
        assert (out / file).read_bytes() == (tmp_path / "undisturbed" / file).read_bytes(), (
            f"{folder.path / 'method.py'}: stopped after two updates and gone on from its checkpoint, the run gives "
            f"another {file}; return all that changes from update to update in state_dict, and take it up again in "
            "load_state_dict"
        )
    assert not kept.exists()


def interrupt(*_: object) -> None:
    """In place of saving the policy: what Ctrl-C does."""
    raise KeyboardInterrupt


def test_an_update_changes_the_policy_and_not_the_student_it_started_from(
    folder: Folder, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rewards that differ within a group, so that every method has something to learn."""
    before = weights(world / "student")
    right = iter(range(10**6))
    for module in ("training.monitor", "training.answers"):
        monkeypatch.setattr(f"{module}.is_correct", lambda text, answer: next(right) % 2 == 0)
    run(folder, world, tmp_path)
    assert torch.equal(weights(world / "student"), before)
    moved = (weights(tmp_path / "policy") - before).abs().max().item()
    assert 1e-4 < moved < STEPS * 1.5e-3, (
        f"{folder.path / 'method.py'}: three updates moved the weights by up to {moved:.2g}; AdamW moves each by about "
        "the learning rate (0.001) an update, so does the gradient reach the student, and through the loop alone?"
    )
