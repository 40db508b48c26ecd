"""One set of versions: environment.yml, pyproject.toml, the locks and the Makefile name the same."""

from __future__ import annotations

import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from training.folders import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(*names: str) -> dict[str, str]:
    """Version by package, of one lock or several."""
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _ in pairs}) == len(pairs)
    return {canonicalize_name(name): version for name, version in pairs}


def normal(requirements: list[str]) -> set[str]:
    """Requirements, written one way."""
    return {str(Requirement(text)) for text in requirements}


def test_environment_and_project_require_the_same() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    assert normal(pip) == normal(PROJECT["dependencies"])
    assert len(pip) == len(PROJECT["dependencies"])


def test_one_python() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert "python=3.11" in listed
    assert PROJECT["requires-python"] == ">=3.11,<3.12"
    assert "PYTHON ?= python3.11" in (ROOT / "Makefile").read_text()


def test_the_environment_of_vllm_requires_the_same_where_it_can() -> None:
    environment = yaml.safe_load((ROOT / "environment-vllm.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert "python=3.11" in environment["dependencies"]
    ours = {canonicalize_name(r.name): r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    required = {canonicalize_name(r.name): r.specifier for r in map(Requirement, pip)}
    assert len(required) == len(pip)
    differing = {name for name in required if ours.get(name) != required[name]}
    assert differing == {"vllm", "transformers"}  # vLLM pins the latter


@pytest.mark.parametrize(
    ("requirements", "locks"),
    [
        (PROJECT["dependencies"], ["requirements.lock"]),
        (PROJECT["optional-dependencies"]["test"], ["requirements.lock", "requirements-test.lock"]),
        (PROJECT["optional-dependencies"]["slurm"], ["requirements.lock", "requirements-slurm.lock"]),
    ],
)
def test_locks_hold_what_is_required(requirements: list[str], locks: list[str]) -> None:
    found = locked(*locks)
    for requirement in map(Requirement, requirements):
        version = found.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is in none of {locks}"
        assert requirement.specifier.contains(version), f"{requirement} against {version} in {locks}"
