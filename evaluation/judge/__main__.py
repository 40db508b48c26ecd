"""Ask a judge for its verdicts on every two rows of a size, both orders, and keep them.

    python -m evaluation.judge --params JSON --runs results/runs --cache results/judge-cache --out verdicts.parquet

Replies come from the cache where they are there. A job that was stopped, or whose judge fell silent, goes on where
it was. One row per comparison: `forth` is the verdict with `left` shown first, `back` with `right` shown first, both
as 1 (left is better), 0 (tie), -1 (right is better), NaN (no verdict in the reply). Equal texts tie unasked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from evaluation.judge.cache import Cache, key_of
from evaluation.judge.comparisons import Comparison, comparisons
from evaluation.judge.prompt import judge_prompt, verdict
from evaluation.judge.settings import Job
from training.errors import cli
from training.progress import Progress
from training.schema import read_params

Keep = Callable[[str, str], None]  # key, reply
LEFT_IS = {"A": 1.0, "B": -1.0, "tie": 0.0}  # in the order in which `left` is answer A


class Source(Protocol):
    """Whatever gives replies: a local model or an endpoint."""

    def identity(self) -> dict[str, Any]:
        """What a reply depends on besides the prompt."""

    def replies(self, prompts: dict[str, str], keep: Keep) -> Iterator[tuple[str, str]]:
        """(key, reply) of every prompt, in any order, as they come; `keep` gets each before the next is asked for."""


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON [--runs DIR] [--cache DIR] --out FILE`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.judge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--params", required=True, help="JSON text or file: name, local or endpoint, prompts, runs")
    parser.add_argument("--runs", default=Path("results/runs"), type=Path, help="folder of the run folders")
    parser.add_argument("--cache", default=Path("results/judge-cache"), type=Path, help="folder of kept replies")
    parser.add_argument("--out", required=True, type=Path, help="verdicts.parquet")
    given = parser.parse_args(argv)
    job = read_params(Job, given.params)
    pairs = comparisons(job.runs, given.runs, job.prompts)
    kept = ask(job.name, source(job), pairs, Cache(given.cache))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    table(job, pairs, kept).to_parquet(given.out, index=False)


def source(job: Job) -> Source:
    """The judge that the settings name; a module with heavy imports is loaded only where it is used."""
    if job.endpoint is not None:
        from evaluation.judge.endpoint import Endpoint

        return Endpoint(job.endpoint)
    from evaluation.judge.local import Local

    assert job.local is not None
    return Local(job.local)


def prompts_of(pair: Comparison) -> tuple[str, ...]:
    """The prompts of a comparison, left first and right first; none where both texts are equal."""
    if pair.texts[0] == pair.texts[1]:
        return ()
    return tuple(judge_prompt(pair.question, *texts) for texts in (pair.texts, pair.texts[::-1]))


def ask(name: str, judge: Source, pairs: list[Comparison], cache: Cache) -> dict[str, str]:
    """Prompt to reply, from the cache or else from the judge, each kept at once; says how far it is."""
    identity = judge.identity()
    keys = {prompt: key_of(identity, prompt) for prompt in dict.fromkeys(p for pair in pairs for p in prompts_of(pair))}
    kept = {prompt: reply for prompt, key in keys.items() if (reply := cache.get(key)) is not None}
    missing = {key: prompt for prompt, key in keys.items() if prompt not in kept}
    print(f"judge {name}: {len(kept)} verdicts are kept, {len(missing)} to be asked for", flush=True)
    progress = Progress(f"judge {name}", len(missing), step="verdict")
    for done, (key, reply) in enumerate(judge.replies(missing, cache.put) if missing else (), 1):
        kept[missing[key]] = reply
        progress.show(done)
    return kept


def table(job: Job, pairs: list[Comparison], kept: dict[str, str]) -> pd.DataFrame:
    """One row per comparison, in their order; equal input gives equal rows."""
    rows = []
    for pair in pairs:
        prompts = prompts_of(pair)
        said = [LEFT_IS.get(verdict(kept[prompt]) or "", np.nan) for prompt in prompts] or [0.0, -0.0]
        rows.append({
            "judge": job.name, "model": job.model, "pair": pair.pair, "test": pair.test, "prompt": pair.prompt,
            "left": pair.left, "right": pair.right, "control": pair.control, "asked": bool(prompts),
            "forth": said[0], "back": -said[1], "left_tokens": pair.tokens[0], "right_tokens": pair.tokens[1],
        })  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    cli(main)
