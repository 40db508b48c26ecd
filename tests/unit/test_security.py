"""Nothing that comes from outside runs as code or leaves its place: models, YAML, names, commands, the report."""

from __future__ import annotations

import ast
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import training.models
from evaluation.collected import read
from evaluation.judge.settings import EndpointJudge
from evaluation.report import render
from evaluation.table_files import Printed
from study.plan import make_plan
from tests.unit.synthetic import write_collected
from tests.unit.tiny_models import tiny_policy
from training.errors import UserError
from training.folders import ROOT
from training.schema import parse
from training.yaml_files import read_yaml

CODE = ("evaluation", "methods", "sources", "study", "training", "world")
FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "pd.read_pickle", "joblib.load",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "marshal.loads", "dill.load",
}  # fmt: skip
PLAIN = {
    "module", "dtype", "out", "threshold", "curves", "policy", "teacher", "models", "verdicts", "checkpoints", "python",
}  # fmt: skip


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return open, (str(self.marker), "w")


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the look at the folder and, with that look left out, by how it is loaded."""
    with pytest.raises(UserError, match=r"could run code|never run"):
        training.models.load_policy(folder)
    monkeypatch.setattr(training.models, "check_model", lambda *_, **__: None)
    with pytest.raises(UserError, match="no model can be read"):
        training.models.load_policy(folder)


def test_no_pickle_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, marker = tiny_policy(tmp_path / "model", seed=0), tmp_path / "marker"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Touch(marker)))
    refused(folder, monkeypatch)
    assert not marker.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes()).close()
    assert marker.exists()  # it would have


def test_no_code_of_a_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, marker = tiny_policy(tmp_path / "model", seed=0), tmp_path / "marker"
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": own}))
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\n\n\nclass Config: ...\n\n\nclass Model: ...\n")
    refused(folder, monkeypatch)
    assert not marker.exists()


@pytest.mark.parametrize(
    "tag", ["object/apply:builtins.open", "object/new:builtins.open", "name:os.system", "module:os"]
)
def test_yaml_makes_no_objects(tmp_path: Path, tag: str) -> None:
    (tmp_path / "size.yaml").write_text(f"title: !!python/{tag} [{tmp_path}/marker, w]\n")
    with pytest.raises(UserError, match="could not determine a constructor"):
        read_yaml(tmp_path / "size.yaml")
    assert not (tmp_path / "marker").exists()


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the repository's own code, with where it stands."""
    for name in CODE:
        for path in sorted((ROOT / name).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_the_code_calls_nothing_that_runs_what_it_reads() -> None:
    found = []
    for where, call in calls():
        name = ast.unparse(call.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (
            name in FORBIDDEN
            or given.get("shell", "False") != "False"
            or given.get("trust_remote_code", "False") != "False"
            or given.get("allow_pickle", "False") != "False"
            or (name == "torch.load" and given.get("weights_only") != "True")
            or (name == "yaml.load" and not where.startswith("training/yaml_files.py"))
        ):
            found.append(f"{where}: {ast.unparse(call)[:80]}")
    assert not found
    assert sum(1 for _ in calls()) > 1000


def test_what_is_made_lies_below_results(tmp_path: Path) -> None:
    """Ids become names of files: no separators, blanks or characters that a shell reads."""
    for size in ("smoke", "micro", "extended"):
        plan = make_plan(size)
        names = [
            *plan.data,
            *plan.models,
            *plan.thresholds,
            *plan.runs,
            *(plan.evaluation(run)[0] for run in plan.runs),
        ]
        assert len(names) > 10
        assert [name for name in names if not re.fullmatch(r"\w[\w.=-]*", name)] == []


def shell_fields() -> Iterator[tuple[str, str]]:
    """Rule file and every `{...}` of its shell commands."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for command in re.findall(r"shell:\n((?: {8}\S?.*\n)+)", path.read_text(encoding="utf-8")):
            for field in re.findall(r"\{([^}]*)\}", command):
                yield path.name, field


def test_commands_hold_no_unquoted_setting() -> None:
    """A parameter is quoted there (`:q`), or is made of ids, constants or quoted parts: those in PLAIN."""
    fields = list(shell_fields())
    assert len(fields) > 50
    unquoted = {(file, field) for file, field in fields if field.startswith("params.") and not field.endswith(":q")}
    assert {field.removeprefix("params.") for _, field in unquoted} <= PLAIN
    others = {field.split(".")[0].split(":")[0] for _, field in fields if not field.startswith("params.")}
    assert others <= {"input", "output", "log"}


def test_the_report_shows_markup_as_text(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    folder = write_collected(tmp_path, seeds=1, prompts=2, samples=2, steps=2, note=attack, failed=("gkd",))
    index = json.loads((folder / "runs.json").read_text())
    index["title"] = attack
    for run in index["runs"]:
        run["label"] = f"{attack} {run['method']}"  # two rows of one name are refused
        run["why"] = attack
    (folder / "runs.json").write_text(json.dumps(index))
    table = Printed(attack, attack, attack, ("", attack), ((attack, attack),), attack)
    page = render(read(folder), [table, table], [], [], attack)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10


def test_a_key_in_a_size_file_is_refused_and_not_repeated() -> None:
    """Keys come from the environment; that they reach neither logs nor results: test_judge_endpoint.py."""
    given = {"url": "http://localhost:8000/v1", "model": "judge", "api_key": "sk-secret"}
    with pytest.raises(UserError, match="unknown key 'api_key'") as caught:
        parse(EndpointJudge, given, "config/micro.yaml")
    assert "sk-secret" not in str(caught.value)
