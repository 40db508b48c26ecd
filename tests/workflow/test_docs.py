"""Every command that README.md, CONTRIBUTING.md and docs/ show is run: here at smoke scale, or in the test named."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.conftest import run_in
from tests.workflow.documented import documented
from training.folders import ROOT

# What is run here, in the folder where the smoke size is built already: as shown, or cut down to that size.
RUN = {
    "make help": "make help",
    "make plan SIZE=<size>": "make plan SIZE=micro",
    "make plan": "make plan SIZE=micro",
    "make plan SIZE=micro": "make plan SIZE=micro",
    "make preflight SIZE=<size>": "make preflight SIZE=micro",
    "make retry SIZE=<size>": "make retry SIZE=smoke",
    "make tensorboard": "make tensorboard",
    "make workflow-report": "make workflow-report SIZE=smoke",
    "make workflow-report SIZE=smoke": "make workflow-report SIZE=smoke",
    "make tune": "make tune --dry-run && snakemake --dry-run --config size=tune -- results/built/tune/tuning",
    "make tune SIZE=tune_smollm2_world": "make tune SIZE=tune_smollm2_world --dry-run",
    "cp -r methods/_template methods/mine": "cp -r methods/_template methods/mine",
    "snakemake --cores all results/tables": "snakemake --cores all --config size=smoke -- results/tables",
    "snakemake --cores all --resources gpu=3 --config size=smoke -- results/tables runs": "",
    "make ablations": "make ablations --dry-run && snakemake --dry-run --config size=micro -- ablations",
    "snakemake --cores all --config size=micro -- results/built/micro/ablations/phi": (
        "snakemake --dry-run --config size=micro -- results/built/micro/ablations/phi"
    ),
    "make unlock SIZE=<size>": "make unlock SIZE=smoke",
    "snakemake --dry-run": "snakemake --dry-run --config size=smoke",
}

# What the command leaves behind.
LEAVES = {
    "cp -r methods/_template methods/mine": ("methods/mine/method.py",),
    "make workflow-report SIZE=smoke": ("results/workflow_report.html",),
    "make tensorboard": ("results/tensorboard/*-grpo-*/events.*", "results/tensorboard/*-cmdp-*/events.*"),
}

# What another test runs: its file, and words that must stand there.
ELSEWHERE = {
    "make tables": ("tests/workflow/conftest.py", '"make", "tables", "SIZE=smoke"'),
    "make tables SIZE=smoke": ("tests/workflow/conftest.py", '"make", "tables", "SIZE=smoke"'),
    "make tables SIZE=<size>": ("tests/workflow/conftest.py", '"make", "tables", "SIZE=smoke"'),
    "make preflight SIZE=paper DEVICE=a100_80gb": ("tests/unit/test_preflight_command.py", '"--size", "paper"'),
    "make check METHOD=mine": ("tests/contract/test_template.py", '"--method", "mine"'),
    'make merge FROM="folder1 folder2"': ("tests/unit/test_merge.py", '"--from", str(made)'),
    "make export": ("tests/workflow/test_export.py", '"export", "SIZE=smoke"'),
    "make export SIZE=smoke METHOD=cmdp OUT=exported": ("tests/workflow/test_export.py", '"METHOD=cmdp"'),
    "make check METHOD=mine METHODS_PATH=/path/to/folder": ("tests/contract/test_template.py", '"--methods-path"'),
    "python -m evaluation.theory --out DIR": ("rules/report.smk", "evaluation.theory --out {output}"),
    "snakemake --cores all --use-conda results/tables": ("tests/workflow/test_conda.py", '"--use-conda"'),
    "snakemake --cores all --use-conda --config size=smoke -- results/tables": (
        "tests/workflow/test_conda.py", '"--use-conda", "--config", "size=smoke", "--", "results/tables"'
    ),
    "snakemake --lint": ("tests/workflow/test_lint.py", '"snakemake", "--lint"'),
    "pip install -r requirements.lock": ("Makefile", "-r requirements.lock"),
    "python -m study.keys": ("tests/unit/test_pages.py", "== keys.page()"),
    "python -m study.keys > docs/config.md": ("tests/unit/test_pages.py", "== keys.page()"),
    'make trace CELL="main/CMDP/same/FAC"': (
        "tests/workflow/test_verify.py", '"make", "trace", "CELL=main/CMDP/same/FAC"'
    ),
    "make verify SIZE=smoke": ("tests/workflow/test_conda.py", 'differences(smoke, in_conda, "smoke")'),
    "make verify SIZE=smoke AGAINST=tests/reference/smoke": ("tests/workflow/test_verify.py", '"--against", REFERENCE'),
    "python -m study.verify --size micro --built . --against results/published/micro": (
        "tests/unit/test_verify.py", '"--built", str(trees[0]), "--against", str(trees[1])'
    ),
    "python -m study.verify --size smoke --update tests/reference/smoke": (
        "tests/unit/test_verify.py", '"--update", str(kept)'
    ),
}  # fmt: skip

BENCHMARKS = ("trl", "divergence_in_trl", "parts", "divergence", "workflow", "growth")

# What no test can run, and why.
NOT_HERE = {
    "make test": "is what runs this",
    "make coverage": "runs the unit and contract tests, as `make test` does, and counts lines",
    "python -m tests.coverage": "takes minutes; tests/unit/test_coverage.py holds its main cells",
    "make test-full": "takes an hour; what it shows in full is shown in part by `make test`",
    "make lint": "is the house's own check before a change is handed in; it says nothing about the results",
    "make tables SIZE=extended": "takes over half an hour; the contract tests train every method that it adds",
    "make tables SIZE=pairs": "takes over an hour; the unit tests make its tables and figure from synthetic scores",
    "make tables SIZE=smollm2_world": "takes over four hours; the rules are those of the sizes run here",
    "make bench": "takes half an hour; what it measures is measured on tiny models by the unit tests",
    "make bench ONLY=trl,parts": "the same",
    **{f"python -m benchmarks --only {name}": "the same" for name in BENCHMARKS},
    "python -m benchmarks --device cuda --dtype bfloat16": "needs a GPU",
    "make tables SIZE=paper": "needs a GPU for weeks, and models behind a licence",
    "make tables SIZE=smollm2_cpu DATA_ROOT=<folder>": "needs real data sets",
    "snakemake --workflow-profile profiles/slurm --config size=<size> -- results/tables runs": "needs Slurm",
    "pip install --no-deps -r requirements-slurm.lock": "belongs to Slurm",
    "pip install torchao==0.18.0": "an extra; tests/full/test_int8.py runs where it is installed",
    "vllm serve deepseek-ai/DeepSeek-R1-Distill-Qwen-32B --max-model-len 16384": "needs a GPU and the hub",
}


def test_every_command_is_accounted_for() -> None:
    shown = documented()
    known = [*RUN, *ELSEWHERE, *NOT_HERE]
    assert len(set(known)) == len(known)
    new = {command: pages for command, pages in shown.items() if command not in known}
    assert not new, f"say in {Path(__file__).name} how these are run: {new}"
    assert not set(known) - set(shown), f"no page shows these any more: {sorted(set(known) - set(shown))}"


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_test_that_is_named_runs_it(command: str) -> None:
    file, words = ELSEWHERE[command]
    assert words in " ".join((ROOT / file).read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def tidied(smoke: Path) -> Iterator[Path]:
    """The built folder; what following the pages adds to it is taken away again."""
    yield smoke
    shutil.rmtree(smoke / "methods" / "mine", ignore_errors=True)


@pytest.mark.parametrize("command", dict.fromkeys(RUN[shown] or shown for shown in RUN))
def test_a_command_runs(tidied: Path, command: str) -> None:
    ready = " ".join(f"--assume-old={name}" for name in (".venv/ready", ".venv/ready-test", "requirements.lock"))
    done = run_in(tidied, "bash", "-c", re.sub(r"^make ", f"make {ready} ", command))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert all(list(tidied.glob(left)) for left in LEAVES.get(command, ()))


def test_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (targets,) = (line.split()[1:] for line in makefile.splitlines() if line.startswith(".PHONY:"))
    without = [name for name in targets if not re.search(rf"^{name}:.*## \S", makefile, re.M)]
    assert targets
    assert not without, f"give these a '## what it does': {without}"
