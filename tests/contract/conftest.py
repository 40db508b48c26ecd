"""Which method folders the contract is checked for: all of them, or one named with `--method`."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import UserError, nearest
from training.folders import Folder, find_folders


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--method NAME` and `--methods-path DIR`, the config's `methods.path`."""
    parser.addoption("--method", default="", help="check this method folder alone")
    parser.addoption("--methods-path", default="", help="folder of further method folders, outside the repository")


def pytest_configure(config: pytest.Config) -> None:
    """The marker of tests that look at a loss; a method that is named and cannot be loaded is one sentence."""
    config.addinivalue_line("markers", "needs_loss: leaves out method folders that bring their own trainer")
    if config.getoption("--method", default=""):
        for folder in chosen(config).values():
            try:
                folder.own_train() or folder.load()
            except UserError as error:
                raise pytest.UsageError(str(error)) from None


def chosen(config: pytest.Config) -> dict[str, Folder]:
    """The folders to check, by name."""
    path, name = (config.getoption(option, default="") for option in ("--methods-path", "--method"))
    try:
        folders = find_folders((Path(path).resolve(),) if path else ())
    except UserError as error:
        raise pytest.UsageError(str(error)) from error
    if name and name not in folders:
        where = f"methods/{name}/method.yaml" + (f" or {path}/{name}/method.yaml" if path else "")
        raise pytest.UsageError(f"there is no {where}; {nearest(name, folders)}")
    return {name: folders[name]} if name else folders


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per folder; a test marked `needs_loss` leaves out folders that bring their own trainer."""
    if "folder" not in metafunc.fixturenames:
        return
    folders = chosen(metafunc.config)
    if metafunc.definition.get_closest_marker("needs_loss"):
        folders = {name: folder for name, folder in folders.items() if folder.own_train() is None}
    metafunc.parametrize("folder", [pytest.param(folder, id=name) for name, folder in folders.items()])
