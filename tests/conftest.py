"""One thread per test process: two of them run side by side, each with whole groups of tests that share something."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


BUILT = {"smoke", "in_conda"}  # fixtures that build the smoke size, and are compared with each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` what tests share is made once: the built smoke size, and a file's own fixtures."""
    for item in items:
        own = f"{item.path.parent.name}/{item.path.stem}"
        built = BUILT & set(getattr(item, "fixturenames", ()))
        item.add_marker(pytest.mark.xdist_group("smoke" if built else own))
