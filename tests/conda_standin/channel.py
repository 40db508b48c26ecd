"""A local conda channel that holds the running CPython and its pip: enough for an environment file.

conda's package format: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from rattler.index import index_fs

SUBDIR = "linux-64"
STDLIB = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"

File = tuple[str, bytes, int]  # path in the environment, content, mode


def build_channel(folder: Path) -> None:
    """Write `python` and `pip` packages below `folder`, and the index that solvers read."""
    (folder / SUBDIR).mkdir(parents=True)
    version = ".".join(map(str, sys.version_info[:3]))
    write_package(folder, "python", version, [], python_files())
    pip = distribution("pip")
    write_package(folder, "pip", pip.version, ["python"], pip_files(pip))
    asyncio.run(index_fs(folder))


def python_files() -> Iterable[File]:
    """A virtual environment of the running CPython, whose standard library stays where it is.

    A copy of everything would not do for every CPython: a distribution's own one looks for packages elsewhere.
    """
    base = Path(sys.base_prefix)
    interpreter = Path(sys.executable).resolve()
    yield "pyvenv.cfg", f"home = {interpreter.parent}\ninclude-system-site-packages = false\n".encode(), 0o644
    for name in ("python", "python3", interpreter.name):
        yield f"bin/{name}", interpreter.read_bytes(), 0o755
    for library in sorted((base / "lib").glob("libpython*.so.*")):
        yield f"lib/{library.name}", library.read_bytes(), 0o755


def pip_files(pip: Distribution) -> Iterable[File]:
    """pip as it stands in site-packages."""
    for file in pip.files or ():
        if file.suffix != ".pyc" and ".." not in file.parts:
            yield f"{STDLIB}/site-packages/{file}", Path(str(file.locate())).read_bytes(), 0o644


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
