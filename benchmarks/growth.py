"""(f) How cost grows: of an update with response length and vocabulary, of a study with methods and seeds.

Updates are measured. A study's seconds are estimated: the jobs that Snakemake counts, each as long as the median of its
rule was when the size `micro` was measured (study/durations.yaml).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from benchmarks.page import Row
from benchmarks.pairs import MICRO, Shape, budget, llama, our_trainer
from benchmarks.timing import Bench, alternate
from study.forecast import seconds
from study.workflow import dry_run
from training.folders import ROOT
from training.yaml_files import read_yaml

SEQUENCES = 16
LENGTHS = (16, 32, 64, 128, 256)
VOCABULARIES = (256, 4096, 16_384, 65_536)
NOT_COPIED = shutil.ignore_patterns(".*", "results", "__pycache__")


def measure(bench: Bench) -> list[Row]:
    """Updates of `cmdp`, each size over the smallest within a round; then whole studies."""
    cut = 2 if bench.quick else None
    lengths = {str(n): replace(MICRO, length=n) for n in LENGTHS[:cut]}
    vocabularies = {f"{n:,}": replace(MICRO, vocabulary=n, length=32) for n in VOCABULARIES[:cut]}
    rows = updates("response length", lengths, bench) + updates("vocabulary", vocabularies, bench)
    return rows if bench.quick else rows + studies()


def updates(what: str, shapes: dict[str, Shape], bench: Bench) -> list[Row]:
    """One row for every shape but the first, which is the measure of the others."""
    sides, steps = [], count()
    for shape in shapes.values():
        student, teacher = llama(shape, bench, 1), llama(shape, bench, 2, teacher=True)
        trainer = our_trainer("cmdp", student, teacher, budget(shape, bench, SEQUENCES, 1))
        sides.append(lambda update=trainer.update: update(next(steps)))
    rounds = alternate(sides, bench, 15.0)
    first, *others = shapes
    return [
        Row({"an update, by": what, "from": first, "to": name}, [(r[place], r[0]) for r in rounds])
        for place, name in enumerate(others, 1)
    ]


def studies() -> list[Row]:
    """Seconds of the jobs of the size `micro` with more seeds and with more of its methods."""
    base = read_yaml(ROOT / "config" / "micro.yaml")
    base.pop("ablations", None)
    names = list(base["methods"])
    seeds = {str(n): {**base, "seeds": list(range(n))} for n in (1, 2, 3, 5)}
    methods = {
        str(n): {**base, "seeds": [0], "methods": {name: base["methods"][name] for name in names[:n]}}
        for n in range(1, len(names) + 1)
    }
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
        return [*_estimated("seeds", seeds, tree), *_estimated("methods", methods, tree)]


def _estimated(what: str, sizes: dict[str, dict[str, Any]], tree: Path) -> list[Row]:
    each = {rule: one for rule, (one, _) in seconds("micro", [], tree).items()}
    counts = {name: _counted(tree, size) for name, size in sizes.items()}
    spent = {name: sum(n * each.get(rule, 0.0) for rule, n in found.items()) for name, found in counts.items()}
    first, *others = spent
    return [
        Row({"a study, by": what, "from": first, "to": name, "jobs": f"{sum(counts[name].values())}"},
            [(spent[name], spent[first])], exact=True)
        for name in others
    ]  # fmt: skip


def _counted(tree: Path, size: dict[str, Any]) -> dict[str, int]:
    (tree / "config" / "counted.yaml").write_text(yaml.safe_dump(size), encoding="utf-8")
    return dry_run("counted", cwd=tree)
