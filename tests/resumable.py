"""A study of tiny models whose jobs can be killed and started again, and what they leave undisturbed."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from tests.killing import Kill, job, state_of
from tests.unit.synthetic import write_collected
from tests.unit.tiny_models import tiny_policy, tiny_world
from training.folders import find_folders

STEPS = 6
# Between them: state of the method, float32 copies, teacher-mixed sampling, updates on data, schedules, micro-batches.
BUDGETS = {
    "dual_lagrangian": {"dtype": "bfloat16", "micro_questions": 1, "schedule": "cosine", "warmup": 2},
    "minillm": {"schedule": "linear"},
    "gkd": {"kl_warmup": 1},
    "cmdp": {"weight_decay": 0.1},
}
SETTINGS = {"gkd": {"on_policy": 0.5}}


class Study:
    """Data, a student, a teacher; the state that each job leaves when nothing disturbs it, made when asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.student = tiny_policy(folder / "student", seed=1)
        self.teacher = tiny_policy(folder / "teacher", seed=2)
        self.world = tiny_world(folder / "world")
        (folder / "threshold.json").write_text('{"d": 0.5, "source": "given"}')
        write_collected(folder / "collected", prompts=20, steps=2)
        self.undisturbed = cache(self._undisturbed)

    def training(self, method: str, out: Path, kept: Path | None = None, **train: Any) -> list[str]:
        """The command line of a training run, with checkpoints where `kept` names their folder."""
        folder = find_folders()[method]
        budget = {"steps": STEPS, "questions": 2, "samples": 3, "lr": 1e-2, "max_new_tokens": 6, "monitor_every": 2}
        params = {
            "run": "run", "method": method, "settings": folder.grid(SETTINGS.get(method, {}), "test")[0], "seed": 0,
            "train": {**budget, **BUDGETS.get(method, {}), **train},
        }  # fmt: skip
        given = {"params": json.dumps(params), "data": self.world, "student": self.student, "teacher": self.teacher}
        given |= {"threshold": self.folder / "threshold.json"} if folder.declares.needs.threshold else {}
        given |= {"checkpoints": kept} if kept else {}
        return [text for name, value in {**given, "out": out}.items() for text in (f"--{name}", str(value))]

    def command(self, name: str, out: Path, samples: Path | None = None) -> tuple[str, list[str]]:
        """Module and arguments of an evaluation job that writes into `out`; `samples` are a folder's, for scores."""
        policy, teacher = str(self.student), str(self.teacher)
        if name == "generate":
            params = json.dumps(
                {"tests": ["same", "longer"], "prompts": 4, "samples": 2, "max_new_tokens": 6, "batch": 4}
            )
            given = ["--params", params, "--data", str(self.world), "--policy", policy]
            return "evaluation.generate", [*given, "--out", str(out / "samples.jsonl")]
        if name == "score":
            given = ["--samples", str((samples or self._samples()) / "samples.jsonl"), "--policy", policy]
            given += ["--teacher", teacher, "--micro-tokens", "128", "--tokens", str(out / "tokens.jsonl")]
            return "evaluation.score", [*given, "--out", str(out / "scores.parquet")]
        if name == "collect":
            return "evaluation.collect", ["--params", self._one_run(), "--runs", str(self.folder), "--out", str(out)]
        return f"evaluation.{name}.__main__", ["--collected", str(self.folder / "collected"), "--out", str(out)]

    def assert_goes_on(self, method: str, kill: Kill, folder: Path, outputs_removed: bool = True) -> None:
        """Kill a run, start it again as Snakemake does (its outputs removed) or by hand: the undisturbed state."""
        out, log = folder / "run", folder / "log"
        arguments = self.training(method, out, folder / "checkpoints")
        assert job("training.train", arguments, log, kill) == -9, log.read_text()[-2000:]
        done = [int(path.name[-8:]) for path in (folder / "checkpoints").glob("step-*")]
        if outputs_removed:
            shutil.rmtree(out)
        assert job("training.train", arguments, log) == 0, log.read_text()[-2000:]
        if done:
            assert f"goes on after step {max(done)}" in log.read_text()
        assert state_of(out) == self.undisturbed(method)
        assert not (folder / "checkpoints").exists()

    def assert_repeats(self, name: str, kill: Kill, folder: Path) -> None:
        """Kill an evaluation job and start it again: the undisturbed state."""
        module, arguments = self.command(name, folder / "out")
        assert job(module, arguments, folder / "log", kill) == -9, (folder / "log").read_text()[-2000:]
        assert job(module, arguments, folder / "log") == 0, (folder / "log").read_text()[-2000:]
        assert state_of(folder / "out") == self.undisturbed(name)

    def _undisturbed(self, name: str) -> dict[str, str]:
        """The state after a method's run, without checkpoints, or after an evaluation job."""
        out, log = self.folder / f"undisturbed-{name}", self.folder / f"{name}.log"
        command = ("training.train", self.training(name, out)) if name in BUDGETS else self.command(name, out)
        assert job(*command, log) == 0, log.read_text()[-2000:]
        return state_of(out)

    def _samples(self) -> Path:
        self.undisturbed("generate")
        return self.folder / "undisturbed-generate"

    def _one_run(self) -> str:
        self.undisturbed("cmdp")
        self.undisturbed("score")
        run, scores = self.folder / "undisturbed-cmdp", self.folder / "undisturbed-score" / "scores.parquet"
        shutil.copy2(scores, run / "scores.parquet")
        pair = {"student": "s", "teacher": "t", "threshold": {"d": 0.5, "source": "given"}, "reading": "mean",
                "tests": [{"name": "same", "title": "Same"}]}  # fmt: skip
        about = {"pair": "p", "kind": "method", "method": "cmdp", "setting": "", "label": "CMDP", "seed": 0, "order": 1}
        runs = [{"run": run.name, **about}]
        return json.dumps({"size": "tiny", "title": "Tiny", "note": "", "pairs": {"p": pair}, "runs": runs})
