"""Models for lm-eval that keep what lm-eval drops: the token ids of every response, and whether it ended.

lm-eval keeps text only, and text does not determine tokens; the divergence must be measured on the very tokens
that were sampled. `PolicyLM` samples with the engine that training uses, so evaluation sees exactly the policy
that was trained. `AnswerKeyLM` and `AlwaysWrongLM` are controls with known scores.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.data import derive_seed
from training.progress import Progress
from training.prompt import encode
from training.rollout import generate


@dataclass(frozen=True)
class Sample:
    """One response: text, token ids with the final EOS (empty for controls), and whether it ended by itself."""

    task: str
    response: str
    tokens: list[int]
    finished: bool


class RecordingLM(LM):
    """An lm-eval model that answers task by task and keeps a `Sample` for each request, in request order."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[Sample] = []

    @abstractmethod
    def answer(self, requests: list[Instance]) -> list[Sample]:
        """Responses to the requests of one task, in their order."""

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Response texts in request order; a line of progress for each task."""
        grouped = [list(group) for _, group in groupby(requests, key=lambda request: request.task_name)]
        self.samples = []
        for number, group in enumerate(grouped, 1):
            start = time.perf_counter()
            answered = self.answer(group)
            self.samples += answered
            _report(answered, len({request.doc_id for request in group}), time.perf_counter() - start,
                    f"{number} of {len(grouped)}")  # fmt: skip
        return [sample.response for sample in self.samples]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: the tasks of the suite are generative. Raises TypeError."""
        raise TypeError(f"{type(self).__name__} generates only; use it with generate_until tasks")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not offered: the tasks of the suite are generative. Raises TypeError."""
        raise TypeError(f"{type(self).__name__} generates only; use it with generate_until tasks")


def _report(samples: list[Sample], prompts: int, seconds: float, place: str) -> None:
    cut = sum(not sample.finished for sample in samples)
    print(
        f"{samples[0].task}: {len(samples)} responses to {prompts} prompts, {cut} cut off, "
        f"{seconds:.1f} s ({place})",
        flush=True,
    )  # fmt: skip


class PolicyLM(RecordingLM):
    """A policy at temperature 1 over the whole vocabulary, or greedy, as the task's `do_sample` asks."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.batch, self.seed = model, tokenizer, batch, seed

    def answer(self, requests: list[Instance]) -> list[Sample]:
        """Responses of one task, generated in batches of prompts of similar length.

        Seeded by (seed, task) alone, so that a test set scores the same whatever else is evaluated with it.
        """
        task = str(requests[0].task_name)
        greedy, longest = decoding(requests[0])
        ids = {text: encode(self.tokenizer, text) for text in dict.fromkeys(r.args[0] for r in requests)}
        prompts = [ids[request.args[0]] for request in requests]
        torch.manual_seed(derive_seed(self.seed, "evaluation", task))
        samples: dict[int, Sample] = {}
        for chosen in _batches(prompts, self.batch, task):
            rollouts = generate(self.model, self.tokenizer, [prompts[i] for i in chosen], longest, greedy)
            texts, finished = rollouts.texts(self.tokenizer), rollouts.finished.tolist()
            for i, text, row, keep, ended in zip(
                chosen, texts, rollouts.response, rollouts.mask, finished, strict=True
            ):
                samples[i] = Sample(task, text, row[keep].tolist(), ended)
        return [samples[i] for i in range(len(requests))]


def decoding(request: Instance) -> tuple[bool, int]:
    """Whether a task decodes greedily, and its longest response in tokens."""
    settings = request.args[1]
    sampled = bool(settings.get("do_sample", False))
    if sampled and settings.get("temperature") != 1.0:
        raise ValueError(f"task '{request.task_name}' asks for temperature {settings.get('temperature')}: only 1 "
                         "samples from the policy itself")  # fmt: skip
    return not sampled, int(settings["max_gen_toks"])


def _batches(prompts: list[list[int]], size: int, task: str) -> Iterator[list[int]]:
    """Indices in batches of similar prompt length, so that little is padded; tells how far it is now and then."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    progress = Progress(task, len(order), step="response")
    for done in range(0, len(order), size):
        if done:
            progress.show(done)
        yield order[done : done + size]


class AnswerKeyLM(RecordingLM):
    """Control: the gold solution of every question. Scores 100 %."""

    def answer(self, requests: list[Instance]) -> list[Sample]:
        """The `solution` of each document."""
        return [Sample(str(r.task_name), r.doc["solution"], [], True) for r in requests]


class AlwaysWrongLM(RecordingLM):
    """Control: a well-formed answer that is never right. Scores 0 %, with every answer extracted."""

    def answer(self, requests: list[Instance]) -> list[Sample]:
        """`#### N` with N one digit longer than the gold answer."""
        return [Sample(str(r.task_name), f"#### {wrong_answer(r.doc['answer'])}", [], True) for r in requests]


def wrong_answer(answer: str) -> str:
    """A number that differs from `answer` in every spelling: its digits with a leading 1 (so `9` gives `19`)."""
    digits = "".join(character for character in answer if character.isdigit())
    return f"1{digits}"
