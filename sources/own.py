"""A data set of one's own, described by the keys of a config: two files, and which columns are what."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from os.path import normpath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from sources.catalogue import BOXED, NUMBER, DataSet, Row, Split, problem
from training.answers import extract, normalise
from training.errors import UserError, short
from training.schema import Strict

FORMS = {"number": (NUMBER, "#### {}"), "boxed": (BOXED, "\\boxed{{{}}}")}


def _readable(file: str) -> str:
    if not file.endswith((".jsonl", ".json")):
        raise ValueError("a file of problems is .jsonl, a JSON mapping a line, or .json, a list of them: convert it")
    return normpath(file)  # one spelling of a path, as it is part of ids


File = Annotated[str, AfterValidator(_readable)]


class OwnData(Strict):
    """A data set of one's own: files with one JSON mapping a line (`.jsonl`) or one list of them (`.json`)."""

    train: File | None = Field(
        None, description="file of training problems, below `data.root`; where that is unset, below the working folder"
    )
    test: File | None = Field(None, description="file of test problems, likewise")
    question: str = Field("question", description="column of the question")
    solution: str | None = Field(
        None, description="column of the worked solution; unset, `solution`, or none where `answer` is given"
    )
    answer: str | None = Field(
        None, description="column of the final answer; unset, the solution ends in it in the asked form"
    )
    form: Literal["number", "boxed"] = Field("number", description="asked form: `#### <number>` or `\\boxed{<answer>}`")
    licence: str = Field("not stated", description="as preflight shows it")

    @model_validator(mode="after")
    def _some_file(self) -> OwnData:
        if self.train is None and self.test is None:
            raise ValueError("a data set of one's own needs a file: give 'train', 'test' or both")
        return self

    def data_set(self, name: str) -> DataSet:
        """As an entry of the catalogue would be; its reader raises `UserError` on a row that lacks a column."""
        splits = {split: Split(file, split) for split, file in (("train", self.train), ("test", self.test)) if file}

        def read(row: Row, position: int) -> Row:
            given = row.get("id")
            return self._read(row, f"{name}-{position + 1 if given is None else given}")

        return DataSet(name, "", splits, read, self.licence, FORMS[self.form][0], own=True)

    def _read(self, row: Row, identity: str) -> Row:
        question = _text(row, "question", self.question)
        if self.answer is None:
            solution = _text(row, "solution", self.solution or "solution")
            return problem(identity, question, extract(solution), solution)
        solution = _text(row, "solution", self.solution) if self.solution else ""
        answer = self._final(_text(row, "answer", self.answer))
        if answer is not None and extract(solution) is None:
            solution += "\n" + FORMS[self.form][1].format(answer)
        return problem(identity, question, answer, solution)

    def _final(self, text: str) -> str | None:
        """The final answer of a column, whatever stands around it; None where the asked form cannot express it."""
        if self.form == "boxed":
            bare = re.fullmatch(r"\$([^$]+)\$", text.strip())
            return extract(text) or normalise(bare[1] if bare else text)
        return extract(text) or extract(FORMS["number"][1].format(text))


def _text(row: Row, key: str, column: str) -> str:
    """The text of a column; a finite number is one too."""
    value: Any = row.get(column)
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f")  # no exponent, which the strict form does not know
    if not isinstance(value, str | int) or isinstance(value, bool):
        found = f"{column!r} is {short(value)}" if column in row else f"there is no {column!r}, but {short(list(row))}"
        raise UserError(f"no {key}: {found}; name the column as '{key}' of this data set, or mend the row")
    return str(value)
