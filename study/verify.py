"""Is a size the same each time? Build it twice from scratch, or once against something kept, and compare.

    python -m study.verify --size smoke [--against FOLDER] [--update FOLDER [--tables NAME ...]] [--built FOLDER]

`--against` is a tree with `results/`, compared run by run, or a folder of reference tables. `--update` makes a folder
the reference, of all tables or those named. `--built` takes the place of the first build: a tree in which the size is
built. Exit code 1 where anything differs; the first difference is named by run, step and quantity.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from os.path import normpath
from pathlib import Path

from study.compare import differences
from study.config import Size, load_size
from study.reference import MADE_ON, departures, same_kind, update
from study.workflow import command
from training.errors import UserError, cli
from training.folders import ROOT

SHOWN = 20  # differences that are printed


def build(size: str, folder: Path, data_root: str | None = None) -> Path:
    """The size built from scratch below an empty folder, by this tree's code: where. `UserError` where that fails."""
    place = linked(relative_paths(load_size(size), data_root), folder)
    asked = command(size, data_root, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(place))
    print(f"building {size} in {place}", flush=True)
    if subprocess.run(asked, check=False).returncode != 0:
        raise UserError(f"size '{size}' could not be built in {place} (see above); correct that first")
    return place


def relative_paths(size: Size, data_root: str | None) -> list[Path]:
    """What a size reads by paths from the working directory, as far as it is there; a hub's name is no such path."""
    named: list[str | Path | None] = [data_root or size.data_root, *size.methods_path]
    for pair in size.pairs.values():
        named += [pair.student.pretrained, pair.teacher.pretrained]
        if real := pair.data.problems:
            below = Path(data_root or size.data_root or real.root or "")
            named += [
                real.root,
                *(below / file for own in real.used().values() for file in (own.train, own.test) if file),
            ]
    named += [judge.local.model for judge in size.judges.values() if judge.local]
    paths = {Path(normpath(name)) for name in named if name}
    return sorted(path for path in paths if not path.is_absolute() and path.exists())


def linked(paths: list[Path], folder: Path) -> Path:
    """A new folder, `folder` or below it, from which the same relative paths lead to the same files.

    Paths are part of ids: absolute ones would make other runs than those that this is to be compared with.
    """
    place = folder.joinpath(*["below"] * max((path.parts.count("..") for path in paths), default=0))
    place.mkdir(parents=True, exist_ok=True)
    for path in paths:
        link = Path(normpath(place / path))
        if not link.exists():  # else within a folder that is linked already
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return place


def found(given: argparse.Namespace, scratch: Path) -> list[str]:
    """Every difference, after the builds that are asked for."""
    first = given.built or build(given.size, scratch / "first", given.data_root)
    tables = first / "results" / "built" / given.size / "tables"
    if not tables.is_dir():
        raise UserError(f"{tables} is not there; build the size first: make tables SIZE={given.size}")
    if given.update:
        update(tables, given.update, given.tables)
        print(f"{given.update} now holds the tables of size {given.size}")
        return []
    if given.against and (given.against / MADE_ON).is_file():
        exact = same_kind(given.against)
        who, must = ("this", "equal") if exact else ("another", "within the bands of study/reference.py")
        print(f"{who} kind of processor made the reference: tables must be {must}")
        return list(departures(tables, given.against, exact))
    second = given.against or build(given.size, scratch / "second", given.data_root)
    return list(differences(first, second, given.size))


def main(argv: list[str] | None = None) -> None:
    """Command line: `--size NAME`, with what it is compared with or kept as; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m study.verify", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="smoke")
    parser.add_argument("--against", type=Path, help="tree with results/, or folder of reference tables")
    parser.add_argument("--update", type=Path, help="folder of reference tables to write, in place of a comparison")
    parser.add_argument("--tables", nargs="+", default=[], help="of --update: the tables to keep; all if not given")
    parser.add_argument("--built", type=Path, help="tree in which the size is built, in place of the first build")
    parser.add_argument("--data-root", help="folder of local copies of real data sets")
    given = parser.parse_args(argv)
    if given.tables and not given.update:
        raise UserError("--tables says what a reference keeps; name its folder with --update")
    if given.against and not given.against.is_dir():
        raise UserError(f"--against {given.against} is no folder; name a tree with results/ or a folder of references")
    with tempfile.TemporaryDirectory(prefix="verify-") as scratch:
        unequal = found(given, Path(scratch))
    for line in unequal[:SHOWN]:
        print(line)
    if len(unequal) > SHOWN:
        print(f"and {len(unequal) - SHOWN} more")
    if unequal:
        print(f"size {given.size}: not the same; the first difference: {unequal[0]}")
        sys.exit(1)
    if not given.update:
        print(f"size {given.size}: the same")


if __name__ == "__main__":
    cli(main)
