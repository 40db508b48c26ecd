"""A data set of one's own by the keys of a config, from its files to what a model is asked. All rows are made up."""

import pytest
import yaml

import study.config
from evaluation.generate import Generation, load_tasks
from evaluation.tasks.strict import process_results
from sources import problems
from sources.catalogue import BOXED, CATALOGUE, NUMBER
from sources.settings import ProblemData
from study.plan import make_plan
from study.preflight.data_checks import data_findings
from study.preflight.hours import counted
from study.verify import relative_paths
from tests.unit.test_sources import made_up, write
from training.errors import UserError
from training.schema import parse

FILES = {"train": "plums/train.jsonl", "test": "plums/test.json"}


def row(i, **changed):
    return {"question": f"{i} plums and 2 more?", "solution": f"{i} + 2 = {i + 2}\n#### {i + 2}", **changed}


@pytest.fixture
def root(tmp_path):
    write(tmp_path / FILES["train"], [row(i) for i in range(10, 30)])
    write(tmp_path / FILES["test"], [row(i) for i in range(6)])
    return tmp_path


def settings(root, own=None, **given):
    plums = {**FILES, **(own or {})}
    asked = {"own": {"plums": plums}, "train": "plums", "validation": 3, "tests": {"plums": None}, **given}
    return parse(ProblemData, {"root": root and str(root), **asked}, "test")


def read(root, own=None, split="test"):
    return problems.usable_problems(settings(root, own).data_set("plums"), split, str(root))


def test_its_files_are_trained_on_and_tested(root, tmp_path):
    out = tmp_path / "out"
    problems.main(["--params", settings(root).model_dump_json(), "--out", str(out)])
    counts = {file.stem: len(file.read_text().splitlines()) for file in out.iterdir()}
    assert counts == {"validation": 3, "train": 17, "plums": 6}
    tasks, _ = load_tasks(Generation(tests=("plums",), prompts=6), out)
    assert list(tasks) == ["plums_sampled", "plums_greedy"]
    for task in tasks.values():
        asked = {doc["id"]: doc for doc in task.eval_docs}["plums-5"]
        assert (task.doc_to_text(asked), task.doc_to_target(asked)) == (
            NUMBER.format(question="4 plums and 2 more?"), "6"
        )  # fmt: skip
        assert process_results(asked, [["#### 6", "#### 7"]])["exact_match"] == 0.5


def test_it_stands_beside_published_sets(root):
    write(root / "gsm8k" / "test.jsonl", made_up("gsm8k", 8))
    found = problems.data_sets(settings(root, tests={"gsm8k": 4, "plums": 5}))
    assert {name: len(rows) for name, rows in found.items()} == {"validation": 3, "train": 17, "gsm8k": 4, "plums": 5}


def test_without_a_root_its_files_are_sought_where_one_works(root, monkeypatch):
    monkeypatch.chdir(root)
    assert len(problems.data_sets(settings(None))["plums"]) == 6
    absolute = {name: str(root / file) for name, file in FILES.items()}
    monkeypatch.chdir("/")
    assert len(problems.data_sets(settings(None, absolute))["plums"]) == 6
    with pytest.raises(
        UserError,
        match=r"data set 'plums' is missing: there is no file plums/train\.jsonl; put it there or correct `own",
    ):
        problems.check_all(settings(None))
    assert settings(None, {"test": "./a/../x.json"}).own["plums"].test == "x.json"


def test_columns_and_form_are_as_said(root):
    boxed = [{"id": i, "q": f"{i}?", "why": f"So \\boxed{{{i}/3}}."} for i in range(3)]
    write(root / FILES["test"], boxed)
    found = read(root, {"question": "q", "solution": "why", "form": "boxed"})
    assert [(p["id"], p["answer"]) for p in found] == [(f"plums-{i}", f"{i}/3") for i in range(3)]
    assert found[0]["prompt"] == BOXED.format(question="0?")


@pytest.mark.parametrize(
    ("changed", "form", "solution", "answer"),
    [
        ({"why": "4 + 2 is it", "final": 6.0}, "number", "4 + 2 is it\n#### 6", "6"),
        ({"why": "4 + 2\n#### 6", "final": "6"}, "number", "4 + 2\n#### 6", "6"),
        ({"why": "So:", "final": "$x^2$"}, "boxed", "So:\n\\boxed{x^2}", "x^2"),
        ({"why": "So:", "final": "\\boxed{(1, 2)}"}, "boxed", "So:\n\\boxed{(1, 2)}", "(1, 2)"),
        ({"final": 1234}, "number", "#### 1234", "1234"),
        ({"final": 1e-7, "solution": None}, "number", "#### 0.0000001", "0.0000001"),
        ({"final": "$1,200.50"}, "number", "#### 1200.5", "1200.5"),
        ({"final": " 50%"}, "number", "#### 50", "50"),
        ({"final": "2 + 5 = 7\n#### 7"}, "number", "#### 7", "7"),
    ],
)
def test_a_final_answer_may_have_a_column_of_its_own(root, changed, form, solution, answer):
    """As decorated as a response's may be. The solution then has to be named to be read."""
    plain = {"question": "4?"} | changed
    write(root / FILES["test"], [plain])
    own = {"answer": "final", "form": form, **({"solution": "why"} if "why" in changed else {})}
    (only,) = read(root, own)
    assert (only["solution"], only["answer"]) == (solution, answer)


def test_a_solution_that_contradicts_its_answer_is_left_out_and_named(root, capsys):
    write(root / FILES["test"], [row(1, final=3), row(2, final=5), row(3, final="7 dollars")])
    (only,) = read(root, {"answer": "final", "solution": "solution"})
    assert only["answer"] == "3"
    said = "2 of 3 rows left out, whose solution does not reach a strict answer: "
    named = "plums-2 (answer '5', solution '4'), plums-3 (answer None, solution '5')"
    assert f"plums, test: {said}{named}" in capsys.readouterr().err


@pytest.mark.parametrize("final", ["7 dollars", "1/2", "\uff11\uff12", "\\frac{1}{2}", "", float("nan")])
def test_a_test_set_without_one_usable_row_is_refused(root, final):
    write(root / FILES["test"], [row(1, final=final)])
    with pytest.raises(
        UserError, match=r"test\.json(: no row reaches a strict answer: plums-1 |, row 1: no answer: 'fin)"
    ):
        read(root, {"answer": "final"})


@pytest.mark.parametrize(
    ("rows", "own", "sentence"),
    [
        (
            [{"q": "1?", "why": "#### 1"}],
            {},
            "row 1: no question: there is no 'question', but .'q', 'why'.; name the column",
        ),
        ([row(1), row(2, solution=None)], {}, "row 2: no solution: 'solution' is None; name the column as 'solution'"),
        ([row(1, final=True)], {"answer": "final"}, "row 1: no answer: 'final' is True; name the column as 'answer'"),
        ([row(1), row(2)], {"answer": "a", "solution": "b"}, "row 1: no solution: there is no 'b', but"),
        ([row(1, id=1), row(2, id=1)], {}, "row 2: its id 'plums-1' is that of row 1 too"),
        ([row(1, id=None), row(2, question=float("inf"))], {}, "row 2: no question: 'question' is inf"),
        ([{"question": ["long"] * 99}], {}, r"row 1: no question: 'question' is .{57}\.\.\.; name"),
    ],
)
def test_a_row_that_lacks_something_is_named_with_its_file(root, rows, own, sentence):
    write(root / FILES["test"], rows)
    with pytest.raises(UserError, match=rf"^data set 'plums', split 'test', .*/plums/test\.json, {sentence}"):
        read(root, own)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("null", r"test\.json holds no list of rows; correct it"),
        ('{"data": []}', r"test\.json holds no list of rows; correct it \(.*\.json one list of them\)"),
        ("[7]", r"test\.json, row 1 is 7, but must be a mapping of columns; correct it"),
        ("{}\n{}", r"test\.json: no valid JSON \(Extra data.*; correct it \(\.jsonl holds a mapping a line"),
    ],
)
def test_a_file_of_another_form_is_named(root, text, sentence):
    (root / FILES["test"]).write_text(text)
    with pytest.raises(UserError, match=sentence):
        read(root)


def test_blank_lines_are_no_rows(root):
    with (root / FILES["train"]).open("a") as file:
        file.write("  \n\n" + " \t\n")
    assert len(read(root, split="train")) == 20


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"own": {"plums": {"test": "x.csv"}}}, "a file of problems is .jsonl, .* or .json, .*: convert it"),
        ({"own": {"plums": {}}}, "needs a file: give 'train', 'test' or both"),
        ({"own": {"plums": {"trian": "x"}}}, "unknown key .*'train'"),
        ({"own": {"gsm8k": FILES}, "train": "gsm8k"}, "'own' names a data set 'gsm8k', which is another's name"),
        ({"own": {"validation": FILES}}, "'own' names a data set 'validation', which is another's name"),
        ({"own": {"a/b": FILES}}, "a/b"),
        ({"own": {"plums": {"test": "x.json"}}}, "'plums' is for evaluation only .it has no training split"),
        ({"own": {"plums": {"train": "x.json"}}}, "'own.plums' has no file of test problems: give it 'test'"),
        ({"train": "plum"}, "no such training set as 'plum': did you mean 'plums'"),
        ({"tests": {"plum": 3}}, "there is no data set 'plum': did you mean 'plums'"),
    ],
)
def test_keys_that_cannot_be_are_one_sentence(given, sentence):
    with pytest.raises(UserError, match=sentence):
        parse(ProblemData, {"own": {"plums": FILES}, "train": "plums", "tests": {"plums": None}, **given}, "test")


@pytest.fixture
def size(root, monkeypatch):
    """A size of smollm2_cpu's models on plums."""
    content = yaml.safe_load((study.config.ROOT / "config" / "smollm2_cpu.yaml").read_text())
    pair = content["pairs"]["smollm2"]
    pair["data"] = {"problems": settings(None).model_dump(exclude_unset=True)}
    pair["tests"] = [{"name": "plums", "title": "Plums"}]
    content["evaluate"]["prompts"] = 6
    content["train"] |= {"steps": 0, "epochs": 4}
    (root / "config").mkdir()
    (root / "config" / "mine.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(study.config, "ROOT", root)
    return study.config.load_size("mine").model_copy(update={"data_root": str(root)})


def test_a_study_on_it_is_planned_and_known_by_the_content_of_its_files(root, size):
    def ids():
        return set(make_plan("mine", str(root)).data)

    first = ids()
    content = yaml.safe_load((root / "config" / "mine.yaml").read_text())
    own = content["pairs"]["smollm2"]["data"]["problems"]["own"]
    own["plums"] |= {"licence": "CC0", "test": f"./{FILES['test']}"}
    own["unused"] = {"test": "unused.json"}
    (root / "config" / "mine.yaml").write_text(yaml.safe_dump(content))
    assert ids() == first
    write(root / FILES["test"], [row(i) for i in range(7)])
    assert ids() != first
    write(root / FILES["test"], [*(row(i) for i in range(5)), row(6, solution="six")])
    with pytest.raises(UserError, match="prompts is 6, but test set 'plums' of pair 'smollm2' has 5 problems"):
        ids()
    (root / FILES["test"]).unlink()
    with pytest.raises(UserError, match=r"data set 'plums' is missing: there is no file .*/plums/test\.json"):
        ids()


def test_preflight_finds_and_counts_it(root, size):
    (pair,) = size.pairs.values()
    said = {finding.what: finding.found for finding in data_findings("p", pair, str(root))}
    assert said == {"problems": "plums (train), plums (test)", "data licences": "plums: not stated"}
    assert counted(size, "smollm2").steps == 17  # 4 epochs of 17 problems, 4 of them an update
    nowhere = size.model_copy(update={"data_root": "/nowhere"})
    (refused,) = (f for f in data_findings("p", pair, "/nowhere") if f.level == "refused")
    assert "data set 'plums' is missing" in refused.found
    assert counted(nowhere, "smollm2").steps > 1000
    (root / FILES["train"]).write_text("{")
    (broken,) = (f for f in data_findings("p", pair, str(root)) if f.level == "refused")
    assert "train.jsonl, line 1: no valid JSON" in broken.found
    assert counted(size, "smollm2").steps > 1000


def test_verify_finds_its_files(root, size, monkeypatch):
    monkeypatch.chdir(root)
    below = size.model_copy(update={"data_root": None})
    assert [str(path) for path in relative_paths(below, None)] == sorted(FILES.values())
    assert [str(path) for path in relative_paths(below, "..")] == [".."]


def test_published_sets_keep_their_names():
    assert settings(None).data_set("gsm8k") is CATALOGUE["gsm8k"]
