"""The one typed definition of a size: what its YAML file may say, and the defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from evaluation.columns import Reading
from evaluation.judge.settings import Judge
from evaluation.regime import Regime
from sources.architectures import published
from sources.settings import ProblemData, ShadowModel, SmolModel
from training.errors import UserError, nearest
from training.folders import ROOT
from training.schema import NAME, Name, Strict, parse
from training.settings import TrainSettings
from training.yaml_files import read_yaml
from world.settings import WorldData, WorldModel
from world.write import TESTS

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
ROLES = ("student", "teacher")


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("seeds must differ from each other")
    return seeds


Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_distinct)]


class ModelSource(Strict):
    """Where a model comes from; exactly one of these."""

    world: WorldModel | None = Field(None, description="a small Llama of the micro world, trained here")
    smollm2: SmolModel | None = Field(None, description="SmolLM2-135M-Instruct from its package")
    shadow: ShadowModel | None = Field(None, description="a published architecture with random weights")
    pretrained: str | None = Field(None, description="a Hugging Face folder with safetensors, or a name on the hub")

    @model_validator(mode="after")
    def _one(self) -> ModelSource:
        if [self.world, self.smollm2, self.shadow, self.pretrained].count(None) != 3:
            raise ValueError("exactly one of 'world', 'smollm2', 'shadow' and 'pretrained' must be given")
        return self

    # The next two stand here and not in the recipes' own schemas: those are code of the models, whose ids would change.
    @model_validator(mode="after")
    def _noise_is_heard(self) -> ModelSource:
        silent = [style for style in self.world.noise if not self.world.styles.get(style)] if self.world else []
        if silent:
            raise ValueError(f"'noise' names the style '{silent[0]}', of which 'styles' has no share")
        return self

    @model_validator(mode="after")
    def _some_layers_left(self) -> ModelSource:
        if self.smollm2 is not None:
            drop, held = self.smollm2.drop, published()[SMOLLM2].config.num_hidden_layers
            if len(set(drop)) < len(drop) or len(drop) >= held or max(drop, default=0) >= held:
                raise ValueError(f"'smollm2.drop' must name fewer than {held} of the layers 0 to {held - 1}, each once")
        return self


class DataSource(Strict):
    """Where the problems come from; exactly one of these."""

    world: WorldData | None = Field(None, description="made here, with exact steps")
    problems: ProblemData | None = Field(None, description="published ones")

    @model_validator(mode="after")
    def _one(self) -> DataSource:
        if (self.world is None) == (self.problems is None):
            raise ValueError("exactly one of 'world' and 'problems' must be given")
        return self

    def tests(self) -> dict[str, int | None]:
        """Its test sets by name, with the number of problems where it is known beforehand."""
        if self.world is not None:
            return dict.fromkeys(TESTS, self.world.test)
        assert self.problems is not None
        return self.problems.tests


class Test(Strict):
    """A test set of the data source and its title in tables."""

    name: str = Field(description="`same`, `symbolic`, `longer` of the micro world, or a set named in `problems.tests`")
    title: str = Field(description="as tables show it")


class Pair(Strict):
    """A student, its teacher, and the problems they meet."""

    student: ModelSource
    teacher: ModelSource
    data: DataSource
    tests: list[Test] = Field(min_length=1, description="the test sets, the main one first")
    regime: Regime = Regime()
    train: dict[str, Any] = Field(default_factory=dict, description="what differs from the size's `train`")
    evaluate: dict[Literal["max_new_tokens", "batch"], int] = Field(
        default_factory=dict, description="`max_new_tokens` and `batch` where they differ from the size's `evaluate`"
    )
    seeds: Seeds | None = Field(None, description="training seeds in place of the size's")

    @model_validator(mode="after")
    def _distinct_tests(self) -> Pair:
        if len({test.name for test in self.tests}) < len(self.tests):
            raise ValueError("a test set is named twice")
        titles = [test.title.strip() for test in self.tests]
        if "" in titles or len(set(titles)) < len(titles):
            raise ValueError(f"tables tell test sets by 'title', which are {titles}: give each one of its own")
        return self

    @model_validator(mode="after")
    def _harder_test(self) -> Pair:
        names = [test.name for test in self.tests]
        if self.regime.harder is not None and self.regime.harder not in names[1:]:
            raise ValueError(f"'regime.harder' is {self.regime.harder!r}, but must be one of 'tests' after the first")
        return self

    @model_validator(mode="after")
    def _solutions_with_steps(self) -> Pair:
        if self.data.world is None and (self.student.world or self.teacher.world):
            raise ValueError(
                "a 'world' model learns from chains, which real problems lack: give 'data.world' or another model"
            )
        return self


class Threshold(Strict):
    """The constraint: `d`, or `calibrate`."""

    d: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="in nats (per token under `mean` and `prefix`)"
    )
    calibrate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="d is this quantile of the responses' costs after a GKD run, on validation prompts",
    )
    reading: Reading = Field(
        "mean", description="a response's cost: mean or sum of its tokens' KLs, or their largest running mean"
    )

    @model_validator(mode="after")
    def _one(self) -> Threshold:
        if (self.d is None) == (self.calibrate is None):
            raise ValueError("exactly one of 'd' and 'calibrate' must be given")
        return self


class Ablation(Strict):
    """One question about a setting: rows written as in `methods`, each of which varies one setting (a list)."""

    title: str
    methods: dict[str, dict[str, Any]] = Field(min_length=1, description="one setting of each is a list")


class Evaluation(Strict):
    """How every policy is evaluated."""

    prompts: int = Field(200, ge=2, description="prompts of each test set")
    samples: int = Field(
        4, ge=2, description="sampled responses per prompt, temperature 1; win rates compare different ones"
    )
    batch: int = Field(256, ge=1, description="responses generated at a time")
    max_new_tokens: int = Field(64, ge=1, description="longest response in tokens")
    seed: int = Field(0, ge=0, description="of the samples")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of policy and teacher")
    engine: Literal["transformers", "vllm"] = Field("transformers", description="what generates: docs/scaling.md")


class Size(Strict):
    """One experiment size: the content of `config/<size>.yaml`."""

    title: str = Field(description="what tables and report are headed by")
    note: str = Field("", description="stands under every table: what the size can not show")
    seeds: Seeds = Field(description="training seeds")
    pairs: dict[Name, Pair] = Field(min_length=1, description="models and problems, by name")
    threshold: Threshold
    train: TrainSettings
    methods: dict[str, dict[str, Any]] = Field(min_length=1, description="the rows: method folders and their settings")
    ablations: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], Ablation] = Field(
        default_factory=dict, description="for `make ablations`"
    )
    evaluate: Evaluation = Evaluation()
    judges: dict[Name, Judge] = Field(default_factory=dict, description="language models as judges, best first")
    methods_path: list[Path] = Field(
        default_factory=list, alias="methods.path", description="folders with more methods"
    )
    device: str | None = Field(None, description="the card that the size is meant for, a name of study/devices.py")
    data_root: str | None = Field(
        None, alias="data.root", description="folder with local copies of the published problems; the hub if unset"
    )

    def train_of(self, pair: str, where: str = "config") -> TrainSettings:
        """Training settings of a pair: the size's, but for what the pair has of its own."""
        given, at = self.pairs[pair].train, f"{where}: pairs.{pair}.train"
        own = {**self.train.model_dump(), **given}
        for unit, other, none in (("epochs", "steps", "0"), ("steps", "epochs", "null")):
            if given.get(unit) and other not in given and own[other]:
                raise UserError(f"{at}: '{unit}' stands for the size's '{other}'; write '{other}: {none}' beside it")
        return parse(TrainSettings, own, at)

    def own_model(self, name: str) -> tuple[str, str] | None:
        """Pair and role that `<pair>.student` or `<pair>.teacher` names; None of any other name."""
        pair, _, role = name.rpartition(".")
        return (pair, role) if pair in self.pairs and role in ROLES else None

    def seeds_of(self, pair: str) -> list[int]:
        """Training seeds of a pair: its own, else the size's."""
        return self.pairs[pair].seeds or self.seeds

    def evaluate_of(self, pair: str, where: str = "config") -> Evaluation:
        """Evaluation settings of a pair: the size's, but for what the pair has of its own."""
        own: dict[str, Any] = self.evaluate.model_dump() | dict(self.pairs[pair].evaluate.items())
        return parse(Evaluation, own, f"{where}: pairs.{pair}.evaluate")


def load_size(name: str) -> Size:
    """Read `config/<name>.yaml`; every mistake is one `UserError`."""
    folder = ROOT / "config"
    path = folder / f"{name}.yaml"
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"there is no size {name!r}: a size's name has letters from A to Z, digits, '_', '-' and '.' alone, at "
            "most 64, and does not begin with '-' or '.'; name its file in config/ so"
        )
    if not path.is_file():
        hint = nearest(name, (file.stem for file in folder.glob("*.yaml")))
        raise UserError(f"there is no size {name!r} in config/; {hint}")
    where = f"config/{name}.yaml"
    values = read_yaml(path, where)
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a mapping of settings, but is {type(values).__name__}; see config/micro.yaml")
    for key, under in (name.split(".") for field in Size.model_fields.values() if "." in (name := field.alias or "")):
        group = values.get(key)
        if isinstance(group, dict) and isinstance(group.get(under), str | list):
            raise UserError(f"{where}: '{under}' is given below '{key}'; write it as one key, '{key}.{under}: ...'")
    size = parse(Size, values, where)
    for pair in size.pairs:
        size.train_of(pair, where)
        size.evaluate_of(pair, where)
    _check_tests(size, where)
    _check_judges(size, where)
    return size


def _check_judges(size: Size, where: str) -> None:
    for name, judge in size.judges.items():
        if judge.prompts > size.evaluate.prompts:
            raise UserError(
                f"{where}: judges.{name}.prompts is {judge.prompts}, but only {size.evaluate.prompts} questions of "
                "each test set are answered (evaluate.prompts); ask for fewer"
            )


def _check_tests(size: Size, where: str) -> None:
    for pair, content in size.pairs.items():
        known = content.data.tests()
        for test in content.tests:
            if test.name not in known:
                raise UserError(f"{where}: pair '{pair}' has no test set '{test.name}'; {nearest(test.name, known)}")
            check_prompts(size, pair, test.name, known[test.name], where)


def check_prompts(size: Size, pair: str, test: str, held: int | None, where: str) -> None:
    """`UserError` where a test set is known to hold fewer problems than are asked of it."""
    if held is not None and held < size.evaluate.prompts:
        raise UserError(
            f"{where}: evaluate.prompts is {size.evaluate.prompts}, but test set '{test}' of pair '{pair}' has {held} "
            "problems; ask for fewer prompts or a larger test set"
        )
