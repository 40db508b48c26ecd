"""What a local model folder must hold, told without loading it: no code of its own, no pickled weights.

Weights are read from safetensors only, and modelling code from the transformers library only: a pickle or a Python
file from a model repository could run anything.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType

from training.errors import UserError
from training.json_files import read_object

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
BUDGET = "budget.safetensors"  # beside the weights of a policy that reads its budget, hence needs its teacher
RESTORE = "restore the model folder from its origin"


class TokenizerRead:
    """A block in which the package `tokenizers` reads `path`; of a file that it cannot read it becomes a `UserError`.

    The package has no class of its own for that and raises `Exception` itself, so that class alone is meant here.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is Exception:
            raise UserError(f"{self.path} cannot be read as a tokenizer ({error}); {RESTORE}") from error


def check_model(name: str, tokenizer: bool = True, weights: bool = True) -> None:
    """`UserError` where `name` is neither a usable local folder nor can be the name of a model on the hub.

    `tokenizer`, `weights`: which of both are to be read from it.
    """
    folder = Path(name or "no name")
    if folder.is_dir():
        if tokenizer:
            _check_tokenizer(folder)
        if weights:
            _check_config(folder)
            _check_weights(folder)
    elif folder.exists():
        raise UserError(f"'{name}' is a file, not a model folder; give the folder that holds it")
    elif not HUB_NAME.fullmatch(name):
        raise UserError(f"there is no model folder {name!r}; correct the path, or give a hub name such as org/model")


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if "auto_map" in read_object(path, {}, RESTORE):
        raise UserError(_runs_code(path))


def _check_tokenizer(folder: Path) -> None:
    settings, whole = folder / "tokenizer_config.json", folder / "tokenizer.json"
    if settings.is_file() and "auto_map" in read_object(settings, {}, RESTORE):
        raise UserError(_runs_code(settings))
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(f"{folder} holds no tokenizer ({', '.join(TOKENIZERS)}); {RESTORE}")
    if whole.is_file():
        model = read_object(whole, {}, RESTORE).get("model")
        if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
            raise UserError(f"{whole}: there is no vocabulary under 'model.vocab'; {RESTORE}")


def _check_weights(folder: Path) -> None:
    files = [file for file in folder.iterdir() if file.is_file()]
    if any(file.suffix == ".safetensors" for file in files):
        return
    pickled = sorted(file.name for file in files if file.suffix in PICKLES)
    if pickled:
        raise UserError(
            f"{folder} holds its weights as a pickle only ({pickled[0]}), which could run code when it is read; "
            "convert them to safetensors"
        )
    raise UserError(f"{folder} holds no weights (*.safetensors); {RESTORE}")


def _runs_code(path: Path) -> str:
    return (
        f"{path}: 'auto_map' asks for Python code of the model's own, which is never run; remove the key if "
        "transformers knows the architecture itself, else choose another model"
    )
