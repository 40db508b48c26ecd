"""What a method.py must hold, told from its text: a slip is named before torch is loaded or anything is spent."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from training.errors import UserError

ENTRIES = ("Method", "train")


def syntax_tree(path: Path) -> ast.Module:
    """The file's syntax tree; `UserError` names the line that is no Python."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); put it there or restore it") from error
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno or 1}: no valid Python ({error.msg}); correct it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no valid Python ({error}); correct it") from error


def check_source(path: Path) -> None:
    """`UserError` where the file is no Python, imports what is not installed, or defines neither entry."""
    tree = syntax_tree(path)
    for line, name in _imported(tree):
        top = name.partition(".")[0]
        if top not in sys.modules and importlib.util.find_spec(top) is None:
            raise UserError(f"{path}, line {line}: there is no package '{top}'; correct the name or install it")
    if not set(ENTRIES) & set(_defined(tree)):
        raise UserError(
            f"{path} defines neither a class 'Method' nor a function 'train'; see methods/_template/method.py"
        )


def defines(path: Path, name: str) -> bool:
    """Whether the file binds the name at its top level."""
    return name in _defined(syntax_tree(path))


def class_constant(path: Path, name: str) -> object:
    """What the file's class `Method` sets this name to in its body, where that is a plain constant; else None."""
    classes = (node for node in syntax_tree(path).body if isinstance(node, ast.ClassDef) and node.name == "Method")
    for node in (line for found in classes for line in found.body if isinstance(line, ast.Assign | ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(t, ast.Name) and t.id == name for t in targets) and isinstance(node.value, ast.Constant):
            return node.value.value
    return None


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and module of every absolute import that runs when the file is loaded."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module


def _defined(tree: ast.Module) -> Iterator[str]:
    """Names that the file binds at its top level."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
