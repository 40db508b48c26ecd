"""`snakemake --cores all --use-conda results/tables`, with conda where there is one and else with the stand-in.

The smoke size is built from scratch a second time here, in the environment that environment.yml describes, so this is
also the test that two runs from scratch give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from shutil import which

import pytest

from study.compare import differences
from tests import conda_standin
from tests.workflow.conftest import clone, run_in

COMMAND = ("snakemake", "--cores", "all", "--use-conda", "--config", "size=smoke", "--", "results/tables")


@pytest.fixture(scope="session")
def in_conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the smoke size built in the environment of environment.yml, at the versions of the lock."""
    folder = clone(tmp_path_factory.mktemp("conda"))
    variables = {} if which("conda") else conda_standin.install(tmp_path_factory.mktemp("standin"))
    variables |= {"PIP_CONSTRAINT": str(folder / "requirements.lock"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = run_in(folder, *COMMAND, variables=variables)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_jobs_run_in_the_environment_of_the_file(in_conda: Path) -> None:
    (environment,) = (path for path in (in_conda / ".snakemake" / "conda").iterdir() if path.is_dir())
    assert (environment.with_suffix(".yaml")).read_bytes() == (in_conda / "environment.yml").read_bytes()
    asked = run_in(in_conda, str(environment / "bin" / "python"), "-c", "import torch; print(torch.__file__)")
    assert asked.stdout.startswith(str(environment))


def test_modules_are_compiled_once(in_conda: Path) -> None:
    """Also where the surroundings forbid it, as images do: every job would compile all it imports."""
    assert list((in_conda / "training" / "__pycache__").glob("train.*.pyc"))


def test_two_runs_from_scratch_are_the_same(smoke: Path, in_conda: Path) -> None:
    """Data, models, logs, weights, responses, scores and tables: all but what `study.compare` leaves out."""
    assert list(differences(smoke, in_conda, "smoke")) == []
    assert (smoke / "paper_tables.md").read_bytes() == (in_conda / "paper_tables.md").read_bytes()


def test_without_conda_the_command_ends_in_one_sentence(smoke: Path) -> None:
    done = run_in(smoke, *COMMAND, "--dry-run", variables={"PATH": "/usr/bin:/bin"})
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "--use-conda needs the program conda, which is not on PATH; install it" in said
    assert "pip install -r requirements.lock" in said
    assert "Traceback" not in said
