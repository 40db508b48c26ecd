"""The public data sets that the suite reads: where they are, and how a row becomes a problem.

Local layout, below `data.root`: the files named in `splits`, as their authors publish them. Without a root the
same rows come from the Hugging Face hub. A reader turns one published row into id, question, gold answer and
gold solution; the solution ends in the strict form that the prompt asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.answers import extract, normalise

Row = dict[str, Any]
NUMBER = '{question}\n\nSolve this step by step. Write the final answer on a last line of its own as "#### <number>".'
BOXED = "{question}\n\nSolve this step by step. Write the final answer as \\boxed{{<answer>}}."


@dataclass(frozen=True)
class Split:
    """One split: its file below the root, and on the hub the split's name and the configurations that make it up.

    `keep` says which rows are the split's, where those of several are published together.
    """

    file: str
    hub_split: str
    configs: tuple[str, ...] = ("default",)
    keep: Callable[[Row], bool] = lambda row: True


@dataclass(frozen=True)
class DataSet:
    """A data set: name, hub name, splits, reader `(row, position) -> problem without its prompt`, licence, template.

    One without a hub name ("") is of local files alone; one that is `generated` is so where there is no local copy
    (`sources.reasoning`); one's `own` is described by a config (`sources.own`). One that its authors did not split has
    all rows as its `test`, and for studies that train on it the parts `train` and `held_out`.
    """

    name: str
    hub: str
    splits: dict[str, Split]
    read: Callable[[Row, int], Row]
    licence: str
    template: str = NUMBER
    evaluate_only: str = ""
    generated: bool = False
    own: bool = False

    @property
    def remedy(self) -> str:
        """What to do about a file that is not as it should be."""
        own = "correct it (.jsonl holds a mapping a line, .json one list of them)"
        return own if self.own else "restore the file from its origin"


def problem(identity: str, question: str, answer: str | None, solution: str) -> Row:
    """What a reader returns; the answer is None where the solution has none in the strict form."""
    return {"id": identity, "question": question.strip(), "answer": answer, "solution": solution.strip()}


def read_gsm8k(row: Row, position: int) -> Row:
    """GSM8K (arXiv 2110.14168): steps with calculator marks `<<a+b=c>>`, which are removed; last line `#### N`."""
    solution = re.sub(r"<<.*?>>", "", row["answer"])
    return problem(f"gsm8k-{position:04d}", row["question"], extract(solution), solution)


def read_svamp(row: Row, position: int) -> Row:
    """SVAMP (arXiv 2103.07191): body and question apart, one equation as the solution."""
    body = row["Body"].strip()
    story = body if body[-1:] in {".", "?", "!", ","} else f"{body},"
    answer = normalise(str(row["Answer"]))
    equation = re.sub(r"(\d+)\.0\b", r"\1", row["Equation"]).strip()
    if equation.startswith("(") and equation.endswith(")"):
        equation = equation[1:-1].strip()
    solution = f"{equation} = {answer}\n#### {answer}"
    return problem(f"svamp-{row['ID']}", f"{story} {row['Question'].strip()}", answer, solution)


def held_out(row: Row) -> bool:
    """Whether a SVAMP row is kept out of training: each fifth block of 50 in published order, 200 of 1,000.

    Blocks, since neighbours are variations of one problem: single rows drawn at random would have theirs in training.
    """
    return (int(row["ID"].rpartition("-")[2]) - 1) // 50 % 5 == 4


def read_symbolic(row: Row, position: int) -> Row:
    """GSM-Symbolic (arXiv 2410.05229): GSM8K's form; a template and its instance name a row."""
    identity = f"gsm_symbolic-{int(row['id']):03d}-{int(row['instance']):02d}"
    return problem(identity, row["question"], extract(row["answer"]), row["answer"])


def read_math(row: Row, position: int) -> Row:
    """MATH and MATH-500 (arXiv 2103.03874): the last `\\boxed{}` of the solution; `\\boxed 2` gets its braces."""
    solution = re.sub(r"\\boxed\s+(\w+)", r"\\boxed{\1}", row["solution"])
    answer = row.get("answer") or extract(solution)
    return problem(str(row.get("unique_id", f"math-{position:05d}")), row["problem"], answer, solution)


def read_reasoning(row: Row, position: int) -> Row:
    """reasoning-gym's GSM-Symbolic problems: a row whose solution ends otherwise than its answer is left out later."""
    return problem(f"reasoning_gym-{row['id']}", row["question"], normalise(row["answer"]), row["answer_cot"])


_SUBJECTS = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
             "prealgebra", "precalculus")  # fmt: skip
_HELD_BACK = "its authors ask that nobody trains on it"


# Licences are as the authors' repositories state them (November 2026): openai/grade-school-math, hendrycks/math,
# openai/prm800k, arkilpatel/SVAMP, apple/ml-gsm-symbolic (data), open-thought/reasoning-gym.
def _symbolic(config: str, file: str) -> DataSet:
    return DataSet(
        f"gsm_symbolic_{config}",
        "apple/GSM-Symbolic",
        {"test": Split(f"gsm_symbolic/generated_data/{file}", "test", (config,))},
        read_symbolic,
        "CC BY-NC-ND 4.0",
        evaluate_only=_HELD_BACK,
    )


def _generated(name: str, splits: dict[str, str]) -> DataSet:
    """Problems of reasoning-gym; `splits` has the name of its part for each of ours."""
    files = {ours: Split(f"reasoning_gym/{part}.jsonl", part) for ours, part in splits.items()}
    return DataSet(name, "", files, read_reasoning, "Apache-2.0", generated=True)


_KNOWN = (
    DataSet(
        "gsm8k",
        "openai/gsm8k",
        {s: Split(f"gsm8k/{s}.jsonl", s, ("main",)) for s in ("train", "test")},
        read_gsm8k,
        "MIT",
    ),
    DataSet(
        "svamp",
        "ChilleD/SVAMP",
        {
            "train": Split("svamp/SVAMP.json", "train+test", keep=lambda row: not held_out(row)),
            "held_out": Split("svamp/SVAMP.json", "train+test", keep=held_out),
            "test": Split("svamp/SVAMP.json", "train+test"),
        },
        read_svamp,
        "MIT",
    ),
    _symbolic("main", "GSM_symbolic.jsonl"),
    _symbolic("p1", "GSM_p1.jsonl"),
    _symbolic("p2", "GSM_p2.jsonl"),
    _generated("reasoning_gym", {"train": "train", "test": "test"}),
    _generated("reasoning_gym_new", {"test": "new"}),
    DataSet(
        "math",
        "EleutherAI/hendrycks_math",
        {s: Split(f"math/{s}.jsonl", s, _SUBJECTS) for s in ("train", "test")},
        read_math,
        "MIT",
        BOXED,
    ),
    DataSet(
        "math500",
        "HuggingFaceH4/MATH-500",
        {"test": Split("math500/test.jsonl", "test")},
        read_math,
        "MIT",
        BOXED,
    ),
)
CATALOGUE: dict[str, DataSet] = {data.name: data for data in _KNOWN}
