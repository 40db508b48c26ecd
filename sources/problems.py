"""Write real problems in the suite's form: training, validation and the test sets.

    python -m sources.problems --params '{"tests": {"gsm8k": 100}, "root": "data"}' --out results/data/real

Validation problems come out of the training set, never out of a test set. `chain` is null: real problems have
no step verifier.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator

from sources.catalogue import DataSet
from sources.rows import check, origin, read_rows
from sources.settings import ProblemData
from training.answers import extract, is_correct
from training.command import read_command
from training.data import Problem, derive_seed
from training.errors import UserError, cli, short

SAMPLE = 3  # faulty rows named in a message


def data_sets(settings: ProblemData) -> dict[str, list[Problem]]:
    """All problems by file name; a function of the settings and the published rows."""
    training, root = settings.data_set(settings.train), settings.root
    tests = {
        test: _test(data := settings.data_set(test), asked_split(data, settings.train), root) for test in settings.tests
    }
    pool = _short(usable_problems(training, "train", root), settings.longest, settings.train)
    pool = _apart(pool, tests, settings.train)
    _shuffle(pool, settings.seed, "train")
    rest = len(pool) - settings.validation
    if rest < (settings.train_limit or 1):
        raise UserError(
            f"data set '{settings.train}' has {len(pool)} training problems that no test asks, too few for "
            f"{settings.validation} validation and {settings.train_limit or 1} training problems; ask for fewer"
        )
    cut = settings.validation
    found = {"validation": pool[:cut], "train": pool[cut:][: settings.train_limit]}
    for test, limit in settings.tests.items():
        found[test] = _limited(tests[test], limit, settings.seed, test)
    return found


def asked_split(data: DataSet, train: str) -> str:
    """The split that a test takes: of an unsplit data set, what training on that same set holds out."""
    return "held_out" if data.name == train and "held_out" in data.splits else "test"


def _short(pool: list[Problem], longest: int | None, name: str) -> list[Problem]:
    """The problems whose question has at most `longest` characters; how many are left out is said."""
    kept = [problem for problem in pool if longest is None or len(problem["question"]) <= longest]
    if len(kept) < len(pool):
        print(
            f"{name}, train: {len(pool) - len(kept)} questions of more than {longest} characters left out",
            file=sys.stderr,
        )
    return kept


def _apart(pool: list[Problem], tests: dict[str, list[Problem]], name: str) -> list[Problem]:
    """The training problems whose question is in no test set, each question once; what is left out is said."""
    asked = {problem["question"] for found in tests.values() for problem in found}
    apart: dict[str, Problem] = {}
    for problem in pool:
        if problem["question"] not in asked:
            apart.setdefault(problem["question"], problem)
    if len(apart) < len(pool):
        left_out = f"{len(pool) - len(apart)} problems are in a test set too, or twice in the set, and left out"
        print(f"{name}, train: {left_out}", file=sys.stderr)
    return list(apart.values())


def usable_problems(data: DataSet, split: str, root: str | None) -> list[Problem]:
    """A split in the common form, in published order; `UserError` names the first row that cannot be used.

    A row whose published solution does not reach its own answer in the strict form cannot be scored or learnt
    from; it is left out and named on standard error.
    """
    usable: list[Problem] = []
    faulty: list[Problem] = []
    for read in _read(data, split, root):
        (usable if _reaches_its_answer(read) else faulty).append(read)
    if faulty:
        named = ", ".join(map(_shown, faulty[:SAMPLE])) + (", ..." if len(faulty) > SAMPLE else "")
        left_out = (
            f"{len(faulty)} of {len(usable) + len(faulty)} rows left out, whose solution does not reach a strict answer"
        )
        print(f"{data.name}, {split}: {left_out}: {named}", file=sys.stderr)
    if faulty and not usable:
        raise UserError(f"{origin(data, split, root)}: no row reaches a strict answer: {named}; correct them")
    return [_row(p, data.template) for p in usable]


def _reaches_its_answer(problem: Problem) -> bool:
    return problem["answer"] is not None and is_correct(problem["solution"], problem["answer"])


def _shown(problem: Problem) -> str:
    return f"{problem['id']} (answer {short(problem['answer'])}, solution {short(extract(problem['solution']))})"


def _read(data: DataSet, split: str, root: str | None) -> Iterator[Problem]:
    """The split's rows as its reader reads them, each checked."""
    source, taken = origin(data, split, root), dict[str, int]()
    for number, row in enumerate(read_rows(data, split, root), 1):
        where = f"{source}, row {number}"
        try:
            if not data.splits[split].keep(row):
                continue
            problem = data.read(row, number - 1)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            raise UserError(f"{where}: it is not in its published form ({why}); {data.remedy}") from error
        if fault := _fault(problem):
            raise UserError(f"{where}: {fault}; correct or remove the row")
        if (first := taken.setdefault(problem["id"], number)) != number:
            raise UserError(f"{where}: its id '{problem['id']}' is that of row {first} too; give each row its own")
        yield problem


def _fault(problem: Problem) -> str:
    """Why no model can be asked a question or judged by its answer; "" where nothing is wrong."""
    for key, text in problem.items():
        if key == "answer" and text is None:
            continue  # a row without a strict answer is left out
        if not isinstance(text, str):
            return f"its {key} is {text!r}, but must be a text"
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"its {key} holds {text[error.start]!r}, half of a character, which no tokenizer reads"
        if key in {"id", "question"} and not any(map(str.isalnum, text)):
            return f"its {key} is blank"
    return ""


def _test(data: DataSet, split: str, root: str | None) -> list[Problem]:
    """A test set, which must ask more than one question."""
    found = usable_problems(data, split, root)
    if len(found) > 1 and len({problem["question"] for problem in found}) == 1:
        raise UserError(
            f"{origin(data, split, root)}: all {len(found)} questions are the same, {found[0]['question'][:60]!r}; "
            "give different ones"
        )
    return found


def _row(problem: Problem, template: str) -> Problem:
    prompt = template.format(question=problem["question"])
    kept = {key: problem[key] for key in ("answer", "solution")}
    return {"id": problem["id"], "question": problem["question"], "prompt": prompt, **kept, "chain": None}


def _shuffle(pool: list[Problem], seed: int, name: str) -> None:
    """In place, from the questions alone: hub and local copies may name and order the same rows differently (MATH)."""
    pool.sort(key=lambda problem: (problem["question"], problem["id"]))
    random.Random(derive_seed(seed, "problems", name)).shuffle(pool)


def _limited(pool: list[Problem], limit: int | None, seed: int, name: str) -> list[Problem]:
    """The first `limit` problems in an order drawn at random; of all too, since an evaluation may take fewer of them.

    In published order these would be of one subject, or of a few templates.
    """
    if limit is not None and limit > len(pool):
        raise UserError(f"test set '{name}' has {len(pool)} problems, fewer than the {limit} asked for; ask for fewer")
    _shuffle(pool, seed, name)
    return pool[:limit]


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON --out FOLDER`."""
    settings, arguments = read_command("Write real problems in the suite's form.", ProblemData, argv)
    check_all(settings)
    found = data_sets(settings)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (arguments.out / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{name}: {len(rows)} problems", file=sys.stderr)


def check_all(settings: ProblemData) -> None:
    """Raise `UserError` where a data set cannot be there, before any is read."""
    for name, split in settings.wanted():
        check(settings.data_set(name), split, settings.root)


if __name__ == "__main__":
    cli(main)
