"""Replies of judges by content, so that nothing is asked, or paid, twice.

One small JSON file per reply, written whole or not at all, with a checksum: an entry that a crash or a disk damaged is
noticed, said and asked again. Several judges share one folder.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.files import write_whole


def key_of(judge: dict[str, Any], prompt: str) -> str:
    """Where a reply is kept: a hash of what the judge is and of the whole prompt."""
    return hashlib.sha256(json.dumps([judge, prompt], sort_keys=True).encode()).hexdigest()


def _checksum(key: str, reply: str) -> str:
    return hashlib.sha256(json.dumps([key, reply]).encode()).hexdigest()


class Cache:
    """The kept replies below `folder`, which is made when the first reply comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """The file of an entry."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> str | None:
        """The reply, None where there is none or where its entry is damaged (which is said)."""
        try:
            entry = json.loads(self.path(key).read_text(encoding="utf-8"))
            if entry["checksum"] == _checksum(key, entry["reply"]):
                return str(entry["reply"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # no UTF-8, no JSON, no entry
            pass
        print(f"{self.path(key)} is damaged; this verdict is asked for again", flush=True)
        return None

    def put(self, key: str, reply: str) -> None:
        """Keep a reply. Raises `UserError` where it cannot be written."""
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps({"reply": reply, "checksum": _checksum(key, reply)}))
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise UserError(f"no verdict can be kept in {self.folder} ({why}); make room and run again") from error
