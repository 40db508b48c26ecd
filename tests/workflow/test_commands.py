"""The real command lines with bad or malicious input: one sentence, no traceback, nothing written, nothing run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from study.plan import make_plan
from tests.unit.tiny_models import tiny_policy
from tests.workflow.conftest import clone, run_in

NASTY = "a'b\" $(touch pwned) `touch pwned`; touch pwned & {x}"
STUBS = "python() { :; }; tee() { cat > /dev/null; }; cp() { :; }; mkdir -p results/logs;\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the size `nasty`: shell syntax in every text, a model folder and a methods folder of such names."""
    folder = clone(tmp_path_factory.mktemp("commands"))
    size = yaml.safe_load((folder / "config" / "smoke.yaml").read_text())
    pair: dict[str, Any] = size["pairs"]["micro"]
    model = tiny_policy(folder / "results" / NASTY, seed=0).relative_to(folder)
    other = tiny_policy(folder / NASTY, seed=1).relative_to(folder)
    pair["student"], pair["teacher"] = {"pretrained": str(model)}, {"pretrained": str(other)}
    pair["tests"], pair["regime"] = [{"name": "same", "title": NASTY}], {}
    shutil.copytree(folder / "methods" / "gkd", folder / "outside" / NASTY / "mine")
    size |= {"title": f"λ {NASTY}", "note": NASTY, "methods": {"mine": {}, "grpo": {}}}
    size["methods.path"] = [str(folder / "outside" / NASTY)]
    (folder / "config" / "nasty.yaml").write_text(yaml.safe_dump(size))
    return folder


def assert_refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("size", "hint"), [("../../x", ": a size's name has letters"), ("smok", " in config/; did you mean 'smoke'?")]
)
def test_a_size_that_there_is_not(copy: Path, size: str, hint: str) -> None:
    done = run_in(copy, "snakemake", "--cores", "1", "--config", f"size={size}", "--", "results/tables")
    assert_refused(done, f"there is no size '{size}'{hint}")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("sise=smoke",), "--config has no key 'sise'; did you mean 'size'?"),
        (("size=smollm2_cpu", "data_root=007"), "--config: Snakemake reads 'data_root' as 7, but it must be a text"),
        (("size=smollm2_cpu", "data_root=./007"), "there is no file 007/svamp/SVAMP.json"),  # as that sentence has it
    ],
)
def test_a_key_or_value_that_snakemake_would_take(copy: Path, given: tuple[str, ...], sentence: str) -> None:
    assert_refused(run_in(copy, "snakemake", "-n", "--cores", "1", "--config", *given), sentence)


def test_a_module_refuses_its_parameters(copy: Path) -> None:
    before = set(copy.rglob("*.jsonl"))
    done = run_in(copy, "python", "-m", "world.write", "--params", '{"tran": 1}', "--out", "made")
    assert_refused(done, "error: --params: unknown key 'tran'; did you mean 'train'?")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert set(copy.rglob("*.jsonl")) == before


@pytest.fixture(scope="module")
def with_card(copy: Path) -> dict[str, str]:
    """Variables with which a stand-in for nvidia-smi is found, and torch seems to be a build with CUDA."""
    stand_in = copy / "card" / "nvidia-smi"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    build = stand_in.parent / "torch-2.13.0.dist-info" / "METADATA"
    build.parent.mkdir()
    build.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n")
    return {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "PYTHONPATH": str(stand_in.parent)}


@pytest.mark.parametrize(("given", "cards"), [((), 1), (("--resources", "gpu=3"), 3)])
def test_where_there_is_a_card_jobs_take_turns_on_it(
    copy: Path, with_card: dict[str, str], given: tuple[str, ...], cards: int
) -> None:
    data = make_plan("smoke", None).pairs["micro"]["data"]
    shutil.rmtree(copy / "results" / "data", ignore_errors=True)
    command = ("snakemake", "--cores", "2", *given, "--config", "size=smoke", "--", f"results/data/{data}")
    done = run_in(copy, *command, variables=with_card)
    assert f'Provided resources: gpu=Resource("gpu", {cards})' in done.stderr


def test_a_card_that_torch_cannot_use_is_said_and_limits_no_job(copy: Path, with_card: dict[str, str]) -> None:
    build = Path(with_card["PYTHONPATH"]) / "torch-2.13.0.dist-info" / "METADATA"
    build.write_text(build.read_text().replace("2.13.0", "2.13.0+cpu"))
    done = run_in(copy, "snakemake", "-n", "--cores", "2", "--config", "size=smoke", variables=with_card)
    build.write_text(build.read_text().replace("+cpu", ""))
    assert "warning: there is a GPU here, but torch 2.13.0+cpu is a build for CPUs" in done.stderr
    assert 'Resource("gpu"' not in done.stderr


def test_a_card_of_the_waiting_node_limits_no_job_of_slurm(copy: Path, with_card: dict[str, str]) -> None:
    """Slurm's plugin lies beside the environment: within it every start of Snakemake would load it."""
    asked = ("--no-deps", "--target", "plugins", "-r", "requirements-slurm.lock")
    installed = run_in(copy, sys.executable, "-m", "pip", "install", "--quiet", *asked)
    assert installed.returncode == 0, installed.stderr[-2000:]
    size = yaml.safe_load((copy / "config" / "smoke.yaml").read_text())
    size["train"]["processes"] = 2
    (copy / "config" / "two.yaml").write_text(yaml.safe_dump(size))
    options = ("--workflow-profile", "profiles/slurm", "--dry-run", "--forceall", "--config", "size=two")
    variables = {**with_card, "PYTHONPATH": str(copy / "plugins")}
    done = run_in(copy, "snakemake", *options, "--", "results/tables", variables=variables)
    assert done.returncode == 0, done.stderr[-2000:]
    trained = re.findall(r"^rule train:\n(?:    .*\n)*?    resources: .*gpu=(\d)", done.stdout + done.stderr, re.M)
    assert len(trained) >= 5
    assert set(trained) == {"2"}


def test_a_job_finds_its_modules_from_any_working_directory(copy: Path, tmp_path: Path) -> None:
    data = f"results/data/{make_plan('smoke', None).pairs['micro']['data']}"
    options = ("--snakefile", str(copy / "Snakefile"), "--cores", "1", "--config", "size=smoke")
    done = run_in(tmp_path, "snakemake", *options, "--", data)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / data / "train.jsonl").is_file()


def test_make_hands_its_variables_on_as_they_are(copy: Path) -> None:
    """What `make -n` prints, run with a stand-in for snakemake that prints its arguments."""
    given = ("SIZE=a'b; touch pwned", 'DATA_ROOT=x" y', "--assume-old=.venv/ready", "--assume-old=requirements.lock")
    (copy / "bin").mkdir()
    stand_in = copy / "bin" / "snakemake"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    done = run_in(copy, "make", "tables", *given, "RUN=PATH=bin:$$PATH;")
    assert done.stdout.splitlines()[-5:] == ["size=a'b; touch pwned", 'data_root=x" y', "--", "results/tables", "runs"]
    assert not (copy / "pwned").exists()


@pytest.mark.parametrize("target", ["tables", "retry", "tune", "ablations", "workflow-report"])
def test_what_ends_make_reaches_snakemake(copy: Path, tmp_path: Path, target: str) -> None:
    """With a stand-in for snakemake that says when it starts and when it is told to end."""
    stand_in = tmp_path / "snakemake"
    stand_in.write_text(
        f"#!/bin/bash\ncase $* in *--list-rules*) exit;; esac\ntrap 'touch {tmp_path}/told; exit 1' TERM\n"
        f"touch {tmp_path}/started\nfor _ in $(seq 300); do sleep 0.1; done\n"
    )
    stand_in.chmod(0o755)
    given = ("SIZE=smoke", "--assume-old=.venv/ready", "--assume-old=requirements.lock", f"RUN=PATH={tmp_path}:$$PATH;")
    made = subprocess.Popen(["make", target, *given], cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(tmp_path / "started")
    made.terminate()
    assert made.wait(timeout=20) != 0
    assert (tmp_path / "told").exists()


def until(path: Path) -> None:
    """Wait until a file is there."""
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.1)
    pytest.fail(f"{path} was not written")


def test_a_retry_of_no_size_and_a_check_of_no_method_are_refused(copy: Path) -> None:
    record = copy / "results" / "runs" / "failed" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"status": "failed"}')
    ready = [f"--assume-old={name}" for name in (".venv/ready", ".venv/ready-test", "requirements.lock")]
    done = run_in(copy, "make", "retry", "SIZE=smok", *ready)
    assert done.returncode != 0
    assert "there is no size 'smok' in config/; did you mean 'smoke'?" in done.stderr
    assert record.exists()
    done = run_in(copy, "make", "check", "METHOD=", *ready)
    assert done.returncode != 0
    assert "METHOD is empty; name the folder of a method" in done.stderr


@pytest.mark.parametrize(
    ("size", "needed"), [("mine", True), ("smollm2", True), ("smoke", False), ("smollm2_no", False)]
)
def test_make_installs_the_packages_that_a_size_names(copy: Path, size: str, needed: bool) -> None:
    """What the size's file asks for counts, not what it is called; `make` leaves it to the command to refuse one."""
    shutil.copyfile(copy / "config" / "smollm2_cpu.yaml", copy / "config" / "mine.yaml")
    given = ("--assume-old=.venv/ready", "--assume-old=requirements.lock", "--what-if=requirements-smollm2.lock")
    done = run_in(copy, "make", "-n", "workflow-report", f"SIZE={size}", "DATA_ROOT=data", *given)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("pip install" in done.stdout) is needed
    assert 'data_root="$DATA_ROOT" --report' in done.stdout


def test_no_setting_is_read_by_a_shell(copy: Path) -> None:
    """Every command of a plan full of shell syntax, run with `python` as a function that does nothing."""
    targets = ("--config", "size=nasty", "--", "results/tables", "runs")
    done = run_in(copy, "snakemake", "-n", "-p", "--cores", "1", *targets)
    assert done.returncode == 0, done.stderr[-2000:]
    commands = re.findall(r"^Shell command: (.*)$", done.stdout + done.stderr, re.M)
    assert len(commands) >= 15
    assert sum("touch pwned" in command for command in commands) >= 8
    assert any("\\u03bb" in command for command in commands)
    assert all(command.isascii() for command in commands)  # a job's locale may know no λ
    place = copy / "elsewhere"
    place.mkdir()
    for script, runs_it in (("\n".join(commands), False), ("python 1; touch pwned", True)):
        parsed = subprocess.run(["bash", "-n", "-c", STUBS + script], cwd=place, capture_output=True, check=False)
        assert (parsed.returncode, parsed.stderr) == (0, b"")
        subprocess.run(["bash", "-c", STUBS + script], cwd=place, capture_output=True, check=False)
        assert (place / "pwned").exists() is runs_it
