"""What a study consists of, by id: data, models, thresholds, runs, evaluations. `study.plan` makes it of a config."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from study.code import code_hash, short_hash
from study.config import Pair, Size

CONTROLS = {"answer_key": "Answer key", "always_wrong": "Always wrong"}
# What lm-eval reads beside the modules that `evaluation.generate` imports.
TASK_FILES = tuple(f"evaluation/tasks/{name}" for name in ("_base.yaml", "greedy.yaml", "sampled.yaml", "strict.py"))


@dataclass(frozen=True)
class Made:
    """Data or a model that the study makes: by which module, from which parameters, beside which data."""

    module: str
    params: dict[str, Any]
    data: str = ""


@dataclass(frozen=True)
class Run:
    """One row of the study: a trained policy, a reference model or a control."""

    id: str
    pair: str
    kind: str
    method: str
    label: str
    setting: str = ""
    seed: int = 0
    order: int = 0
    objective: str = "reward"
    params: dict[str, Any] = field(default_factory=dict)  # for training; empty where nothing is trained
    policy: str = ""  # model folder or name; empty for a control without a model
    threshold: str = ""  # id of the threshold that training needs; empty where it needs none

    def row(self) -> dict[str, Any]:
        """What tables know of the run."""
        names = ("pair", "kind", "method", "setting", "label", "seed", "order", "objective")
        return {"run": self.id, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class Ablated:
    """The runs of one ablation, the files of their thresholds, and what its tables must know of them."""

    runs: list[str]
    thresholds: list[str]
    params: dict[str, Any]


@dataclass
class Plan:
    """All that a size needs, by id; the workflow's rules look their parameters up here."""

    name: str
    size: Size
    data: dict[str, Made] = field(default_factory=dict)
    models: dict[str, Made] = field(default_factory=dict)
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    pairs: dict[str, dict[str, str]] = field(default_factory=dict)  # pair -> ids of data, student, teacher, threshold
    tabled: list[str] = field(default_factory=list)  # ids of the runs of the size's tables; ablations have others too
    ablations: dict[str, Ablated] = field(default_factory=dict)

    def data_of(self, run: str) -> str:
        """Id of the data of a run's pair."""
        return self.pairs[self.runs[run].pair]["data"]

    def evaluation(self, run: str) -> tuple[str, dict[str, Any]]:
        """Id and parameters of a run's evaluation."""
        this = self.runs[run]
        params: dict[str, Any] = {
            "tests": [test.name for test in self.size.pairs[this.pair].tests],
            **self.size.evaluate_of(this.pair).model_dump(),
            "control": this.method if this.method in CONTROLS else None,
        }
        params["seed"] = self.size.evaluate.seed + this.seed
        if (this.kind, this.method) == ("reference", "student"):  # stopped where its trained successors are
            params["ends_of"] = self.pairs[this.pair]["teacher"]
        if params["control"] or params["engine"] == "transformers":
            del params["engine"]  # the default, and what a control does, have no engine in their ids
        code = code_hash("evaluation/generate.py", *TASK_FILES)
        return f"eval-{short_hash([params, code])}", params

    def fingerprint(self) -> str:
        """Hash of the ids of all runs and their evaluations: of what is made, and by which code."""
        return short_hash({run: self.evaluation(run)[0] for run in self.runs})

    def chosen(self, ablation: str = "") -> list[Run]:
        """The runs of the size's tables, or those of one ablation."""
        return [self.runs[run] for run in (self.ablations[ablation].runs if ablation else self.tabled)]

    def summary(self, ablation: str = "") -> dict[str, Any]:
        """What the tables, or those of one ablation, must know besides the measurements."""
        pairs = {name: self._describe(name, pair) for name, pair in self.size.pairs.items()}
        runs = [
            {**run.row(), "evaluation": self.evaluation(run.id)[0], "trained": bool(run.params)}
            for run in self.chosen(ablation)
        ]
        return {"size": self.name, "title": self.size.title, "note": self.size.note, "pairs": pairs, "runs": runs}

    def judging(self, judge: str) -> dict[str, Any]:
        """Parameters of a judge's job: its settings, and the runs of the size's tables that answer by themselves."""
        keys = ("run", "pair", "kind", "method", "setting", "label", "seed")
        runs = [
            {**{key: run.row()[key] for key in keys}, "evaluation": self.evaluation(run.id)[0]}
            for run in self.chosen()
            if run.kind != "control"
        ]
        settings = self.size.judges[judge].model_dump(mode="json")
        if settings["local"]:
            settings["local"]["model"] = self.judge_model(judge)
        return {"name": judge, **settings, "runs": runs}

    def judge_model(self, judge: str) -> str:
        """Folder or hub name of a local judge, "" of an endpoint; `<pair>.teacher` is that pair's teacher."""
        local = self.size.judges[judge].local
        if local is None:
            return ""
        own = self.size.own_model(local.model)
        return self.pairs[own[0]][own[1]] if own else local.model

    def _describe(self, name: str, pair: Pair) -> dict[str, Any]:
        ids = self.pairs[name]
        tests = [test.model_dump() for test in pair.tests]
        described = {"student": ids["student"], "teacher": ids["teacher"], "tests": tests}
        described["threshold"] = f"results/thresholds/{ids['threshold']}.json"
        described["data"] = ids["data"].removeprefix(f"{name}-")  # equal where two pairs have the same problems
        return {**described, "reading": self.size.threshold.reading, "regime": pair.regime.model_dump(mode="json")}
