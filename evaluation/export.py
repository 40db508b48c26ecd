"""A trained student as an ordinary Hugging Face folder, with a model card that says what it is and how it scored.

    python -m evaluation.export --collected results/built/micro/collected --method cmdp --seed 0 --out folder

The folder is the run's `policy/` with the card and the run's records beside it. It needs neither this repository nor
the teacher.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import jinja2

from evaluation import measures
from evaluation.collected import Collected, Row, Run, counts, read
from evaluation.quiet import quieten
from evaluation.sample_files import read_samples
from evaluation.statistics import Estimate
from evaluation.table_files import Column
from training.errors import UserError, cli, nearest
from training.json_files import read_object
from training.model_folder import BUDGET

RECORDS = ("run.json", "provenance.json", "cost.json")
MADE = "results/models/"  # where models stand that the study made; their licence is this repository's


def choose(size: Collected, **wanted: Any) -> Run:
    """The one finished training run with these values (None: any). `UserError` where there is none, or several."""
    trained = [run for run in size.runs if run.kind == "method"]
    asked = {name: value for name, value in wanted.items() if value is not None}
    fitting = [run for run in trained if all(getattr(run, name) == value for name, value in asked.items())]
    said = ", ".join(f"{name} {value}" for name, value in asked.items()) or "nothing asked for"
    if not fitting:
        known = {str(getattr(run, name)) for run in trained for name in asked}
        hint = next((nearest(str(value), known) for value in asked.values() if str(value) not in known), "")
        raise UserError(f"size {size.size} has no trained run with {said}; {hint or 'each is there, but not together'}")
    if len(fitting) > 1:
        several = ", ".join(run.run for run in fitting)
        raise UserError(f"{said} fits {len(fitting)} runs of size {size.size}; name one of them with ID: {several}")
    if fitting[0].status != "ok":
        raise UserError(f"run {fitting[0].run} left no model ({fitting[0].why}); mend that and train it again")
    return fitting[0]


def scores(size: Collected, run: Run) -> list[dict[str, str]]:
    """One line per test set: FAC, CS and KL of this run alone, with intervals over prompts and samples."""
    row = Row(run.pair, run.kind, run.method, run.setting, run.label, (run,))
    lines = []
    for test in size.pairs[run.pair].tests:
        fac = measures.fac(size, row, test.name)
        if fac is None:
            raise UserError(f"run {run.run} has no scores on {test.name}; run make tables SIZE={size.size}")
        lines.append({
            "test": test.title, "fac": _percent(fac), "greedy": _percent(measures.fac(size, row, test.name, "greedy")),
            "cs": _percent(measures.satisfaction(size, row, test.name)),
            "kl": _shown(measures.divergence(size, row, test.name), 3),
            "n": f"{counts([fac.prompts])} × {counts([fac.samples])}",
        })  # fmt: skip
    return lines


def _percent(found: Estimate | None) -> str:
    return _shown(found.scaled(100.0) if found else None, 1)


def _shown(found: Estimate | None, digits: int) -> str:
    return Column("", "", "", digits).show(found)


def card(size: Collected, run: Run, record: dict[str, Any], example: str) -> str:
    """The model card; `record` is the run's run.json, `example` a prompt to try."""
    pair = size.pairs[run.pair]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("model_card.md.j2").render(
        run=run, pair=pair, record=record, size=size, scores=scores(size, run), example=repr(example),
        made=pair.student.startswith(MADE),
    )  # fmt: skip


def export(size: Collected, run: Run, runs: Path, out: Path) -> None:
    """Write the folder `out`; `UserError` where it has content already, or the run's own files are gone or damaged."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; name a new folder with OUT")
    own = runs / run.run
    remedy = f"delete {own} and make it again: make tables SIZE={size.size}"
    record = read_object(own / "run.json", {}, remedy)
    samples = read_samples(own / run.evaluation / "samples.jsonl")
    if not samples:
        raise UserError(f"{own / run.evaluation / 'samples.jsonl'} is empty; {remedy}")
    if (own / "policy" / BUDGET).is_file():
        raise UserError(f"{run.run} reads its budget at every token, which takes the teacher; export another method")
    try:
        text = card(size, run, record, samples[0]["prompt"])
    except jinja2.UndefinedError as error:
        raise UserError(f"{own / 'run.json'} lacks what a card tells ({error}); {remedy}") from error
    _check(own / "policy", record["train"].get("dtype", "float32"), remedy)
    _write(own, text, out)


def _check(policy: Path, dtype: str, remedy: str) -> None:
    """`UserError` where a folder holds no whole model: whoever gets a copy could not tell why."""
    quieten()
    import torch

    from training.models import load_policy, load_tokenizer

    try:
        load_tokenizer(policy)
        load_policy(policy, dtype, torch.device("cpu"))
    except UserError as error:
        raise UserError(f"{policy} holds no whole model ({error}); {remedy}") from error


def _write(own: Path, text: str, out: Path) -> None:
    """The folder, made beside its place and put there by one rename: it is whole or not there."""
    fresh = out.absolute().with_name(f".{out.absolute().name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)  # left by an export that was killed
    try:
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
    except OSError as error:
        raise UserError(f"{out} cannot be made ({error.strerror}); name another folder with OUT") from error
    try:
        shutil.copytree(own / "policy", fresh, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake*"))
        for name in RECORDS:
            if (own / name).is_file():
                shutil.copy2(own / name, fresh / name)
        (fresh / "README.md").write_text(text, encoding="utf-8")
        fresh.replace(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def whole_number(text: str) -> int:
    """A seed; `UserError` where it is none, in place of argparse's lines on the usage."""
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"SEED is {text!r}, but must be a whole number; change it, e.g. SEED=0") from error


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR [--run ID | --method NAME [--setting TEXT] [--seed N]] --out DIR`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--collected", required=True, type=Path, help="the collected size that holds the run's scores")
    parser.add_argument("--run", help="id of the run; or choose it by the following")
    parser.add_argument("--pair")
    parser.add_argument("--method")
    parser.add_argument("--setting", help="as tables print it, e.g. λ=0.1")
    parser.add_argument("--seed", type=whole_number)
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    parser.add_argument("--out", required=True)
    given = parser.parse_args(argv)
    if not given.out:
        raise UserError("OUT is empty; name a new folder: make export OUT=folder")
    size = read(given.collected)
    asked = {name: getattr(given, name) for name in ("run", "pair", "method", "setting", "seed")}
    run = choose(size, **asked)
    export(size, run, given.runs, Path(given.out))
    print(f"{given.out}: {run.name}, seed {run.seed}, of size {size.size}; what it is stands in its README.md")


if __name__ == "__main__":
    cli(main)
