"""Finding method folders and reading what they declare, without importing torch."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from training.errors import UserError, nearest
from training.method_source import check_source, defines
from training.schema import NAME, Strict, parse
from training.yaml_files import read_yaml

if TYPE_CHECKING:
    from training.method import Method
    from training.run import Run

ROOT = Path(__file__).resolve().parent.parent
SLIPS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError,
         SystemExit, TypeError, ValueError)  # fmt: skip

LOGGED = {"step", "reward", "length", "loss", "grad_norm"}  # what the log has of every update by itself


class Needs(Strict):
    """What a method uses: the teacher in training, the threshold d."""

    teacher: bool
    threshold: bool


class Setting(Strict):
    """One setting of a method: its default, what is allowed, and how tables show it."""

    default: bool | float | str  # a text with `choices` alone
    help: str
    min: float | None = None
    max: float | None = None
    below: float | None = None
    choices: list[str] | None = None
    symbol: str = ""

    def check(self, value: Any, what: str) -> Any:
        """`value` in the setting's own type; `UserError` where it is not allowed. `what` names setting and place."""
        if self.choices is not None:
            if value not in self.choices:
                raise UserError(f"{what} is {value!r}; {nearest(str(value), self.choices)}")
            return value
        if isinstance(self.default, bool) or isinstance(value, bool):
            if type(value) is not type(self.default):
                raise UserError(f"{what} is {value!r}, but must be {self._kind()}; change it")
            return value
        if not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise UserError(f"{what} is {value!r}, but must be {self._kind()}; change it")
        for bound, broken, word in (
            (self.min, self.min is not None and value < self.min, "at least"),
            (self.max, self.max is not None and value > self.max, "at most"),
            (self.below, self.below is not None and value >= self.below, "below"),
        ):
            if broken:
                raise UserError(f"{what} is {value}, but must be {word} {bound:g}; change it")
        return float(value)

    def _kind(self) -> str:
        return "true or false" if isinstance(self.default, bool) else "a number"


class Declaration(Strict):
    """The content of a `method.yaml`."""

    label: str
    order: int = 100
    needs: Needs
    objective: Literal["reward", "kl", "lagrangian", "modified", "none"] = "reward"  # what tuning judges it by
    settings: dict[str, Setting] = Field(default_factory=dict)
    statistics: dict[str, str] = Field(default_factory=dict)  # what `loss` logs of each update: name, meaning

    @field_validator("statistics")
    @classmethod
    def _names_of_its_own(cls, statistics: dict[str, str]) -> dict[str, str]:
        if taken := sorted(LOGGED & statistics.keys()):
            raise ValueError(f"'{taken[0]}' would replace the log's own value of this name: rename it")
        return statistics


@dataclass(frozen=True)
class Folder:
    """A method folder: where it is and what it declares."""

    name: str
    path: Path
    declares: Declaration

    def grid(self, overrides: dict[str, Any], where: str) -> list[dict[str, Any]]:
        """Every combination of settings; a list stands for one run per value."""
        known = self.declares.settings
        for name in overrides:
            if name not in known:
                hint = nearest(name, [*known, "lr"])
                raise UserError(f"{where}: method '{self.name}' has no setting '{name}'; {hint}")
        axes = []
        for name, setting in known.items():
            given = overrides.get(name, setting.default)
            values = given if isinstance(given, list) else [given]
            if not values:
                raise UserError(f"{where}: '{name}' of method '{self.name}' is an empty list; give at least one value")
            checked = [setting.check(value, f"{where}: '{name}' of method '{self.name}'") for value in values]
            twice = [value for place, value in enumerate(checked) if value in checked[:place]]
            if twice:
                raise UserError(f"{where}: '{name}' of method '{self.name}' holds {twice[0]} twice; remove one of them")
            axes.append([(name, value) for value in checked])
        return [dict(combination) for combination in itertools.product(*axes)]

    def describe(self, settings: dict[str, Any], varied: list[str]) -> str:
        """How tables name this setting: `λ=0.01`, for settings with a symbol and those that vary."""
        shown = [n for n, s in self.declares.settings.items() if s.symbol or n in varied]
        return ", ".join(f"{self.declares.settings[n].symbol or n}={_plain(settings[n])}" for n in shown)

    def load(self) -> type[Method]:
        """The folder's `Method` class (imports torch)."""
        from training.method import Method

        found = getattr(self._module(), "Method", None)
        if not isinstance(found, type) or not issubclass(found, Method):
            raise UserError(
                f"{self.path / 'method.py'}: 'Method' is no subclass of training.method.Method; make it one"
            )
        return found

    @property
    def brings_trainer(self) -> bool:
        """Whether it has a trainer of its own in place of a `Method`, told from its text."""
        return defines(self.path / "method.py", "train")

    def own_train(self) -> Callable[[Run], None] | None:
        """The folder's own `train(run)`, where it brings one (imports torch)."""
        return getattr(self._module(), "train", None) if self.brings_trainer else None

    def _module(self) -> ModuleType:
        name, path = f"method_{self.name}", self.path / "method.py"
        check_source(path)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except SLIPS as error:
            raise UserError(f"{path} cannot be loaded ({type(error).__name__}: {error}); correct it") from error
        return module


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def find_folders(paths: tuple[Path, ...] = ()) -> dict[str, Folder]:
    """Every method by name: the repository's `methods/*/` and those below `paths`. `_template` is skipped.

    Raises `UserError` where a path or a folder below it is not what it must be, or a name occurs twice.
    """
    found: dict[str, Folder] = {}
    for parent in (ROOT / "methods", *paths):
        if not parent.is_dir():
            raise UserError(f"methods.path: there is no folder {parent}; correct the path")
        if (parent / "method.yaml").is_file():
            raise UserError(f"methods.path: {parent} is a method itself; name {parent.parent}, which holds it")
        for folder in sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith(("_", "."))):
            has = {name for name in ("method.yaml", "method.py") if (folder / name).is_file()}
            if not has:
                continue
            if len(has) < 2:
                absent = min({"method.yaml", "method.py"} - has)
                raise UserError(f"{folder} holds no {absent}; a method folder needs both, see methods/_template/")
            if folder.name in found:
                other = found[folder.name].path
                raise UserError(
                    f"{folder}: the method '{folder.name}' is in {other} already; rename one of the folders"
                )
            found[folder.name] = _read(folder)
    return found


def _read(folder: Path) -> Folder:
    """A method folder with its declaration checked, defaults against their own bounds included."""
    if not re.fullmatch(NAME, folder.name):
        raise UserError(f"{folder}: {folder.name!r} cannot name a method; use letters, digits, '_', '-' and '.'")
    file = folder / "method.yaml"
    declares = parse(Declaration, read_yaml(file), str(file))
    for name, setting in declares.settings.items():
        setting.check(setting.default, f"{file}: 'settings.{name}.default'")
    return Folder(folder.name, folder, declares)
