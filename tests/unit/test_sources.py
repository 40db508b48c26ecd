"""Real problems and pretrained weights. All rows here are made up: the published ones stay with their authors."""

import io
import json
import re
import urllib.error

import pytest

import study.config
from evaluation.generate import Generation, load_tasks
from evaluation.policy_lm import wrong_answer
from evaluation.tasks.strict import process_results
from sources import problems, rows
from sources.catalogue import CATALOGUE
from sources.settings import ProblemData
from study.plan import make_plan
from training.answers import is_correct
from training.data import read_problems
from training.errors import UserError
from training.schema import parse

GSM8K = {"question": "Ann has 1,200 nuts and buys N. How many has she?", "answer": "1200+N=<<1200+N=x>>\n#### 1,2N"}
MADE_UP = {
    "gsm8k": lambda i: {key: text.replace("N", str(10 + i)) for key, text in GSM8K.items()},
    "svamp": lambda i: {
        "ID": f"made-{201 + i if i < 8 else i}", "Body": f"Ann had 9 nuts. She ate {i}",
        "Question": "How many are left?",
        "Equation": f"( ( 9.0 - {i}.0 ) - 0.5 )", "Answer": 8.5 - i, "Type": "Subtraction",
    },
    "gsm_symbolic": lambda i: {"id": i // 2, "instance": i % 2, **MADE_UP["gsm8k"](i)},
    "reasoning_gym": lambda i: {"id": f"00-{i}", "question": f"{i}?", "answer": f"{i}", "answer_cot": f"So.\n#### {i}"},
    "math": lambda i: {"problem": f"What is ${i}/3$?", "solution": f"It is $\\boxed{{\\frac{{{i}}}{{3}}}}$."},
}  # fmt: skip


def made_up(name, count, first=0):
    kind = "gsm_symbolic" if name.startswith("gsm_symbolic") else re.sub("(500|_new)$", "", name)
    return [MADE_UP[kind](i) for i in range(first, first + count)]


@pytest.fixture
def root(tmp_path):
    """A folder laid out like local copies, with a few made-up rows of every data set and split."""
    files = {}
    for name, data in CATALOGUE.items():
        for which, split in data.splits.items():
            content = made_up(name, 8, 8 if which == "train" else 0)
            files.setdefault(split.file, []).extend(row for row in content if row not in files.get(split.file, []))
    for file, content in files.items():
        write(tmp_path / "copies" / file, content)
    return tmp_path / "copies"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.suffix == ".json"
    path.write_text(json.dumps(content) if whole else "".join(json.dumps(row) + "\n" for row in content))


def settings(root, **given):
    return parse(ProblemData, {"root": str(root), "validation": 3, "tests": {"gsm8k": 4}, **given}, "test")


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_reader_gives_a_solution_that_reaches_the_gold_answer(name, root):
    found = problems.usable_problems(CATALOGUE[name], "test", str(root))
    assert len(found) == (16 if name == "svamp" else 8)
    assert all(is_correct(p["solution"], p["answer"]) and p["chain"] is None for p in found)
    assert all(p["prompt"].startswith(p["question"] + "\n\n") for p in found)
    assert len({p["id"] for p in found}) == len(found)


def test_every_data_set_has_its_own_name_and_a_licence():
    assert {(name, data.name) for name, data in CATALOGUE.items()} == {(name, name) for name in CATALOGUE}
    licences = {name: data.licence for name, data in CATALOGUE.items() if name.startswith(("svamp", "gsm_"))}
    held_back = dict.fromkeys(("gsm_symbolic_main", "gsm_symbolic_p1", "gsm_symbolic_p2"), "CC BY-NC-ND 4.0")
    assert licences == {"svamp": "MIT", **held_back}
    assert all(data.licence for data in CATALOGUE.values())


def test_answers_solutions_and_the_asked_form(root):
    gsm8k, math = (problems.usable_problems(CATALOGUE[name], "test", str(root))[3] for name in ("gsm8k", "math"))
    svamp = {p["id"]: p for p in problems.usable_problems(CATALOGUE["svamp"], "test", str(root))}["svamp-made-204"]
    assert (gsm8k["answer"], gsm8k["solution"]) == ("1213", "1200+13=\n#### 1,213")
    assert (svamp["answer"], svamp["solution"]) == ("5.5", "( 9 - 3 ) - 0.5 = 5.5\n#### 5.5")
    assert svamp["question"] == "Ann had 9 nuts. She ate 3, How many are left?"
    assert math["answer"] == "\\frac{3}{3}"
    assert gsm8k["prompt"].endswith('"#### <number>".')
    assert math["prompt"].endswith("\\boxed{<answer>}.")


def test_svamp_is_split_by_blocks_of_neighbours(root):
    numbered = [{**MADE_UP["svamp"](0), "ID": f"chal-{number}", "Body": f"{number} nuts"} for number in range(1, 1001)]
    write(root / "svamp" / "SVAMP.json", numbered)
    found = problems.data_sets(settings(root, train="svamp", validation=100, tests={"svamp": None}))
    numbers = {name: [int(p["id"].rpartition("-")[2]) for p in rows] for name, rows in found.items()}
    test = numbers["svamp"]
    assert sorted(numbers["train"] + numbers["validation"] + test) == list(range(1, 1001))
    assert sorted(test) == [number for first in (201, 451, 701, 951) for number in range(first, first + 50)]
    blocks = [sum(first <= number < first + 50 for number in test[:40]) for first in (201, 451, 701, 951)]
    assert min(blocks) > 0  # an evaluation may take the first ones alone


def test_hub_and_local_copies_of_math_are_split_alike(root, capsys):
    """Their authors' copy names its problems, the hub's rows come without names and in another order."""
    plain = made_up("math", 40)
    named = [{**row, "unique_id": f"train/{99 - at}.json"} for at, row in enumerate(plain)]
    found = []
    for rows_of in (named, plain[::-1]):
        write(root / "math" / "train.jsonl", rows_of)
        kinds = problems.data_sets(settings(root, train="math", validation=10, tests={"gsm8k": 4}))
        found.append({name: [p["question"] for p in kinds[name]] for name in ("train", "validation")})
    assert found[0] == found[1]


def test_a_box_without_braces_counts_and_an_empty_one_is_left_out_and_named(root, capsys):
    faulty = [{"problem": "One?", "solution": "$\\boxed 1$"}, {"problem": "None?", "solution": "$\\boxed{}$"}]
    write(root / "math" / "test.jsonl", faulty)
    (only,) = problems.usable_problems(CATALOGUE["math"], "test", str(root))
    assert (only["answer"], only["solution"]) == ("1", "$\\boxed{1}$")
    assert (
        "1 of 2 rows left out, whose solution does not reach a strict answer: math-00001 (answer None, solution None)"
        in capsys.readouterr().err
    )


def test_validation_comes_out_of_training_alone_and_limits_hold(root):
    found = problems.data_sets(settings(root, train_limit=4, tests={"gsm8k": None, "svamp": 2}))
    counts = {name: len(content) for name, content in found.items()}
    assert counts == {"validation": 3, "train": 4, "gsm8k": 8, "svamp": 2}
    ids = [p["id"] for name in ("validation", "train") for p in found[name]]
    assert len(set(ids)) == 7


def test_long_questions_are_left_out_of_training_and_validation_alone(root, capsys):
    write(root / "math/train.jsonl", [{"problem": f"{i:9}", "solution": f"\\boxed{{{i}}}"} for i in range(4)])
    with (root / "math/train.jsonl").open("a") as file:
        file.write(json.dumps({"problem": "x" * 10, "solution": "\\boxed{9}"}) + "\n")
    found = problems.data_sets(settings(root, train="math", longest=9, validation=1, tests={"math": None}))
    assert len(found["train"] + found["validation"]) == 4
    assert len(found["math"]) == 8
    assert "math, train: 1 questions of more than 9 characters left out" in capsys.readouterr().err


def test_the_seed_decides_what_is_taken(root):
    first, again, other = (problems.data_sets(settings(root, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first["validation"] != other["validation"]
    assert first["gsm8k"] != other["gsm8k"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"train": "gsm_symbolic_p2"}, "'gsm_symbolic_p2' is for evaluation only .*nobody trains on it"),
        ({"train": "math500"}, "'math500' is for evaluation only .*no training split"),
        ({"train": "gsm9k"}, "did you mean 'gsm8k'"),
        ({"tests": {"swamp": 1}}, "no data set 'swamp': did you mean 'svamp'"),
        ({"tests": {"gsm8k": 9}}, "has 8 problems, fewer than the 9 asked for"),
        ({"train_limit": 6}, "8 training problems that no test asks, too few for 3 validation and 6 training"),
        ({"validation": 8}, "too few for 8 validation and 1 training"),
    ],
)
def test_settings_that_cannot_be_met_are_one_sentence(root, given, sentence):
    with pytest.raises(UserError, match=sentence):
        problems.data_sets(settings(root, **given))


def test_a_question_is_trained_on_or_validated_on_never_both(root, capsys):
    path = root / CATALOGUE["gsm8k"].splits["train"].file
    write(path, [row for row in made_up("gsm8k", 8, 8) for _ in range(2)])
    found = problems.data_sets(settings(root))
    questions = [p["question"] for name in ("validation", "train") for p in found[name]]
    assert len(questions) == len(set(questions)) == 8
    assert "8 problems are in a test set too, or twice in the set" in capsys.readouterr().err


def test_the_hub_is_read_where_there_is_no_root(monkeypatch):
    asked = []

    def load_dataset(repository, config, split):
        asked.append((repository, config, split))
        return made_up("math", 1)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = problems.usable_problems(CATALOGUE["math"], "test", None)
    assert len(found) == 7
    assert asked[0] == ("EleutherAI/hendrycks_math", "algebra", "test")


def test_no_hub_in_reach_is_one_sentence_with_the_remedy(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"from the hub as openai/gsm8k \(no route\); .*DATA_ROOT"):
        problems.usable_problems(CATALOGUE["gsm8k"], "test", None)


def test_the_hub_is_asked_before_anything_is_computed(monkeypatch, tmp_path):
    refused = urllib.error.HTTPError("address", 401, "refused", None, None)
    answers = iter([urllib.error.URLError("no route"), refused, io.BytesIO()])

    def urlopen(*_, **__):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"out of reach .*no route.*DATA_ROOT"):
        rows.check(CATALOGUE["gsm8k"], "test", None)
    assert rows.check(CATALOGUE["gsm8k"], "test", None) is None
    assert rows.check(CATALOGUE["gsm8k"], "test", None) is None
    (tmp_path / "datasets--openai--gsm8k").mkdir()
    assert rows.check(CATALOGUE["gsm8k"], "test", None) is None  # cached: the hub, which would fail now, is not asked
    with pytest.raises(StopIteration):
        rows.check(CATALOGUE["svamp"], "test", None)


def test_written_files_are_what_the_tasks_load(root, tmp_path):
    params = {"root": str(root), "validation": 2, "tests": dict.fromkeys(CATALOGUE, 6)}
    problems.main(["--params", json.dumps(params), "--out", str(tmp_path)])
    assert len(read_problems(tmp_path / "train.jsonl")) == 6
    tasks, _ = load_tasks(Generation(tests=tuple(CATALOGUE), prompts=6), tmp_path)
    assert len(tasks) == 2 * len(CATALOGUE)
    for task in tasks.values():
        documents = list(task.eval_docs)
        right = [process_results(doc, [[doc["solution"]]])["exact_match"] for doc in documents]
        wrong = [process_results(doc, [[f"#### {wrong_answer(doc['answer'])}"]])["exact_match"] for doc in documents]
        assert (right, wrong) == ([1.0] * 6, [0.0] * 6)


def test_the_real_size_is_planned_from_local_copies(root):
    write(root / "gsm8k" / "test.jsonl", made_up("gsm8k", 100))
    write(
        root / "svamp" / "SVAMP.json",
        [{**made_up("svamp", 1)[0], "ID": f"chal-{i}", "Body": f"{i} nuts"} for i in range(1, 1001)],
    )
    plan = make_plan("smollm2_cpu", str(root))
    (data,) = plan.data.values()
    assert (data.module, data.params["root"]) == ("sources.problems", str(root))
    assert {made.module for made in plan.models.values()} == {"sources.smollm2"}
    assert len({made.params["sft_steps"] for made in plan.models.values()}) == 2
    assert {run.kind for run in plan.runs.values()} == {"method", "reference", "control"}
    (root / "svamp" / "SVAMP.json").unlink()
    with pytest.raises(UserError, match=r"no file .*SVAMP\.json"):
        make_plan("smollm2_cpu", str(root))


@pytest.mark.parametrize("given", ["{svamp: 100, gsm8k: null}", "{svamp: 100, gsm8k: 100}"])
def test_a_test_set_that_is_taken_whole_must_be_large_enough(root, given, tmp_path, monkeypatch):
    """Where its rows lie here, that is told before anything is computed."""
    text = (study.config.ROOT / "config" / "smollm2_cpu.yaml").read_text()
    (tmp_path / "config").mkdir()
    text = text.replace("{svamp: 100, gsm8k: 100}", given).replace("name: svamp, title", "name: gsm8k, title")
    (tmp_path / "config" / "real.yaml").write_text(text)
    monkeypatch.setattr(study.config, "ROOT", tmp_path)
    if "null" in given:
        with pytest.raises(
            UserError, match="prompts is 100, but test set 'gsm8k' of pair 'smollm2' has 8 problems; ask"
        ):
            make_plan("real", str(root))
        hundred = [{**row, "question": f"{i}"} for i, row in enumerate(made_up("gsm8k", 50) * 2)]
        write(root / "gsm8k" / "test.jsonl", hundred)
    assert make_plan("real", str(root)).runs


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("prompts: 100", "prompts: 101", "evaluate.prompts is 101, but test set 'svamp' .* has 100 problems"),
        ("name: svamp", "name: math", "has no test set 'math'"),
        ("smollm2: {sft_steps: 100", "smollm2: {sft_step: 100", "unknown key .*did you mean 'sft_steps'"),
        (
            "smollm2: {sft_steps: 100",
            "pretrained: x, smollm2: {sft_steps: 100",
            "exactly one of 'world', .* 'shadow' and",
        ),
    ],
)
def test_a_real_size_that_cannot_be_is_refused(tmp_path, monkeypatch, old, new, sentence):
    text = (study.config.ROOT / "config" / "smollm2_cpu.yaml").read_text()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "real.yaml").write_text(text.replace(old, new))
    monkeypatch.setattr(study.config, "ROOT", tmp_path)
    with pytest.raises(UserError, match=sentence):
        study.config.load_size("real")
