"""The columns of what is kept of a run's responses: written by score and collect, read by all that follows."""

from __future__ import annotations

from typing import Literal, get_args

Reading = Literal["mean", "sum", "prefix"]  # how token KLs become a cost: training.constraint, which imports torch
READINGS: tuple[Reading, ...] = get_args(Reading)

# One row per response.
KEYS = ("test", "decoding", "prompt", "sample")
TEXT_SCORES = ("correct", "equivalent", "extracted", "finished", "tokens", "reasoning", "sound")
ESTIMATORS = ("k1", "k3")  # one-token estimates of the same KL, mean per response token
FLOORED = "floored"  # share of the response's tokens at which the teacher's probability floor is active
KL_COLUMNS = [*(f"kl_{name}" for name in (*READINGS, *ESTIMATORS)), FLOORED]
METRICS = [*TEXT_SCORES, *KL_COLUMNS]
SHOWN = 3  # prompts of each test set whose tokens are kept

# Of all runs of a size: one row per run, response and metric; per run, measurement and response; per run.
SCORES = ["run", *KEYS, "metric", "value"]
CURVES = ["run", "step", "response", "reward", "kl_mean", "kl_sum", "kl_prefix", "length"]
COSTS = [
    "wall_s", "generate_s", "teacher_s", "student_s", "prompts", "tokens_generated", "student_tokens",
    "teacher_tokens", "flops", "peak_memory_bytes", "steps",
]  # fmt: skip
TEXT = frozenset({"run", "test", "decoding", "prompt", "metric"})
WHOLE = frozenset({"sample", "step", "response"})

RECORDS = {"trained": "provenance.json", "scored": "score.provenance.json"}  # by study.provenance, of each run
