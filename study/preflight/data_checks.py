"""What can be known of a pair's problems beforehand: whether they are there, their licences, how long prompts are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

from sources.catalogue import DataSet
from sources.problems import usable_problems
from sources.rows import check, endpoint, is_here, read_rows
from sources.settings import ProblemData
from study.config import Pair
from study.preflight.estimates import PROMPT
from study.preflight.facts import Facts
from study.preflight.findings import Finding, Prompts
from training.errors import UserError
from training.model_folder import TokenizerRead
from world.settings import WorldData
from world.write import data_sets

TEMPLATE = 50  # tokens allowed for a chat template; SmolLM2's has 30
# Characters a token. SmolLM2's tokenizer: 2.6 to 2.8 on average, 2.1 in MATH's longest problem, a drawing as code.
DENSE, USUAL = 2, 3


def data_findings(name: str, pair: Pair, root: str | None) -> Iterator[Finding]:
    """Whether the problems are there, under which licence, and whether training may see what is tested."""
    problems = pair.data.problems
    if problems is None:
        yield Finding("ok", name, "problems", "made here")
        return
    root = root or problems.root
    if root is None:
        endpoint()  # an address that is none is said as such
    reasons: dict[str, str] = {}
    wanted = [(f"{data} ({split})", data, split) for data, split in problems.wanted()]
    for shown, data, split in wanted:
        try:
            check(problems.data_set(data), split, root)
            if data in problems.own:
                usable_problems(problems.data_set(data), split, root)
        except UserError as error:
            reasons[shown] = str(error)
    here = ", ".join(shown for shown, *_ in wanted if shown not in reasons)
    if here:
        yield Finding("ok", name, "problems", here)
    if reasons:
        (_, first), *others = reasons.items()
        likewise = f"; likewise {', '.join(other for other, _ in others)}" if others else ""
        yield Finding("refused", name, "problems", first + likewise)
    terms = dict.fromkeys(f"{data}: {problems.data_set(data).licence}" for _, data, _ in wanted)
    yield Finding("note", name, "data licences", ", ".join(terms))
    yield from _leaks(name, problems)


def _leaks(name: str, problems: ProblemData) -> Iterator[Finding]:
    known = [test for test in problems.tests if test not in problems.own]
    leaked = [test for test in known if test == "gsm8k" or test.startswith("gsm_symbolic")]
    if problems.train == "reasoning_gym" and leaked:
        text = f"trained on templates of GSM8K's test questions, tested on {', '.join(leaked)}"
        yield Finding("refused", name, "problems", f"{text}; test on reasoning_gym_new or svamp")


def prompt_lengths(pair: Pair, student: Facts, root: str | None) -> Prompts:
    """Tokens of the prompts that lie or are made here; an allowance where a data set is elsewhere or cannot be read."""
    problems, template = pair.data.problems, 0 if student.template is False else TEMPLATE
    if problems is None:
        return _made_prompts(pair, student, template)
    known = {
        (data, split): _texts(problems.data_set(data), split, root or problems.root)
        for data, split in problems.wanted()
    }
    absent = [f"{data} ({split})" for (data, split), found in known.items() if not found]
    training = known.pop((problems.train, "train"))
    lengths, (dense, usual), how = _lengths([*training, *chain.from_iterable(known.values())], student.tokenizer)
    if not lengths:
        return Prompts(PROMPT, PROMPT, PROMPT, "a guess, no problems being here to be read")
    room = (problems.longest or math.inf) + len(problems.data_set(problems.train).template)
    trained = [n for n, text in zip(lengths, training, strict=False) if len(text) <= room]
    # A test set that is not here may well ask what is left out of training.
    asked = trained + lengths[len(training) :]
    used = lengths if absent else asked
    longest = max(used) // dense + template
    if absent:
        how += f"; {', '.join(absent)} not here or not readable, so at least {PROMPT} allowed"
        longest = max(longest, PROMPT)
    in_training = max(trained) // dense + template if trained else PROMPT
    counted = max(asked, default=0) if student.tokenizer else 0
    return Prompts(longest, in_training, sum(used) / len(used) / usual + template, how, counted)


def _made_prompts(pair: Pair, student: Facts, template: int) -> Prompts:
    """Of the world, whose problems are made in a moment."""
    assert pair.data.world is not None
    try:
        texts = _made_texts(pair.data.world)
    except UserError:  # there are not so many; writing the data will say so
        return Prompts(PROMPT, PROMPT, PROMPT, "a guess")
    lengths, (dense, usual), how = _lengths(texts, student.tokenizer)
    longest, mean = max(lengths) // dense + template, sum(lengths) / len(lengths) / usual + template
    return Prompts(longest, longest, mean, how, max(lengths) if student.tokenizer else 0)


@cache
def _made_texts(recipe: WorldData) -> list[str]:
    """Once for all pairs of the same problems."""
    return [problem.prompt for made in data_sets(recipe).values() for problem in made]


def _texts(data: DataSet, split: str, root: str | None) -> list[str]:
    """Prompts of a split that lies below the root or is generated; none where it cannot be read without the hub."""
    if not is_here(data, split, root):
        return []
    try:
        rows = enumerate(read_rows(data, split, root))
        texts = [data.template.format(question=data.read(row, at)["question"]) for at, row in rows]
        "".join(texts).encode()  # half of a character is a ValueError here, and a tokenizer's TypeError
        return texts
    except (UserError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return []  # what is wrong with it, writing the data will say


def _lengths(texts: list[str], tokenizer: Path | None) -> tuple[list[int], tuple[int, int], str]:
    """Lengths of texts, how many of their units are a token (at the densest, usually), and how they were counted."""
    if tokenizer is None:
        how = f"at {DENSE} and {USUAL} characters a token, no tokenizer in reach"
        return list(map(len, texts)), (DENSE, USUAL), how
    from tokenizers import Tokenizer

    with TokenizerRead(tokenizer):
        read = Tokenizer.from_file(str(tokenizer))
    return [len(one.ids) for one in read.encode_batch(texts)], (1, 1), "by the student's tokenizer"
