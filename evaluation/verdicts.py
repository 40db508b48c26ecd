"""Verdicts of language-model judges on pairs of responses, both orders (written by evaluation.judge).

A judge sees two responses to a question twice, each in first place once. Of a meeting of two responses:

    sign      1 left wins, -1 right wins, 0 tie; a tie also where the orders disagree or a reply holds no verdict
    flip      both replies hold a verdict and they disagree
    first     a verdict for the response that was shown first, among verdicts for one of the two
    close     the shorter response has at least 80 % of the tokens of the longer one
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.statistics import Array
from training.errors import UserError

FILE = "verdicts.parquet"
COLUMNS = [
    "judge", "model", "pair", "test", "prompt", "left", "right", "control", "asked", "forth", "back", "left_tokens",
    "right_tokens",
]  # fmt: skip
CLOSE = 0.8


@dataclass(frozen=True)
class Meeting:
    """Two runs on P questions, seen from the left one; every array (P,), NaN in `forth`, `back`: no verdict.

    `forth` is the verdict with the left response first, `back` with the right one first.
    """

    forth: Array
    back: Array
    asked: Array
    left_tokens: Array
    right_tokens: Array

    def turned(self) -> Meeting:
        """The same seen from the right run."""
        return Meeting(-self.back, -self.forth, self.asked, self.right_tokens, self.left_tokens)

    @property
    def sign(self) -> Array:
        """1 win, 0 tie, -1 loss of the left run."""
        return np.where(self.forth == self.back, self.forth, 0.0) + 0.0  # no -0.0

    @property
    def parsed(self) -> Array:
        """1 where both orders were asked and both replies hold a verdict."""
        return self.asked * ~np.isnan(self.forth + self.back)

    @property
    def flip(self) -> Array:
        """1 where both replies hold a verdict and they disagree."""
        return self.parsed * (self.forth != self.back)

    @property
    def unparsable(self) -> Array:
        """Replies without a verdict, 0 to 2."""
        return np.isnan(self.forth).astype(np.float64) + np.isnan(self.back)

    @property
    def decisive(self) -> Array:
        """Replies that prefer one of the two, 0 to 2."""
        return (np.abs(self.forth) == 1.0).astype(np.float64) + (np.abs(self.back) == 1.0)

    @property
    def first(self) -> Array:
        """Replies that prefer the response shown first, 0 to 2."""
        return (self.forth == 1.0).astype(np.float64) + (self.back == -1.0)

    @property
    def close(self) -> Array:
        """1 where the two responses are of similar length."""
        shorter, longer = (
            np.minimum(self.left_tokens, self.right_tokens),
            np.maximum(self.left_tokens, self.right_tokens),
        )
        return (shorter >= CLOSE * longer).astype(np.float64)


def judged_samples(left: str, right: str) -> tuple[int, int]:
    """Which sampled response of each of two runs a judge is shown: not those of one number, which were sampled with the
    same random numbers. The run whose id comes first shows its first response, the other its second."""
    return (0, 1) if left < right else (1, 0)


class Verdicts:
    """All verdicts of a size; without a frame, those of a size that no judge has seen."""

    def __init__(self, frame: pd.DataFrame | None = None) -> None:
        self._frame = pd.DataFrame(columns=COLUMNS) if frame is None else frame

    @cached_property
    def judges(self) -> dict[str, str]:
        """Name to model, in the order of the size's configuration; empty where there is none."""
        known = self._frame[["judge", "model"]].drop_duplicates()
        return dict(zip(known["judge"], known["model"], strict=True))

    def meeting(self, judge: str, test: str, left: str, right: str) -> Meeting | None:
        """Two runs by their ids, None where the judge has not compared them on the test set."""
        if left == right:
            return None
        turned = self._meetings.get((judge, test, right, left))
        return turned.turned() if turned else self._meetings.get((judge, test, left, right))

    def control(self, judge: str, test: str, runs: set[str]) -> Meeting | None:
        """Responses with an instruction to the judge (left) against the same without it, of one of the runs."""
        found = (self._meetings.get((judge, test, run, run)) for run in sorted(runs))
        return next((meeting for meeting in found if meeting), None)

    @cached_property
    def _meetings(self) -> dict[tuple[str, str, str, str], Meeting]:
        found: dict[tuple[str, str, str, str], Meeting] = {}
        asked: dict[tuple[str, str, str], list[str]] = {}
        ordered = self._frame.sort_values("prompt", kind="stable")
        for key, block in ordered.groupby(["judge", "pair", "test", "left", "right"], sort=False):
            judge, pair, test, left, right = (str(part) for part in key)
            prompts = block["prompt"].tolist()
            if asked.setdefault((judge, pair, test), prompts) != prompts:
                raise UserError(f"judge '{judge}' saw other questions of '{test}' for {left} and {right}; judge again")
            names = ("forth", "back", "asked", "left_tokens", "right_tokens")
            found[judge, test, left, right] = Meeting(*(block[name].to_numpy(dtype=np.float64) for name in names))
        return found

    def prompts(self, judge: str, pair: str, test: str) -> list[str]:
        """The questions of a test set that a judge saw, in the order of `Meeting`'s arrays."""
        own = self._frame[(self._frame["judge"] == judge) & (self._frame["pair"] == pair)]
        return sorted(own.loc[own["test"] == test, "prompt"].unique())


def read_verdicts(files: list[Path]) -> pd.DataFrame:
    """The files of several judges below each other. Raises `UserError` where one is no table of verdicts."""
    frames = []
    for file in files:
        try:
            frames.append(pd.read_parquet(file, columns=COLUMNS))
        except (OSError, ValueError) as error:  # pyarrow's errors on damaged files and absent columns
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{file} holds no readable verdicts ({reason}); delete it and run make tables with its SIZE"
            ) from error
    return pd.concat(frames, ignore_index=True)
