"""Our final-answer correctness beside lm-eval's own `gsm8k` and `minerva_math` scores of the very same responses.

lm-eval's shipped task files are loaded as they are, filters and metrics included; only their documents are replaced by
given ones, and the model by a script. Not a test: `tests/unit/test_agreement.py` runs it on self-made problems.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.tasks._yaml_loader import load_yaml
from sklearn.metrics import cohen_kappa_score

from evaluation.equivalence import is_equivalent
from evaluation.policy_lm import RecordingLM, Sample, wrong_answer
from training.answers import is_correct

SHIPPED = {"gsm8k": "gsm8k/gsm8k.yaml", "minerva_math": "minerva_math/minerva_math_algebra.yaml"}
Problem = dict[str, Any]  # question, answer, solution


class ScriptedLM(RecordingLM):
    """A model whose response to document i is `responses[i]`."""

    def __init__(self, responses: list[str]) -> None:
        super().__init__()
        self.responses = responses

    def answer(self, requests: list[Instance]) -> list[Sample]:
        """The scripted responses, in request order."""
        return [Sample(str(r.task_name), self.responses[r.doc_id], [], True) for r in requests]


def shipped_scores(task: str, problems: list[Problem], responses: list[str]) -> dict[str, list[int]]:
    """0 or 1 per response for every filter and metric of lm-eval's own task, by "filter, metric"."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    config = load_yaml(Path(lm_eval.tasks.__file__).parent / SHIPPED[task], resolve_func=True)
    fields = {"gsm8k": ("question", "answer"), "minerva_math": ("problem", "solution")}[task]
    rows = [dict(zip(fields, (p["question"], p["solution"]), strict=True)) for p in problems]
    for key in ("tag", "group", "dataset_path", "dataset_name", "training_split", "fewshot_split", "fewshot_config"):
        config.pop(key, None)
    config |= {"num_fewshot": 0, "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)}}
    found = evaluate(
        ScriptedLM(responses), {task: ConfigurableTask(config=config)}, log_samples=True, bootstrap_iters=0
    )
    scores: dict[str, list[int]] = {}
    (samples,) = found["samples"].values()
    for sample in sorted(samples, key=lambda s: (s["filter"], s["doc_id"])):
        for metric in sample["metrics"]:
            scores.setdefault(f"{sample['filter']}, {metric}", []).append(int(sample[metric]))
    return scores


def our_scores(problems: list[Problem], responses: list[str]) -> dict[str, list[int]]:
    """Both readings of the suite, 0 or 1 per response."""
    pairs = list(zip(responses, problems, strict=True))
    return {
        "strict": [int(is_correct(text, p["answer"])) for text, p in pairs],
        "equivalent": [int(is_equivalent(text, p["answer"])) for text, p in pairs],
    }


def variants(problem: Problem) -> dict[str, str]:
    """Responses to a problem by kind: its own solution, right and wrong answers, in the forms that models give."""
    right, wrong = problem["answer"], wrong_answer(problem["answer"])
    return {
        "gold solution": problem["solution"],
        "####, right": f"So it is {right}.\n#### {right}",
        "####, wrong": f"So it is {wrong}.\n#### {wrong}",
        "#### and unit": f"#### {right} apples",
        "boxed, right": f"So it is $\\boxed{{{right}}}$.",
        "boxed, wrong": f"So it is $\\boxed{{{wrong}}}$.",
        "sentence, right": f"The answer is {right}",
        "sentence, wrong": f"The answer is {wrong}",
        "minerva's sentence, right": f"Final Answer: The final answer is ${right}$. I hope it is correct.",
        "minerva's sentence, wrong": f"Final Answer: The final answer is ${wrong}$. I hope it is correct.",
    }


def agreement(ours: list[int], theirs: list[int]) -> tuple[tuple[int, int, int, int], float]:
    """Counts (both right, ours only, theirs only, both wrong) and Cohen's kappa."""
    both = list(zip(ours, theirs, strict=True))
    counts = both.count((1, 1)), both.count((1, 0)), both.count((0, 1)), both.count((0, 0))
    return counts, float(cohen_kappa_score(ours, theirs))
