"""A collected size made of random numbers with a known shape: methods x seeds x tests x prompts x samples."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation.collected import Collected, Index
from evaluation.paper_numbers import load
from evaluation.table_files import Table, to_csv

D = 0.2
TESTS = {"same": "Same distribution", "symbolic": "Re-sampled names and numbers", "longer": "Longer chains"}
REGIME = {
    "teacher_fac_min": 0.95, "student_fac": [0.2, 0.6], "grpo_cs_max": 0.9, "random_fac_max": 0.05, "harder": "longer",
}  # fmt: skip
METRICS = (
    "correct", "equivalent", "extracted", "finished", "tokens", "kl_mean", "kl_sum", "kl_prefix", "kl_k1", "kl_k3",
    "floored", "reasoning", "sound",
)  # fmt: skip


@dataclass(frozen=True)
class Level:
    """How good a row is: mean FAC, mean KL per token (None: no policy), and share of valid steps."""

    kind: str
    method: str
    setting: str
    label: str
    fac: float
    kl: float | None
    steps: float


ROWS = (
    Level("reference", "teacher", "", "Teacher", 0.98, 0.0, 0.98),
    Level("reference", "student", "", "Student before", 0.42, 0.19, 0.45),
    Level("method", "cmdp", "", "CMDP", 0.7, 0.09, 0.75),
    Level("method", "soft_lagrangian", "λ=0.001", "GKD-GRPO λ=0.001", 0.72, 0.3, 0.5),
    Level("method", "soft_lagrangian", "λ=0.01", "GKD-GRPO λ=0.01", 0.71, 0.2, 0.55),
    Level("method", "soft_lagrangian", "λ=0.1", "GKD-GRPO λ=0.1", 0.7, 0.1, 0.7),
    Level("method", "soft_lagrangian", "λ=1", "GKD-GRPO λ=1", 0.68, 0.05, 0.72),
    Level("method", "gkd", "", "GKD", 0.67, 0.04, 0.74),
    Level("method", "grpo", "", "GRPO", 0.74, 0.45, 0.3),
    Level("method", "minillm", "", "Mini-LLM", 0.66, 0.05, 0.72),
    Level("control", "answer_key", "", "Answer key", 1.0, None, 1.0),
    Level("control", "always_wrong", "", "Always wrong", 0.0, None, 0.0),
    Level("control", "random", "", "Random policy", 0.0, 3.0, 0.0),
)


def run_name(pair: str, level: Level, seed: int) -> str:
    """Run id of a synthetic row."""
    return f"{pair}-{level.method}-{level.setting.replace('λ=', 'l')}-{seed}".replace("--", "-")


def write_collected(
    folder: Path,
    seeds: int = 3,
    prompts: int = 40,
    samples: int = 4,
    pair: str = "world",
    failed: tuple[str, ...] = (),
    note: str = "",
    steps: int = 12,
) -> Path:
    """Write the four files; runs whose method is in `failed` have no scores. Returns `folder`."""
    runs, scores, curves, costs = _size(seeds, prompts, samples, pair, failed, steps)
    folder.mkdir(parents=True, exist_ok=True)
    index = {"size": "tiny", "title": "Synthetic size", "note": note, "pairs": {pair: _pair(pair)}, "runs": runs}
    (folder / "runs.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    scores.to_parquet(folder / "scores.parquet", index=False)
    curves.to_parquet(folder / "curves.parquet", index=False)
    costs.to_parquet(folder / "costs.parquet", index=False)
    return folder


def lose(size: Collected, label: str) -> Collected:
    """The same size with all but the first run of a row failed."""
    lost = {"status": "failed", "why": "nan"}
    runs = [run.model_copy(update=lost) if run.name == label and run.seed else run for run in size.runs]
    return size.with_index(Index(size=size.size, title=size.title, pairs=size.pairs, runs=runs), size.unit)


@cache
def _size(
    seeds: int, prompts: int, samples: int, pair: str, failed: tuple[str, ...], steps: int
) -> tuple[list[dict[str, Any]], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Runs, scores, curves and costs, drawn once: to be written, never changed."""
    rng = np.random.default_rng(7)
    runs: list[dict[str, Any]] = []
    scores, curves, costs = [], [], []
    for order, level in enumerate(ROWS):
        for seed in range(seeds if level.kind == "method" else 1):
            name = run_name(pair, level, seed)
            bad = level.method in failed
            runs.append({
                "run": name, "pair": pair, "kind": level.kind, "method": level.method, "setting": level.setting,
                "label": level.label.split(" λ")[0], "seed": seed, "order": order,
                "status": "failed" if bad else "ok", "why": "loss became infinite at step 7" if bad else "",
            })  # fmt: skip
            if bad:
                continue
            scores += [_scores(rng, name, level, test, prompts, samples) for test in TESTS]
            if level.kind == "method":
                curves.append(_curves(rng, name, level, steps))
                costs.append({"run": name, **_cost(rng)})
    return runs, pd.concat(scores), pd.concat(curves), pd.DataFrame(costs)


def _pair(name: str) -> dict[str, Any]:
    known = load().settings.get(name)  # a pair of the paper's name has its models
    return {
        "student": known.student if known else "student of the world",
        "teacher": known.teacher if known else "teacher of the world",
        "reading": "mean",
        "tests": [{"name": key, "title": title} for key, title in TESTS.items()],
        "threshold": {"d": D, "source": "given"},
        "regime": REGIME,
    }


def _scores(rng: np.random.Generator, run: str, level: Level, test: str, prompts: int, samples: int) -> pd.DataFrame:
    harder = 0.5 if test == "longer" and level.kind != "control" and level.method != "teacher" else 1.0
    rows = []
    for decoding, prompt, sample in [
        *product(["sampled"], range(prompts), range(samples)), *product(["greedy"], range(prompts), [0])
    ]:  # fmt: skip
        share = level.steps + 0.25 * float(rng.standard_normal()) * (0 < level.steps < 1)
        steps = round(min(max(share, 0.0), 1.0) * 4) / 4
        kl = float("nan") if level.kl is None else level.kl * float(rng.gamma(4.0, 0.25))
        correct = float(rng.random() < level.fac * harder)
        k1, k3 = kl + 0.3 * (level.kl or 0.0) * rng.standard_normal(), kl * float(rng.gamma(9.0, 1 / 9))
        floored = 0.0 * kl
        values = (correct, correct, 1.0, 1.0, 30.0, kl, 30 * kl, 1.5 * kl, k1, k3, floored, steps, float(steps == 1.0))
        rows += [
            (run, test, decoding, f"{test}-{prompt:04d}", sample, metric, value)
            for metric, value in zip(METRICS, values, strict=True)
        ]
    columns = ["run", "test", "decoding", "prompt", "sample", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def _curves(rng: np.random.Generator, run: str, level: Level, steps: int) -> pd.DataFrame:
    frames = []
    for step in range(0, 10 * steps, 10):
        share = 1 - np.exp(-step / 40)
        kl = (0.19 + ((level.kl or 0) - 0.19) * share) * rng.gamma(4.0, 0.25, 32)
        reward = (rng.random(32) < 0.42 + (level.fac - 0.42) * share).astype(float)
        frames.append(pd.DataFrame({
            "run": run, "step": step, "response": range(32), "reward": reward, "kl_mean": kl,
            "kl_sum": 30 * kl, "kl_prefix": 1.5 * kl,
            "length": rng.integers(20, 40, 32).astype(float),
        }))  # fmt: skip
    return pd.concat(frames)


def _cost(rng: np.random.Generator) -> dict[str, float]:
    wall = float(80 + 5 * rng.standard_normal())
    return {
        "wall_s": wall, "generate_s": 0.4 * wall, "teacher_s": 0.2 * wall, "student_s": 0.4 * wall,
        "prompts": 8000.0, "tokens_generated": 1.9e6, "student_tokens": 4e6, "teacher_tokens": 4e6,
        "flops": 3.2e12, "peak_memory_bytes": 6e8, "steps": 500.0,
    }  # fmt: skip


def cells_of(table: Table) -> dict[tuple[str, str, str], dict[str, str]]:
    """A table's cells as its CSV has them, by (group, row, column)."""
    rows = csv.DictReader(io.StringIO(to_csv(table)))
    return {(row["group"], row["row"], row["column"]): row for row in rows}
