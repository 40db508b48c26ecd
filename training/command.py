"""The command line of whatever makes data or a model: settings as JSON, where from, where to."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.files import check_place
from training.schema import Model, read_params


def read_command(
    title: str, model: type[Model], argv: list[str] | None, data: bool = False
) -> tuple[Model, argparse.Namespace]:
    """The checked settings, and the arguments `out` and, where `data`, `data` (folders).

    Raises `UserError` where the settings or the place for the results are not usable.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--params", default="{}", help=f"settings as JSON (see {model.__name__})")
    if data:
        parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    settings = read_params(model, arguments.params)
    check_place(arguments.out)
    return settings, arguments
