"""A stranger's way: copy the template outside the repository and check it; break it and be told what to change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training.folders import ROOT, find_folders

FILES = ("tests/contract/test_methods.py", "tests/contract/test_training.py")


def copy(folder: Path) -> Path:
    """`cp -r methods/_template <folder>/mine`."""
    return Path(shutil.copytree(ROOT / "methods" / "_template", folder / "mine"))


def check(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What `make check METHOD=mine METHODS_PATH=<folder>` runs."""
    plain = ["-o", "addopts=-q"]  # in one process: tests may run side by side already
    command = [sys.executable, "-m", "pytest", *plain, *FILES, "--method", "mine", "--methods-path", str(folder)]
    return subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_template_is_no_method_of_a_study_until_it_is_copied(tmp_path: Path) -> None:
    assert "_template" not in find_folders()
    copy(tmp_path)
    assert find_folders((tmp_path,))["mine"].declares.label == "My method"


def test_a_copy_trains_and_keeps_the_contract(tmp_path: Path) -> None:
    copy(tmp_path)
    ran = check(tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "failed" not in ran.stdout


def test_each_mistake_names_its_file_and_remedy(tmp_path: Path) -> None:
    mine = copy(tmp_path)
    (mine / "cite.bib").unlink()
    replace(mine / "method.yaml", 'divergence: "', 'distance: "')
    right, wrong = "batch.mean(batch.expectation(self.divergence))", "batch.expectation(self.divergence).mean(1)"
    replace(mine / "method.py", right, wrong)
    ran = check(tmp_path, "-k", "complete or declared or padding_changes")
    assert ran.returncode == 1
    assert f"{mine / 'cite.bib'} is missing; copy the one of methods/_template" in ran.stdout
    declared = "declares the statistics ['distance'], but loss(batch) returns ['divergence']"
    assert f"{mine / 'method.yaml'} {declared}" in ran.stdout
    assert f"{mine / 'method.py'}: the loss changes with padding" in ran.stdout
    assert "use batch.mean for token means" in ran.stdout


def test_an_unknown_name_or_key_is_one_sentence(tmp_path: Path) -> None:
    assert "there is no methods/mine/method.yaml or" in "".join(outputs(check(tmp_path, "--collect-only")))
    mine = copy(tmp_path)
    replace(mine / "method.yaml", "label:", "lable:")
    assert f"{mine / 'method.yaml'}: " in "".join(outputs(check(tmp_path, "--collect-only")))
    replace(mine / "method.yaml", "lable:", "label:")
    (mine / "method.py").write_text("def (")
    said = check(tmp_path)
    assert said.returncode == 4
    assert said.stderr.split("ERROR: ")[1].startswith(f"{mine / 'method.py'}, line 1: no valid Python")


def outputs(ran: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """What a failing command printed."""
    assert ran.returncode != 0
    return ran.stdout, ran.stderr


@pytest.mark.parametrize("name", ["README.md", "cite.bib", "method.py", "method.yaml"])
def test_the_template_holds_what_a_method_needs(name: str) -> None:
    assert (ROOT / "methods" / "_template" / name).stat().st_size > 0
