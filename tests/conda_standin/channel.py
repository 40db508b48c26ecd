"""A local conda channel that holds the running CPython and its pip, repackaged: enough for an environment file.

conda's package format: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from rattler.index import index_fs

SUBDIR = "linux-64"
STDLIB = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "__pycache__", "lib2to3"}

File = tuple[str, bytes, int]  # path in the environment, content, mode


def build_channel(folder: Path) -> None:
    """Write `python` and `pip` packages below `folder`, and the index that solvers read."""
    (folder / SUBDIR).mkdir(parents=True)
    version = ".".join(map(str, sys.version_info[:3]))
    write_package(folder, "python", version, [], python_files())
    (wheel,) = (Path(sys.base_prefix) / STDLIB / "ensurepip" / "_bundled").glob("pip-*.whl")
    write_package(folder, "pip", wheel.name.split("-")[1], ["python"], pip_files(wheel))
    asyncio.run(index_fs(folder))


def python_files() -> Iterable[File]:
    """Interpreter, shared library and standard library of the CPython that this one was made from."""
    base = Path(sys.base_prefix)
    interpreter = (base / "bin" / "python3").resolve()
    for name in ("python", "python3", interpreter.name):
        yield f"bin/{name}", interpreter.read_bytes(), 0o755
    for library in sorted((base / "lib").glob("libpython*.so.*")):
        yield f"lib/{library.name}", library.read_bytes(), 0o755
    for path in sorted((base / STDLIB).rglob("*")):
        parts = path.relative_to(base / STDLIB).parts
        if path.is_file() and not LEFT_OUT & set(parts) and not parts[0].startswith("config-"):
            yield f"{STDLIB}/{'/'.join(parts)}", path.read_bytes(), 0o644


def pip_files(wheel: Path) -> Iterable[File]:
    """pip as it stands in site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            yield f"{STDLIB}/site-packages/{name}", archive.read(name), 0o644


def write_package(folder: Path, name: str, version: str, depends: list[str], files: Iterable[File]) -> None:
    """One `.tar.bz2` package with its metadata."""
    paths = []
    with tarfile.open(folder / SUBDIR / f"{name}-{version}-0.tar.bz2", "w:bz2", compresslevel=1) as package:
        for path, content, mode in files:
            add(package, path, content, mode)
            digest = hashlib.sha256(content).hexdigest()
            paths.append({"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content)})
        index = {
            "name": name, "version": version, "build": "0", "build_number": 0, "depends": depends, "subdir": SUBDIR,
            "arch": "x86_64", "platform": "linux", "timestamp": 1_700_000_000_000,
        }  # fmt: skip
        add(package, "info/index.json", json.dumps(index).encode())
        add(package, "info/paths.json", json.dumps({"paths_version": 1, "paths": paths}).encode())
        add(package, "info/files", "\n".join(entry["_path"] for entry in paths).encode())


def add(package: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    """One regular file."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    package.addfile(entry, io.BytesIO(content))
