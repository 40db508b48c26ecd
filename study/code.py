"""A fingerprint of the code that a job runs, so that only what changed is run again."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from training.folders import ROOT
from training.method_source import syntax_tree


def code_hash(*files: str, follow: bool = True) -> str:
    """Hash of these modules (paths from the repository root) and, with `follow`, of every project module they import.

    White space, comments and docstrings do not count: the syntax tree is hashed. Data files that stand beside
    a module are not followed; name them too where they matter.
    """
    seen: set[Path] = set()
    waiting = [ROOT / f if not Path(f).is_absolute() else Path(f) for f in files]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _imports(path) if follow else ()
    return short_hash(sorted(_digest(path) for path in seen))


def short_hash(value: Any) -> str:
    """Hash of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


@cache
def _digest(path: Path) -> str:
    tree = _without_docstrings(syntax_tree(path)) if path.suffix == ".py" else None
    text = path.read_text(encoding="utf-8") if tree is None else ast.dump(tree)
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
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(file for name in names for file in module_files(name))


def module_files(name: str) -> list[Path]:
    """The project's files behind a dotted name: none for what is no module of it."""
    base = ROOT.joinpath(*name.split("."))
    return [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
