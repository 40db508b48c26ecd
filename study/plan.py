"""From a size's config to everything that must be made: data, models, thresholds, runs, evaluations.

An id is a readable name with a hash of what determines the thing, code included; so sizes share what is equal
and nothing is made twice. Importing this module, and planning, load no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sources.problems import check_all
from study.code import code_hash, short_hash
from study.config import ModelSource, Pair, Size, load_size
from study.vocabulary import check_vocabularies
from training.errors import UserError, nearest
from training.folders import ROOT, Folder, find_folders

CONTROLS = {"answer_key": "Answer key", "always_wrong": "Always wrong"}


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
class Made:
    """Data or a model that the study makes: by which module, from which parameters, beside which data."""

    module: str
    params: dict[str, Any]
    data: str = ""


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

    def data_of(self, run: str) -> str:
        """Id of the data of a run's pair."""
        return self.pairs[self.runs[run].pair]["data"]

    def evaluation(self, run: str) -> tuple[str, dict[str, Any]]:
        """Id and parameters of a run's evaluation."""
        this = self.runs[run]
        params: dict[str, Any] = {
            "tests": [test.name for test in self.size.pairs[this.pair].tests],
            **self.size.evaluate.model_dump(),
            "control": this.method if this.method in CONTROLS else None,
        }
        params["seed"] = self.size.evaluate.seed + this.seed
        code = code_hash("evaluation/generate.py", *task_files())
        return f"eval-{short_hash([params, code])}", params

    def summary(self) -> dict[str, Any]:
        """What the tables must know besides the measurements."""
        pairs = {name: self._describe(name, pair) for name, pair in self.size.pairs.items()}
        runs = [
            {**run.row(), "evaluation": self.evaluation(run.id)[0], "trained": bool(run.params)}
            for run in self.runs.values()
        ]
        return {"size": self.name, "title": self.size.title, "note": self.size.note, "pairs": pairs, "runs": runs}

    def _describe(self, name: str, pair: Pair) -> dict[str, Any]:
        ids = self.pairs[name]
        tests = [test.model_dump() for test in pair.tests]
        described = {"student": ids["student"], "teacher": ids["teacher"], "tests": tests}
        described["threshold"] = f"results/thresholds/{ids['threshold']}.json"
        return {**described, "reading": self.size.threshold.reading, "regime": pair.regime.model_dump(mode="json")}


def task_files() -> list[str]:
    """Files that define the evaluation tasks, relative to the repository."""
    files = [f for f in (ROOT / "evaluation" / "tasks").rglob("*") if f.suffix in {".yaml", ".py"}]
    return sorted(str(f.relative_to(ROOT)) for f in files)


def make_plan(name: str, data_root: str | None = None) -> Plan:
    """The plan of `config/<name>.yaml`; raises `UserError` before anything is computed.

    `data_root` takes the place of the size's own `data.root`: the folder with local copies of real data sets.
    """
    size = load_size(name)
    where = f"config/{name}.yaml"
    folders = find_folders(tuple(size.methods_path))
    for method in size.methods:
        if method not in folders:
            raise UserError(f"{where}: there is no method '{method}'; {nearest(method, folders)}")
    plan = Plan(name, size)
    for pair_name, pair in size.pairs.items():
        check_vocabularies(pair_name, pair, where)
        _add_pair(plan, pair_name, pair, data_root or size.data_root)
        _add_references(plan, pair_name, pair)
        _add_threshold(plan, pair_name, folders)
        for method, overrides in size.methods.items():
            for run in _method_runs(plan, pair_name, folders[method], overrides or {}, where):
                plan.runs[run.id] = run
    return plan


def _add_pair(plan: Plan, name: str, pair: Pair, root: str | None) -> None:
    world, real = pair.data.world, pair.data.problems
    if real is not None and root is not None:
        real = real.model_copy(update={"root": root})
    module = "world.write" if real is None else "sources.problems"
    params = (real or world).model_dump(mode="json")  # type: ignore[union-attr]
    data = f"{name}-{short_hash([params, code_hash(_file(module))])}"
    if real is not None and not Path(f"results/data/{data}").is_dir():
        check_all(real)
    plan.data[data] = Made(module, params)
    plan.pairs[name] = {"data": data}
    plan.pairs[name]["teacher"] = _add_model(plan, f"{name}-teacher", pair.teacher, data)
    plan.pairs[name]["student"] = _add_model(plan, f"{name}-student", pair.student, data)


def _add_model(plan: Plan, name: str, source: ModelSource, data: str) -> str:
    """Register a model to be made and return its folder; a pretrained one is used where it is."""
    if source.pretrained is not None:
        return source.pretrained
    module, recipe = ("sources.smollm2", source.smollm2) if source.smollm2 else ("training.make_model", source.world)
    assert recipe is not None
    params = recipe.model_dump(mode="json")
    model = f"{name}-{short_hash([params, data, code_hash(_file(module))])}"
    plan.models[model] = Made(module, params, data)
    return f"results/models/{model}"


def _file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _add_references(plan: Plan, pair: str, content: Pair) -> None:
    """Teacher, student before training, and controls that bound every metric."""
    ids = plan.pairs[pair]
    found = [("teacher", "Teacher", ids["teacher"], -20), ("student", "Student before", ids["student"], -10)]
    for method, label, policy, place in found:
        run = Run(f"{pair}-{method}-{short_hash([policy, ids['teacher']])}", pair, "reference", method, label,
                  order=place, policy=policy)  # fmt: skip
        plan.runs[run.id] = run
    for control, label in CONTROLS.items():
        run = Run(f"{pair}-{control}-{short_hash(ids)}", pair, "control", control, label, order=900)
        plan.runs[run.id] = run
    if content.student.world is not None:
        source = ModelSource(world=content.student.world.model_copy(update={"steps": 0}))
        policy = _add_model(plan, f"{pair}-random", source, ids["data"])
        run = Run(f"{pair}-random-{short_hash([policy, ids])}", pair, "control", "random", "Random policy",
                  order=910, policy=policy)  # fmt: skip
        plan.runs[run.id] = run


def _add_threshold(plan: Plan, pair: str, folders: dict[str, Folder]) -> None:
    """Given, or a quantile of the validation KLs of a pure-KL run: GKD with the study's first seed."""
    threshold = plan.size.threshold
    content: dict[str, Any] = {"d": threshold.d, "calibrate": threshold.calibrate, "reading": threshold.reading}
    if threshold.calibrate is not None:
        overrides = plan.size.methods.get("gkd", {})
        run = _method_runs(plan, pair, folders["gkd"], overrides, "threshold")[0]
        plan.runs.setdefault(run.id, run)
        content["run"] = run.id
    plan.pairs[pair]["threshold"] = f"{pair}-{short_hash(content)}"
    plan.thresholds[plan.pairs[pair]["threshold"]] = content


def _method_runs(plan: Plan, pair: str, folder: Folder, overrides: dict[str, Any], where: str) -> list[Run]:
    """One run per setting, learning rate and seed."""
    rates = overrides.get("lr", plan.size.train.lr)
    rates = rates if isinstance(rates, list) else [rates]
    own = {key: value for key, value in overrides.items() if key != "lr"}
    varied = [key for key, value in own.items() if isinstance(value, list)]
    runs = []
    for settings in folder.grid(own, where):
        for lr in rates:
            shown = [folder.describe(settings, varied)] + ([f"lr={lr:g}"] if len(rates) > 1 else [])
            setting = ", ".join(text for text in shown if text)
            train = {**plan.size.train.model_dump(), "lr": _rate(lr, where, folder.name)}
            for seed in plan.size.seeds:
                runs.append(_run(plan, pair, folder, settings, setting, train, seed))
    return runs


def _rate(lr: Any, where: str, method: str) -> float:
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr <= 1:
        raise UserError(f"{where}: 'lr' of method '{method}' is {lr!r}, but must be a number in (0, 1]; change it")
    return float(lr)


def _run(
    plan: Plan, pair: str, folder: Folder, settings: dict[str, Any], setting: str, train: dict[str, Any], seed: int
) -> Run:
    needs, ids = folder.declares.needs, plan.pairs[pair]
    inputs = {name: ids[name] for name in ("data", "student", "teacher")}
    inputs |= {"threshold": ids["threshold"]} if needs.threshold else {}
    params = {
        "method": folder.name, "settings": settings, "seed": seed, "train": train, "inputs": inputs,
        "methods_path": [str(path) for path in plan.size.methods_path],
        "code": code_hash("training/train.py", str(folder.path / "method.py")),
    }  # fmt: skip
    plain = "".join(c if c.isalnum() or c in ".=" else "-" for c in setting.replace("λ", "lambda")).strip("-")
    parts = (pair, folder.name, plain, f"s{seed}", short_hash([params, needs.model_dump()]))
    name = "-".join(part for part in parts if part)
    return Run(
        name, pair, "method", folder.name, folder.declares.label, setting, seed, folder.declares.order,
        folder.declares.objective, {"run": name, **params}, f"results/runs/{name}/policy", inputs.get("threshold", ""),
    )  # fmt: skip
