"""Run a module as a job of the study and write down what it ran on.

    python -m study.provenance --out FILE [--config FILE] [--code NAME=PATH,...] [--own NAME=PATH,...] \
        [--inputs PATH ...] -- training.train --params ...

The module runs in this process, so that the record is of the very process that did the work; where it fails, no
record is written. Texts that many runs share (the uncommitted changes, the installed packages) are kept once, by
content, in `results/provenance/`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from study.code import code_hash
from study.machine import machine
from training.errors import UserError, cli
from training.files import digest
from training.folders import ROOT

KEPT = Path("results/provenance")
LOCK = ROOT / "requirements.lock"
CLOCKS = frozenset({".snakemake_timestamp", "made.json"})  # when and how fast a folder was made, not what is in it
CODE = frozenset({".py", ".smk", ".yaml", ".yml", ".toml", ".md", ".j2", "Snakefile", "Makefile"})
CODE_BYTES = 1_000_000  # of a new file that is kept as text; a longer one is no code
NAMED = ("torch", "transformers", "lm_eval", "numpy", "pandas")  # versions worth reading at a glance


def content_hash(path: Path) -> str:
    """sha256 of a file, or of the names and contents of a folder's files (those of `CLOCKS` left out)."""
    if path.is_file():
        return digest(path)
    whole = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name not in CLOCKS):
        whole.update(f"{file.relative_to(path).as_posix()}\0{content_hash(file)}\n".encode())
    return whole.hexdigest()


def input_hashes(names: Iterable[str]) -> dict[str, str]:
    """By path the hash of its content; of a model that is only a hub name, the commit found in the hub's cache."""
    found = {}
    for name in names:
        found[name] = content_hash(Path(name)) if Path(name).exists() else _hub_commit(name)
    return found


def _hub_commit(name: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json")
    return f"hub commit {Path(config).parent.name}" if isinstance(config, str) else "not on this machine"


def git_state(root: Path = ROOT) -> dict[str, Any]:
    """Commit, and the names of the kept texts of what is not committed; or why not known.

    `diff` holds changes and new files of code, `others` the names and sizes of all other new files.
    """
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel").strip()).resolve() != root.resolve():
            return {"unknown": f"{root} is not a git repository of its own"}
        commit = _git(root, "rev-parse", "HEAD").strip()
        code, others = _new_files(root)
        diff = _diff(root, code)
    except FileNotFoundError:
        return {"unknown": "git is not installed"}
    except subprocess.CalledProcessError as error:
        return {"unknown": (error.stderr or "git failed").strip().splitlines()[0]}
    kept = {"diff": keep(diff, "diff") if diff else None, "others": keep(others, "txt") if others else None}
    return {"commit": commit, "dirty": bool(diff), **kept}


def _new_files(root: Path) -> tuple[list[str], str]:
    """Untracked files that are not ignored: those of code, and a list of the others, which may be large or secret."""
    code, others = [], ""
    for name in filter(None, _git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")):
        path = root / name
        size = path.stat().st_size if path.is_file() else 0
        if CODE & {path.suffix, path.name} and path.is_file() and size <= CODE_BYTES:
            code.append(name)
        else:
            others += f"{size} {name}\n"
    return code, others


def _diff(root: Path, new: list[str]) -> str:
    """Changes against the commit, with the files `new`; the repository's own index stays as it is."""
    index = Path(_git(root, "rev-parse", "--absolute-git-dir").strip()) / "index"
    with tempfile.TemporaryDirectory() as folder:
        own, names = Path(folder) / "index", Path(folder) / "names"
        own.write_bytes(index.read_bytes())
        names.write_text("\0".join(new), encoding="utf-8")
        if new:
            listed = (f"--pathspec-from-file={names}", "--pathspec-file-nul")
            _git(root, "--literal-pathspecs", "add", "--intent-to-add", *listed, GIT_INDEX_FILE=str(own))
        return _git(root, "diff", "--full-index", "HEAD", GIT_INDEX_FILE=str(own))


def _git(root: Path, *words: str, **environment: str) -> str:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, **environment},
                          encoding="utf-8", errors="replace")  # fmt: skip
    return done.stdout


def keep(text: str, ending: str) -> str:
    """Write `text` once under its hash; the file's path."""
    path = KEPT / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.{ending}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    return str(path)


def software() -> dict[str, Any]:
    """Python, the packages that matter most, all others in a kept list, and the lock that asked for them."""
    versions = {str(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}
    listed = "".join(f"{name}=={versions[name]}\n" for name in sorted(versions, key=str.lower))
    return {
        "python": platform.python_version(),
        **{name: versions.get(name, "not installed") for name in NAMED},
        "packages": keep(listed, "txt"),
        "lock": content_hash(LOCK) if LOCK.is_file() else "there is no requirements.lock",
    }


def _named(entries: list[str], follow: bool) -> dict[str, str]:
    """`NAME=PATH,PATH` to hashes of code; a folder stands for the Python and YAML files in it."""
    found = {}
    for entry in entries:
        name, _, paths = entry.partition("=")
        files: list[str] = []
        for path in paths.split(","):
            inside = [f for f in sorted((ROOT / path).rglob("*")) if f.suffix in {".py", ".yaml"}]
            files += [str(f) for f in inside] if (ROOT / path).is_dir() else [path]
        found[name] = code_hash(*files, follow=follow)
    return found


def main(argv: list[str] | None = None) -> None:
    """Command line: options, `--`, then the module and its arguments. `UserError` where no module is named."""
    words = sys.argv[1:] if argv is None else argv
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m study.provenance", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", required=True, type=Path, help="the record, a JSON file")
    parser.add_argument("--config", help="file beside the record that holds the resolved config; else the arguments")
    parser.add_argument("--code", nargs="*", default=[], help="NAME=PATH,...: hash of these and all they import")
    parser.add_argument("--own", nargs="*", default=[], help="NAME=PATH,...: hash of these files alone")
    parser.add_argument("--inputs", nargs="*", default=[], help="files, folders or hub names, hashed by content")
    given, job = parser.parse_args(words[:cut]), words[cut + 1 :]
    if not job:
        raise UserError("no module to run; name it and its arguments after '--'")
    record: dict[str, Any] = {"module": job[0], "config": given.config or job[1:], "start": _now()}
    record["code"] = _named(given.own, follow=False) | _named(given.code, follow=True)
    record |= {"git": git_state(), "software": software()}
    inputs = input_hashes(dict.fromkeys(given.inputs))
    given.out.unlink(missing_ok=True)
    sys.argv = job
    runpy.run_module(job[0], run_name="__main__", alter_sys=True)
    fetched = input_hashes(name for name in inputs if not Path(name).exists())  # the hub's, which may be here by now
    record |= {"inputs": inputs | fetched, "end": _now(), "machine": machine()}
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    cli(main)
