"""Bring what other machines made into this tree's results, so that the workflow regards it as done here.

    python -m study.merge --from FOLDER [FOLDER ...] [--into FOLDER]

Ids name all that determines a result, so equal ids must hold equal content. That is checked before anything is
copied; only what a clock, a machine or a log writes may differ. What a job had not finished is left out. No id names
the code that scores, so scores are taken only where their record names the scorer of this tree.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from study.code import code_hash
from study.provenance import CLOCKS, content_hash
from training.errors import UserError, cli
from training.files import flush

STAMP = ".snakemake_timestamp"  # written into a folder by Snakemake when the job that makes it has finished
TRAINED = "provenance.json"  # written last by training,
RECORD = "run.json"  # and this before; `make retry` removes that of a run that failed
SCORED = "score.provenance.json"
SCORER = "evaluation/score.py"
MEASURED = {
    "generate.provenance.json": ("samples.jsonl", "samples.jsonl.sha256", "lm_eval.json", "generate.log"),
    SCORED: ("scores.parquet", "tokens.jsonl", "score.log"),
}  # by generation and by scoring: the record, and what is there when it is
FREE = {"cost.json", "lm_eval.json", *CLOCKS}  # times, the machine
COPYING = ".merging"  # where copies lie until they are whole


@dataclass(frozen=True)
class Part:
    """What one finished job left: entries of a folder below `results/`; where the last is, so are the others."""

    folder: str
    entries: tuple[str, ...]

    @property
    def mark(self) -> str:
        """The entry that says that the part is there, as a path below `results/`."""
        return f"{self.folder}/{self.entries[-1]}"


def finished(results: Path) -> Iterator[Part]:
    """The parts of a `results/` folder: data, models, thresholds, kept texts of provenance, and the stages of runs."""
    for kind in ("data", "models"):
        yield from (Part(kind, (path.parent.name,)) for path in sorted(results.glob(f"{kind}/*/{STAMP}")))
    for pattern in ("thresholds/*.json", "provenance/[!.]*", f"scorers/{code_hash(SCORER)}"):
        yield from (Part(path.parent.name, (path.name,)) for path in sorted(results.glob(pattern)))
    for run in sorted(path for path in results.glob("runs/*") if path.is_dir()):
        if all((run / name).is_file() for name in (TRAINED, RECORD, f"policy/{STAMP}")):
            made = sorted(p.name for p in run.iterdir() if p.name != TRAINED and not p.name.startswith(("eval-", ".")))
            yield Part(f"runs/{run.name}", (*made, TRAINED))
        for measured in sorted(run.glob("eval-*")):
            for record, made_with in MEASURED.items():
                if (measured / record).is_file():
                    there = [name for name in made_with if (measured / name).is_file()]
                    yield Part(f"runs/{run.name}/{measured.name}", (*there, record))


def scored_otherwise(part: Part, results: Path) -> bool:
    """Whether these are scores that another scorer than this tree's made, or one that is not known."""
    if part.entries[-1] != SCORED:
        return False
    try:
        record = json.loads((results / part.mark).read_text(encoding="utf-8"))
    except ValueError:
        return True
    return not isinstance(record, dict) or record.get("code", {}).get("evaluation") != code_hash(SCORER)


def usable(results: Path) -> Iterator[Part]:
    """The finished parts, but for scores to be made anew."""
    return (part for part in finished(results) if not scored_otherwise(part, results))


def compared(name: str) -> bool:
    """Whether equal ids must hold this entry alike."""
    return name not in FREE and not name.endswith((TRAINED, ".log"))


def unlike(one: Path, other: Path, entries: Iterable[str]) -> str:
    """The first of `entries` that two folders both hold, and not alike; empty where there is none."""
    for name in filter(compared, entries):
        both = (one / name).exists() and (other / name).exists()
        if both and content_hash(one / name) != content_hash(other / name):
            return name
    return ""


def wanted(sources: list[Path], here: Path) -> dict[Part, Path]:
    """The parts that `here` lacks, each with the `results/` to take it from; `UserError` where two hold it unlike."""
    held = {part.mark: (part, here) for part in usable(here)}
    lacking: dict[Part, Path] = {}
    for source in sources:
        for part in usable(source):
            known, holder = held.setdefault(part.mark, (part, source))
            if holder == source:
                lacking[part] = source
                continue
            name = unlike(holder / part.folder, source / part.folder, dict.fromkeys([*known.entries, *part.entries]))
            if name:
                raise UserError(
                    f"{source / part.folder / name} is not what {holder / part.folder} holds under this name, and "
                    "nothing was copied; find out which one is right, remove the other and merge again"
                )
            if any(map(compared, set(part.entries) - set(known.entries))):  # removed from the one that is held
                lacking.pop(known, None)
                held[part.mark], lacking[part] = (part, source), source
    return lacking


def take(part: Part, source: Path, here: Path, moment: float) -> None:
    """Copy a part: flushed beside its place, then renamed entry by entry, last the one that says it is there.

    All copies bear the same `moment`: for Snakemake no result is then older than what it was made from.
    """
    target = here / part.folder
    target.mkdir(parents=True, exist_ok=True)
    for name in part.entries:
        copy = here / COPYING / name
        if (source / part.folder / name).is_dir():
            shutil.copytree(source / part.folder / name, copy)
        else:
            shutil.copyfile(source / part.folder / name, copy)
        writable(copy)
        for path in (*copy.rglob("*"), copy):
            os.utime(path, (moment, moment))
            flush(path)
    for name in part.entries:
        if (target / name).is_dir():  # left by a job or a merge that did not finish
            remove(target / name)
        (here / COPYING / name).replace(target / name)
    flush(target)


def marked_unfinished(tree: Path) -> dict[str, Path]:
    """What Snakemake would make again in a tree, since jobs that made it were killed: its path, and Snakemake's mark.

    A mark's name is the path in base64, in folders of `@` and a piece each where it is too long for one.
    """
    marks = tree / ".snakemake" / "incomplete"
    names = {
        "".join(part.removeprefix("@") for part in mark.relative_to(marks).parts): mark
        for mark in marks.rglob("*") if mark.is_file()
    }  # fmt: skip
    return {base64.urlsafe_b64decode(name).decode(): mark for name, mark in names.items()}


def writable(copy: Path) -> None:
    """Give the owner the right to write: copies have their originals' modes, and those may lie in a read-only tree."""
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def remove(folder: Path) -> None:
    """Remove a folder, copies of read-only ones in it too."""
    writable(folder)
    shutil.rmtree(folder)


def merge(folders: list[Path], into: Path) -> str:
    """Copy what `into` lacks from trees that hold `results/`; says what was taken. `UserError` on any clash."""
    here, sources = into / "results", [folder / "results" for folder in folders]
    for source in sources:
        if not source.is_dir():
            raise UserError(f"{source} is no folder; name in FROM the folders that hold results/ of other machines")
        if here.exists() and source.samefile(here):
            raise UserError(f"{source} is where the results are to be merged into; name in FROM other folders only")
    lacking = wanted(sources, here)
    if (here / COPYING).is_dir():  # left by a merge that was killed
        remove(here / COPYING)
    (here / COPYING).mkdir(parents=True)
    try:
        moment = time.time()
        unfinished = marked_unfinished(into)
        for part, source in lacking.items():
            take(part, source, here, moment)
            for mark in filter(None, (unfinished.get(f"results/{part.folder}/{name}") for name in part.entries)):
                mark.unlink()
        for marker in (here / "scorers").glob("[!.]*"):  # of other code: older than what was merged, it would hide that
            if marker.name != code_hash(SCORER):
                marker.unlink()
    finally:
        remove(here / COPYING)
    trained = sum(part.mark.endswith(f"/{TRAINED}") for part in lacking)
    scored = sum(part.entries[-1] == SCORED for part in lacking)
    found = {part.mark for source in sources for part in usable(source)}
    left = {part.mark for source in sources for part in finished(source)} - found
    return (
        f"taken: {len(lacking)} results, {trained} of them trained runs and {scored} scores; "
        f"{len(found) - len(lacking)} were here already"
        + (f"; {len(left)} scores of another evaluation/score.py were left out, to be made again here" if left else "")
    )


def main(argv: list[str] | None = None) -> None:
    """Command line: `--from DIR [DIR ...] [--into DIR]`."""
    parser = argparse.ArgumentParser(prog="python -m study.merge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--from", dest="folders", nargs="*", type=Path, default=[], help="trees that hold results/")
    parser.add_argument("--into", type=Path, default=Path(), help="the tree to merge into; this one by default")
    given = parser.parse_args(argv)
    if not given.folders:
        raise UserError('nothing to merge; name the folders: make merge FROM="folder1 folder2"')
    print(merge(given.folders, given.into))


if __name__ == "__main__":
    cli(main)
