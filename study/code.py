"""A fingerprint of the code that a job runs, so that only what changed is run again."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from training.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def code_hash(*files: str) -> str:
    """Hash of these modules (paths from the repository root) and of every project module they import.

    White space, comments and docstrings do not count: the syntax tree is hashed. Data files that stand beside
    a module are not followed; name them too where they matter.
    """
    seen: set[Path] = set()
    waiting = [ROOT / f if not Path(f).is_absolute() else Path(f) for f in files]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _imports(path)
    return short_hash(sorted(_digest(path) for path in seen))


def short_hash(value: Any, length: int = 8) -> str:
    """Hash of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:length]


def _tree(path: Path) -> ast.Module:
    """The syntax tree; `UserError` names the line that is no Python."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: no valid Python ({error.msg}); correct it") from error


@cache
def _digest(path: Path) -> str:
    text = ast.dump(_without_docstrings(_tree(path))) if path.suffix == ".py" else path.read_text()
    return hashlib.sha256(text.encode()).hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        value = first.value if isinstance(first, ast.Expr) else None
        if isinstance(body, list) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    if path.suffix != ".py":
        return ()
    names: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(file for name in names for file in _module_files(name))


def _module_files(name: str) -> list[Path]:
    base = ROOT.joinpath(*name.split("."))
    return [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
