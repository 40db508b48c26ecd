"""From a size's config to everything that must be made: data, models, thresholds, runs, evaluations.

An id is a readable name with a hash of what determines the thing, code included; so sizes share what is equal
and nothing is made twice. Importing this module, and planning, load no torch.
"""

from __future__ import annotations

from os.path import normpath
from pathlib import Path
from typing import Any

from evaluation.names import namesakes, row_name
from sources.architectures import published
from sources.problems import asked_split, check_all, usable_problems
from sources.rows import content, is_here
from sources.settings import ProblemData, ShadowModel
from study.ablations import ablate
from study.code import code_hash, short_hash
from study.config import ROLES, ModelSource, Pair, check_prompts, load_size
from study.devices import check_device
from study.planned import CONTROLS, Made, Plan, Run
from study.runs import add_threshold, check_shown, method_runs
from study.vocabulary import check_vocabularies
from training.errors import UserError, nearest
from training.folders import find_folders
from training.method_source import check_source
from training.model_folder import check_model

RESERVED = {"teacher", "student", "random", *CONTROLS}


def asked(config: dict[str, Any]) -> tuple[str, str | None]:
    """Size and data root by Snakemake's `--config`, which takes any key and reads 007 as 7: both are a `UserError`."""
    known = ("size", "data_root")
    for key, value in config.items():
        if key not in known:
            raise UserError(f"--config has no key '{key}'; {nearest(key, known)}")
        if not isinstance(value, str) and (key, value) != ("data_root", None):
            raise UserError(
                f"--config: Snakemake reads '{key}' as {value!r}, but it must be a text; give a name that is no "
                "number, a folder as ./007"
            )
    return config.get("size", "micro"), config.get("data_root")


def make_plan(name: str, data_root: str | None = None) -> Plan:
    """The plan of `config/<name>.yaml`; raises `UserError` before anything is computed.

    `data_root` takes the place of the size's own `data.root`: the folder with local copies of real data sets.
    """
    plan = draft(name, data_root)
    check_inputs(plan)
    return plan


def draft(name: str, data_root: str | None = None) -> Plan:
    """The plan by its config and method folders alone; whether models and data are there was not looked at."""
    size = load_size(name)
    where = f"config/{name}.yaml"
    if size.device is not None:
        check_device(size.device, where)
    folders = find_folders(tuple(size.methods_path))
    for method in {**size.methods, **{m: None for ablation in size.ablations.values() for m in ablation.methods}}:
        if method not in folders:
            raise UserError(f"{where}: there is no method '{method}'; {nearest(method, folders)}")
        if method in RESERVED:
            raise UserError(f"{where}: '{method}' names a reference or control row already; rename the method's folder")
        check_source(folders[method].path / "method.py")
    plan = Plan(name, size)
    for pair_name, pair in size.pairs.items():
        _add_pair(plan, pair_name, pair, data_root or size.data_root)
        _add_references(plan, pair_name, pair)
        plan.pairs[pair_name]["threshold"] = add_threshold(plan, pair_name, folders, size.threshold)
        for method, overrides in size.methods.items():
            for run in method_runs(plan, pair_name, folders, method, overrides, where):
                plan.runs[run.id] = run
    # A threshold may need a run of a method that is none of the size's.
    plan.tabled = [run.id for run in plan.runs.values() if run.kind != "method" or run.method in size.methods]
    for ablation in size.ablations:
        plan.ablations[ablation] = ablate(plan, ablation, folders, where)
    _check_rows(plan, where)
    return plan


def _check_rows(plan: Plan, where: str) -> None:
    """`UserError` where two rows of a table could not be told apart."""
    if twins := namesakes(plan.chosen()):
        one, other = twins
        raise UserError(
            f"{where}: '{one.method}' and '{other.method}' would both be called '{row_name(one)}'; give one of them "
            "another 'label' in its method.yaml"
        )
    for table in ("", *plan.ablations):
        check_shown(plan, plan.chosen(table), where)


def check_inputs(plan: Plan) -> None:
    """`UserError` where a model or data set cannot be had or is too small, or models of a pair differ in vocabulary."""
    where = f"config/{plan.name}.yaml"
    for name, pair in plan.size.pairs.items():
        check_vocabularies(name, pair, where)
        data = plan.pairs[name]["data"]
        if pair.data.problems is not None and not Path(f"results/data/{data}").is_dir():
            problems = ProblemData(**plan.data[data].params)
            check_all(problems)
            for test in pair.tests:
                check_prompts(plan.size, name, test.name, _held(problems, test.name), where)
    for judge in plan.size.judges:
        _check_judge(plan, judge, where)


def _held(problems: ProblemData, test: str) -> int | None:
    """Problems of a test set; None of one that is not here, and of a published one whose number the config says."""
    data = problems.data_set(test)
    split = asked_split(data, problems.train)
    if not (data.own or problems.tests[test] is None) or not is_here(data, split, problems.root):
        return None
    return len(usable_problems(data, split, problems.root))


def _check_judge(plan: Plan, name: str, where: str) -> None:
    """`UserError` where a local judge's model cannot be used, or is nearly the name of a pair's."""
    model = plan.judge_model(name)
    if not model or model.removeprefix("results/models/") in plan.models:
        return
    pair, _, role = model.rpartition(".")
    if "/" not in model and (pair in plan.pairs) != (role in ROLES) and not Path(model).is_dir():  # one half is right
        own = [f"{pair}.{role}" for pair in plan.pairs for role in ROLES]
        raise UserError(f"{where}: judges.{name}.local.model is '{model}'; {nearest(model, own)}")
    try:
        check_model(model)
    except UserError as error:
        raise UserError(f"{where}: judge '{name}': {error}") from error


def _add_pair(plan: Plan, name: str, pair: Pair, root: str | None) -> None:
    world, real = pair.data.world, pair.data.problems
    root = root or (real.root if real else None)
    if real is not None:
        real = real.model_copy(update={"own": real.used()})
        if root is not None:  # one spelling of a folder, as it is part of ids
            real = real.model_copy(update={"root": normpath(root)})
    module = "world.write" if real is None else "sources.problems"
    params = (real or world).model_dump(mode="json")  # type: ignore[union-attr]
    decides: list[Any] = [params, code_hash(_file(module))]
    if real is not None:  # own files change more often than published ones, and no path tells
        decides += [content(real.data_set(of), split, real.root) for of, split in real.wanted() if of in real.own]
    data = f"{name}-{short_hash(decides)}"
    plan.data[data] = Made(module, params)
    plan.pairs[name] = {"data": data}
    plan.pairs[name]["teacher"] = _add_model(plan, f"{name}-teacher", pair.teacher, data)
    plan.pairs[name]["student"] = _add_model(plan, f"{name}-student", pair.student, data)


def _add_model(plan: Plan, name: str, source: ModelSource, data: str) -> str:
    """Register a model to be made and return its folder; a pretrained one is used where it is."""
    if source.pretrained is not None:
        return source.pretrained
    makers = {"sources.smollm2": source.smollm2, "sources.shadow": source.shadow, "world.make_model": source.world}
    module, recipe = next((module, recipe) for module, recipe in makers.items() if recipe is not None)
    params = recipe.model_dump(mode="json")
    shape = published()[recipe.of].model_dump(mode="json") if isinstance(recipe, ShadowModel) else None
    model = f"{name}-{short_hash([params, data, code_hash(_file(module)), shape])}"
    plan.models[model] = Made(module, params, data)
    return f"results/models/{model}"


def _file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _add_references(plan: Plan, pair: str, content: Pair) -> None:
    """Teacher, student before training, and controls that bound every metric."""
    ids = plan.pairs[pair]
    found = [("teacher", "Teacher", ids["teacher"], -20), ("student", "Student before", ids["student"], -10)]
    for method, label, policy, place in found:
        known = short_hash([policy, ids["teacher"], ids["data"]])
        run = Run(f"{pair}-{method}-{known}", pair, "reference", method, label, order=place, policy=policy)
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
