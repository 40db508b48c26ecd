"""Files that are there whole or not at all, also after a kill or a power loss."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from training.errors import UserError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) beside its place, flush it to the disk, and put it there by one rename."""
    fresh = path.with_name(f".{path.name}.unfinished")
    fresh.write_bytes(content.encode() if isinstance(content, str) else content)
    flush(fresh)
    fresh.replace(path)
    flush(path.parent)


def check_place(out: Path, folder: bool = True) -> None:
    """`UserError` where a folder (or file) cannot be written at `out`: told before anything is computed."""
    if out.exists() and out.is_dir() != folder:
        raise UserError(f"--out {out} is a {'file' if folder else 'folder'}; name a {'folder' if folder else 'file'}")
    standing = out if out.is_dir() else next(parent for parent in out.absolute().parents if parent.exists())
    if not standing.is_dir():
        raise UserError(f"--out {out} lies below the file {standing}; name a place below a folder")
    if not os.access(standing, os.W_OK):
        raise UserError(f"--out {out} cannot be written: {standing} is read-only; choose another place")


def flush(path: Path) -> None:
    """Have the system write a file or the entries of a folder to the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sum_file(path: Path) -> Path:
    """Where the sha256 of a file lies, in the format of `sha256sum`: beside it."""
    return path.with_name(f"{path.name}.sha256")


def check_sum(path: Path, remedy: str) -> None:
    """Compare a file with the sha256 beside it, if there is one; `UserError` with the remedy where they differ."""
    beside = sum_file(path)
    if beside.is_file() and beside.read_text(encoding="utf-8").split()[:1] != [digest(path)]:
        raise UserError(f"{path} is not as it was written (its sha256 differs from {beside.name}); {remedy}")
