"""Which package may import which, and that no modules import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from study.code import module_files
from training.folders import ROOT

MAY = {
    "training": {"training"},
    "world": {"world", "training"},
    "sources": {"sources", "training"},
    "methods": {"training"},
    "evaluation": {"evaluation", "training", "world"},
    "study": {"study", "evaluation", "sources", "training", "world"},
    "benchmarks": {"benchmarks", "study", "training", "world"},
}  # nothing imports upwards
FILES = [file for package in MAY for file in sorted((ROOT / package).rglob("*.py"))]


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when a module is imported: not functions, not what type checkers alone read."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from statements(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            for field in ("body", "orelse", "handlers", "finalbody"):
                yield from statements(getattr(node, field, []))


@cache
def names(file: Path) -> tuple[str, ...]:
    """Everything that a module imports at its import, dotted."""
    found: list[str] = []
    for node in statements(ast.parse(file.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def imports(file: Path) -> set[Path]:
    """The project's modules among them."""
    return {target for name in names(file) for target in module_files(name)}


@pytest.mark.parametrize("name", MAY)
def test_nothing_imports_upwards(name: str) -> None:
    own = [file for file in FILES if file.is_relative_to(ROOT / name)]
    found = {target.relative_to(ROOT).parts[0] for file in own for target in imports(file)}
    assert own
    assert found <= MAY[name], f"{name} imports {sorted(found - MAY[name])}"


def test_no_import_circle() -> None:
    graph = {file: {target for target in imports(file) if target.name != "__init__.py"} for file in FILES}
    assert len(tuple(TopologicalSorter(graph).static_order())) >= len(FILES)  # raises CycleError on a circle


@pytest.mark.parametrize("room", ["tables", "figures", "report.py", "paper.py", "export.py"])
def test_tables_and_figures_never_import_torch(room: str) -> None:
    path = ROOT / "evaluation" / room
    seen, waiting = set[Path](), [path] if path.suffix else sorted(path.rglob("*.py"))
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imports(file)
            heavy = {name.split(".")[0] for name in names(file)} & {"torch", "transformers", "lm_eval"}
            assert not heavy, f"{file} imports {heavy}"
