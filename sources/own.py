"""A data set of one's own, described by the keys of a config: two files, and which columns are what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sources.catalogue import BOXED, NUMBER, DataSet, Row, Split, problem
from training.answers import extract, normalise
from training.errors import UserError
from training.schema import Strict

FORMS = {"number": (NUMBER, "#### {}"), "boxed": (BOXED, "\\boxed{{{}}}")}


class OwnData(Strict):
    """A data set of one's own: files with one JSON mapping a line (`.jsonl`) or one list of them (`.json`)."""

    train: str | None = Field(
        None,
        description="file of training problems, below `data.root`; where that is unset, below the repository's folder",
    )
    test: str | None = Field(None, description="file of test problems, likewise")
    question: str = Field("question", description="column of the question")
    solution: str = Field("solution", description="column of the worked solution; not needed beside `answer`")
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
            return self._read(row, f"{name}-{row.get('id', position)}")

        return DataSet(name, "", splits, read, self.licence, FORMS[self.form][0])

    def _read(self, row: Row, identity: str) -> Row:
        question, solution = self._column(row, "question"), ""
        if self.answer is None or self.solution in row:
            solution = self._column(row, "solution")
        if self.answer is None:
            return problem(identity, question, extract(solution), solution)
        answer = normalise(self._column(row, "answer"))
        if extract(solution) is None:
            solution += "\n" + FORMS[self.form][1].format(answer)
        return problem(identity, question, answer, solution)

    def _column(self, row: Row, key: str) -> str:
        """The text of the column that `key` names; a number is one too."""
        column = getattr(self, key)
        value = row.get(column)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            found = f"{column!r} is {value!r}" if column in row else f"there is no {column!r}, but {', '.join(row)}"
            raise UserError(f"no {key}: {found}; name the column as '{key}' of this data set, or mend the row")
        return str(value)
