"""What the rows of a size are called, in its plan and in its tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def pair(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def setting(self) -> str: ...


AnyRun = TypeVar("AnyRun", bound=_Named)


def row_name(run: _Named) -> str:
    """The label of a run's row, with the setting where there is one."""
    return run.label if run.setting in run.label else f"{run.label} {run.setting}"


def namesakes(runs: Iterable[AnyRun]) -> tuple[AnyRun, AnyRun] | None:
    """The first two runs of a pair that belong to different rows of one name, None where all can be told apart."""
    named: dict[tuple[str, str], AnyRun] = {}
    for run in runs:
        other = named.setdefault((run.pair, row_name(run)), run)
        if (other.method, other.setting) != (run.method, run.setting):
            return other, run
    return None
