"""Errors a user can act on, and the boundary where they become one sentence."""

from __future__ import annotations

import difflib
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable

STORAGE = {
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "free disk space",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EROFS: "make the folder writable",
    errno.EACCES: "make it readable and its folder writable",
    errno.EPERM: "make it readable and its folder writable",
    errno.EIO: "check the disk",
}  # trouble with the disk, and what to do about it
PLACE = {
    errno.ENOTDIR: "name a place below a folder, not below a file",
    errno.EEXIST: "name a folder, not a file",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}  # a place where nothing can be written or read
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")  # by CUDA and the CPU's allocator
COMPILER = "Failed to find C compiler"  # triton, which compiles decoding with a static cache
DEVICE = ("CUDA error", "CUDA driver error", "CUDNN_STATUS_", "CUBLAS_STATUS_", "NCCL error", COMPILER)
OF_CODE = "device-side assert"  # a CUDA error that wrong indices make


class UserError(Exception):
    """A mistake in the input: one sentence that names what, where, the value and the next step."""


class TrainingFailed(Exception):
    """Training that cannot go on (a non-finite loss, say): of a method a result to be recorded, of a model an error."""


def of_device(said: str) -> bool:
    """Whether an error's text is trouble of the device or its tools: neither its memory nor a wrong index."""
    return any(words in said for words in DEVICE) and not any(words in said for words in (*OUT_OF_MEMORY, OF_CODE))


def short(value: object) -> str:
    """A value as a message shows it: on one line, at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them where none is near."""
    names = sorted(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if match:
        return f"did you mean '{match[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is allowed here"


def _unwrapped(error: OSError) -> OSError:
    """The first error of a folder that could not be copied, of which shutil keeps the texts alone; else `error`."""
    kept = re.search(r"\[Errno (\d+)\]", str(error)) if isinstance(error, shutil.Error) else None
    return OSError(int(kept[1]), os.strerror(int(kept[1])), error.args[0][0][1]) if kept else error


def cli(main: Callable[[list[str] | None], None]) -> None:
    """Run a command-line entry point; trouble that a sentence can tell ends it with that and exit code 2."""
    try:
        main(None)
    except (UserError, TrainingFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        trouble = _unwrapped(error)
        remedy = (STORAGE | PLACE).get(trouble.errno or 0)
        if remedy is None:
            raise
        what = f"{trouble.filename}: {trouble.strerror}" if trouble.filename else str(trouble.strerror)
        print(f"error: {what}; {remedy} and start again: what is finished is kept", file=sys.stderr)
        sys.exit(2)
