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
    """A data set: hub name, splits, reader `(row, position) -> problem without its prompt`, and prompt template.

    One without a hub name ("") is of local files alone; one that is `generated` is so where there is no local copy
    (`sources.reasoning`). One that its authors did not split has all rows as its `test`, and for studies that train on
    it the parts `train` and `held_out`.
    """

    hub: str
    splits: dict[str, Split]
    read: Callable[[Row, int], Row]
    template: str = NUMBER
    evaluate_only: str = ""
    generated: bool = False


def _problem(identity: str, question: str, answer: str | None, solution: str) -> Row:
    return {"id": identity, "question": question.strip(), "answer": answer, "solution": solution.strip()}


def read_gsm8k(row: Row, position: int) -> Row:
    """GSM8K (arXiv 2110.14168): steps with calculator marks `<<a+b=c>>`, which are removed; last line `#### N`."""
    solution = re.sub(r"<<.*?>>", "", row["answer"])
    return _problem(f"gsm8k-{position:04d}", row["question"], extract(solution), solution)


def read_svamp(row: Row, position: int) -> Row:
    """SVAMP (arXiv 2103.07191): body and question apart, one equation as the solution."""
    body = row["Body"].strip()
    story = body if body[-1:] in {".", "?", "!", ","} else f"{body},"
    answer = normalise(str(row["Answer"]))
    equation = re.sub(r"(\d+)\.0\b", r"\1", row["Equation"]).strip()
    if equation.startswith("(") and equation.endswith(")"):
        equation = equation[1:-1].strip()
    solution = f"{equation} = {answer}\n#### {answer}"
    return _problem(f"svamp-{row['ID']}", f"{story} {row['Question'].strip()}", answer, solution)


def held_out(row: Row) -> bool:
    """Whether a SVAMP row is kept out of training: each fifth block of 50 in published order, 200 of 1,000.

    Blocks, since neighbours are variations of one problem: single rows drawn at random would have theirs in training.
    """
    return (int(row["ID"].rpartition("-")[2]) - 1) // 50 % 5 == 4


def read_symbolic(row: Row, position: int) -> Row:
    """GSM-Symbolic (arXiv 2410.05229): GSM8K's form; a template and its instance name a row."""
    identity = f"gsm_symbolic-{int(row['id']):03d}-{int(row['instance']):02d}"
    return _problem(identity, row["question"], extract(row["answer"]), row["answer"])


def read_math(row: Row, position: int) -> Row:
    """MATH and MATH-500 (arXiv 2103.03874): the last `\\boxed{}` of the solution; `\\boxed 2` gets its braces."""
    solution = re.sub(r"\\boxed\s+(\w+)", r"\\boxed{\1}", row["solution"])
    answer = row.get("answer") or extract(solution)
    return _problem(str(row.get("unique_id", f"math-{position:05d}")), row["problem"], answer, solution)


def read_reasoning(row: Row, position: int) -> Row:
    """reasoning-gym's GSM-Symbolic problems: a row whose solution ends otherwise than its answer is left out later."""
    return _problem(f"reasoning_gym-{row['id']}", row["question"], normalise(row["answer"]), row["answer_cot"])


_SUBJECTS = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory",
             "prealgebra", "precalculus")  # fmt: skip
_HELD_BACK = "its authors ask that nobody trains on it"


def _symbolic(config: str, file: str) -> DataSet:
    splits = {"test": Split(f"gsm_symbolic/generated_data/{file}", "test", (config,))}
    return DataSet("apple/GSM-Symbolic", splits, read_symbolic, evaluate_only=_HELD_BACK)


CATALOGUE: dict[str, DataSet] = {
    "gsm8k": DataSet(
        "openai/gsm8k",
        {s: Split(f"gsm8k/{s}.jsonl", s, ("main",)) for s in ("train", "test")},
        read_gsm8k,
    ),
    "svamp": DataSet(
        "ChilleD/SVAMP",
        {
            "train": Split("svamp/SVAMP.json", "train+test", keep=lambda row: not held_out(row)),
            "held_out": Split("svamp/SVAMP.json", "train+test", keep=held_out),
            "test": Split("svamp/SVAMP.json", "train+test"),
        },
        read_svamp,
    ),
    "gsm_symbolic_main": _symbolic("main", "GSM_symbolic.jsonl"),
    "gsm_symbolic_p1": _symbolic("p1", "GSM_p1.jsonl"),
    "gsm_symbolic_p2": _symbolic("p2", "GSM_p2.jsonl"),
    "reasoning_gym": DataSet(
        "",
        {s: Split(f"reasoning_gym/{s}.jsonl", s) for s in ("train", "test")},
        read_reasoning,
        generated=True,
    ),
    "reasoning_gym_new": DataSet("", {"test": Split("reasoning_gym/new.jsonl", "new")}, read_reasoning, generated=True),
    "math": DataSet(
        "EleutherAI/hendrycks_math",
        {s: Split(f"math/{s}.jsonl", s, _SUBJECTS) for s in ("train", "test")},
        read_math,
        BOXED,
    ),
    "math500": DataSet("HuggingFaceH4/MATH-500", {"test": Split("math500/test.jsonl", "test")}, read_math, BOXED),
}
