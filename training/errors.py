"""Errors a user can act on, and the boundary where they become one sentence."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """A mistake in the input: one sentence that names what, where, the value and the next step."""


class TrainingFailed(Exception):
    """A run that cannot go on (a non-finite loss, say). It is recorded as a result, not raised to the user."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them where none is near."""
    names = sorted(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if match:
        return f"did you mean '{match[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is allowed here"


def cli(main: Callable[[list[str] | None], None]) -> None:
    """Run a command-line entry point; a `UserError` ends it with its sentence and exit code 2."""
    try:
        main(None)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
