"""The record of what a job ran on: code apart, commit and changes, inputs, software, machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from study import provenance
from study.code import code_hash
from study.machine import instruction_set, machine
from training.errors import UserError
from training.folders import ROOT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, and the results folder of the working directory elsewhere."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "code"
    root.mkdir()
    (root / "a.py").write_text("A = 1\n", encoding="utf-8")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
    return root


def test_a_clean_tree_has_a_commit_and_no_changes(repository: Path) -> None:
    found = provenance.git_state(repository)
    assert len(found["commit"]) == 40
    assert (found["dirty"], found["diff"], found["others"]) == (False, None, None)


def test_changes_are_kept_once_new_files_included(repository: Path) -> None:
    (repository / "a.py").write_text("A = 2\n", encoding="utf-8")
    (repository / "b.py").write_text("B = 1\n", encoding="utf-8")
    before = subprocess.run(["git", "-C", str(repository), "status", "--short"], capture_output=True, text=True).stdout
    found = provenance.git_state(repository)
    again = provenance.git_state(repository)
    text = Path(found["diff"]).read_text(encoding="utf-8")
    assert "+A = 2" in text
    assert "+B = 1" in text
    assert again == found
    assert len(list(provenance.KEPT.iterdir())) == 1
    after = subprocess.run(["git", "-C", str(repository), "status", "--short"], capture_output=True, text=True).stdout
    assert after == before == " M a.py\n?? b.py\n"  # the repository's own index is untouched


def test_new_files_that_are_no_code_are_known_by_name_and_size_alone(repository: Path) -> None:
    """Data sets and secrets are neither read nor kept."""
    new = {
        ".env": "KEY=s3cret", "data/rows.jsonl": "s3cret rows", "long.py": "#s3cret" * 200_000,
        "Makefile": "all:\n", "rules/λ [a].smk": "rule a:\n", ":(top)b.py": "B = 1\n", "c/__init__.py": "",
    }  # fmt: skip
    for name, text in new.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text, encoding="utf-8")
    found = provenance.git_state(repository)
    diff, others = (Path(found[kept]).read_text(encoding="utf-8") for kept in ("diff", "others"))
    assert all(line in diff for line in ("+all:", "+rule a:", "+B = 1", "c/__init__.py"))
    assert "s3cret" not in diff + others
    assert set(others.splitlines()) == {"10 .env", "11 data/rows.jsonl", "1400000 long.py"}


def test_data_beside_the_code_is_no_change_of_it(repository: Path) -> None:
    (repository / "rows.csv").write_text("1", encoding="utf-8")
    found = provenance.git_state(repository)
    assert (found["dirty"], found["diff"]) == (False, None)
    assert Path(found["others"]).read_text(encoding="utf-8") == "1 rows.csv\n"


def test_without_git_the_record_says_so(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "inner").mkdir()
    assert "not a git repository of its own" in provenance.git_state(repository / "inner")["unknown"]
    assert "unknown" in provenance.git_state(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(repository) == {"unknown": "git is not installed"}


def test_content_decides_the_hash_of_a_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "x").write_text("1", encoding="utf-8")
    (tmp_path / "two" / ".snakemake_timestamp").touch()
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    found = provenance.input_hashes([one, two, "nobody/nothing"])
    assert found[one] == found[two]
    assert found["nobody/nothing"] == "not on this machine"
    (tmp_path / "two" / "inner" / "x").write_text("2", encoding="utf-8")
    assert provenance.input_hashes([two])[two] != found[one]


def test_a_job_writes_its_record_beside_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"train": 4, "validation": 2, "test": 2, "seed": 3}
    job = ["world.write", "--params", json.dumps(data), "--out", str(tmp_path / "data")]
    code = ["--own", "method=methods/cmdp", "--code", "training=training/train.py"]
    monkeypatch.delitem(sys.modules, "world.write", raising=False)  # as in a fresh process
    provenance.main(["--out", "record.json", *code, "--inputs", str(ROOT / "config"), "--", *job])
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert (tmp_path / "data" / "train.jsonl").is_file()
    assert (record["module"], record["config"]) == (job[0], job[1:])
    assert record["code"]["training"] == code_hash("training/train.py")
    assert record["code"]["method"] == code_hash("methods/cmdp/method.py", "methods/cmdp/method.yaml", follow=False)
    assert len(record["inputs"][str(ROOT / "config")]) == len(record["software"]["lock"]) == 64
    assert f"torch=={record['software']['torch']}\n" in Path(record["software"]["packages"]).read_text(encoding="utf-8")
    assert record["start"] <= record["end"]
    assert record["machine"].keys() >= {"processor", "instruction_sets", "device", "cores"}


def test_a_model_that_the_job_fetches_has_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache is asked again when the job is done; an input that it made itself is none of the hub's."""
    monkeypatch.chdir(tmp_path)
    cached: list[str] = []
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: cached[0] if cached else None)
    monkeypatch.setattr(
        provenance.runpy, "run_module", lambda *_, **__: cached.append(f"/cache/abc123/{tmp_path.name}")
    )
    provenance.main(["--out", "record.json", "--inputs", "org/student", str(ROOT / "config"), "--", "job"])
    inputs = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))["inputs"]
    assert list(inputs) == ["org/student", str(ROOT / "config")]
    assert inputs["org/student"] == "hub commit abc123"


def test_a_job_that_fails_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "record.json").write_text("old", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        provenance.main(["--out", "record.json", "--", "world.write", "--params", "{", "--out", "data"])
    assert ended.value.code == 2
    assert not (tmp_path / "record.json").exists()
    with pytest.raises(UserError, match="name it and its arguments after '--'"):
        provenance.main(["--out", "record.json"])


def test_a_method_and_what_it_imports_have_hashes_apart() -> None:
    alone, followed = (code_hash("methods/cmdp/method.py", follow=follow) for follow in (False, True))
    assert alone != followed


def test_switches_that_narrow_the_kernels_make_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = instruction_set()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert instruction_set() == [*before, "ONEDNN_MAX_CPU_ISA=AVX2"]
    assert machine()["switches"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
