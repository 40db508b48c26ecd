"""Word problems of the package reasoning-gym (0.1.25, Apache-2.0), generated here: no hub, no download.

Its templates restate those of GSM-Symbolic (arXiv 2410.05229), hence questions of GSM8K's test set. A model that was
trained on them is therefore not to be judged on GSM8K or GSM-Symbolic. Of the templates that the package calls sound,
every fifth is kept out of training, for a test of new templates beside the one of new numbers.
"""

from __future__ import annotations

import importlib
import warnings
from random import Random
from typing import Any

from sources.packages import check_reasoning_gym
from training.data import derive_seed

EACH = {"train": 60, "test": 10, "new": 20}  # problems of each template, by split


def generate(split: str) -> list[dict[str, Any]]:
    """Rows of a split, the same each time: id, question, answer, and `answer_cot`, the solution."""
    check_reasoning_gym()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of a package that reasoning-gym imports
        package = importlib.import_module("reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic")
    templates = package.GSMSymbolicDataset(package.GSMSymbolicDatasetConfig(seed=0, size=1)).generators
    rows = []
    for position, number in enumerate(sorted(package.tasks_ok)):
        if (position % 5 == 4) == (split == "new"):
            for sample in range(EACH[split]):
                made = templates[number](Random(derive_seed("reasoning_gym", split, number, sample)), 1.0)
                kept = {key: made[key] for key in ("question", "answer")} | {
                    "answer_cot": made["metadata"]["answer_cot"]
                }
                rows.append({"id": f"{split}-{number:02d}-{sample:02d}", **kept})
    return rows
