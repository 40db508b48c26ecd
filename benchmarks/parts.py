"""(c) Each method's update against the sum of its bare parts, written out with torch and transformers alone.

The parts: one `generate`, the teacher's forward pass, the student's forward and backward pass with all logits at once,
gradient clipping and AdamW; where the policy reads its budget in sampling, a teacher that reads along out of its cache.
A method that does without a part (no teacher, no sampling) is compared without it. What a method does beyond them
(rewards, advantages, the divergence at every step of Saute's sampling) is its own and shows in its ratio.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from statistics import median

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig

from benchmarks.page import Row
from benchmarks.pairs import LARGE, LR, SAMPLES, Shape, budget, llama, log_probabilities, our_trainer, problems, shapes
from benchmarks.timing import Bench, alternate, seconds
from study.config import load_size
from study.preflight.costs import find_device
from training.cost import Cost
from training.folders import find_folders
from training.following import positions
from training.method import Method
from training.prompt import encode
from training.rollout import pad_prompts
from world import tokenizer

TARGET = 1.1


class Bare:
    """The parts of an update of one method, each timed by itself."""

    def __init__(self, shape: Shape, bench: Bench, sequences: int, method: Method, needs_teacher: bool) -> None:
        self.device, self.length, self.student = bench.device, shape.length, llama(shape, bench, 1)
        teacher = llama(shape, bench, 2, teacher=True) if needs_teacher else None
        self.teacher = None if method.teacher_mix == 1.0 else teacher  # it samples, and is not asked again
        self.sampler = teacher if method.teacher_mix == 1.0 else self.student
        words = tokenizer.build()
        chosen = [problem for problem in problems(64)[: sequences // SAMPLES] for _ in range(SAMPLES)]
        self.prompt = pad_prompts([encode(words, problem["prompt"]) for problem in chosen], 0, bench.device)
        self.reads_along = method.reads_budget
        self.data = None
        if method.data_share == 1.0:
            solutions = [[*words(problem["solution"])["input_ids"][: self.length - 1], 1] for problem in chosen]
            backwards, mask = pad_prompts([ids[::-1] for ids in solutions], 0, bench.device)
            self.data = backwards.flip(1), mask.flip(1)
        self.optimiser = torch.optim.AdamW(self.student.parameters(), lr=LR, weight_decay=0.0)
        self.spent: defaultdict[str, list[float]] = defaultdict(list)

    def update(self) -> None:
        """One update; the seconds of its parts are added to `spent`."""
        self.responses = self.data
        if self.data is None:
            self._time("generate", self.generate)
        if self.reads_along:
            self._time("teacher along", self.read_along)
        self.log_mu: Tensor | None = None
        if self.teacher is not None:
            self._time("teacher", self.ask_teacher)
        self._time("student", self.forward_and_backward)
        self._time("optimiser", self.step)

    def _time(self, part: str, work: object) -> None:
        assert callable(work)
        self.spent[part].append(seconds(work, self.device))

    def generate(self) -> None:
        """One response per prompt by the library's own `generate`."""
        ids, mask = self.prompt
        settings = GenerationConfig(
            max_new_tokens=self.length, do_sample=True, top_k=0, top_p=1.0, eos_token_id=1, pad_token_id=0
        )
        assert self.sampler is not None
        with torch.no_grad():
            full = self.sampler.generate(ids, attention_mask=mask, generation_config=settings)
        response = full[:, ids.shape[1] :]
        self.responses = response, torch.ones_like(response)

    @torch.no_grad()
    def read_along(self) -> None:
        """The teacher over the same responses one token at a time, as it must while they are sampled."""
        assert self.teacher is not None
        assert self.responses is not None
        ids, mask = (torch.cat(both, 1) for both in zip(self.prompt, self.responses, strict=True))
        done, cache = 0, DynamicCache(config=self.teacher.config)
        for end in range(self.prompt[0].shape[1], ids.shape[1]):
            at = positions(mask[:, :end])[:, done:]
            self.teacher(
                input_ids=ids[:, done:end], attention_mask=mask[:, :end], position_ids=at, past_key_values=cache,
                logits_to_keep=1,
            )  # fmt: skip
            done = end

    @torch.no_grad()
    def ask_teacher(self) -> None:
        """The teacher's log-probabilities of every token."""
        assert self.teacher is not None
        assert self.responses is not None
        self.log_mu = log_probabilities(self.teacher, self.prompt, self.responses)

    def forward_and_backward(self) -> None:
        """The mean exact reverse KL where there is a teacher, else the mean log-probability of the tokens."""
        assert self.responses is not None
        log_pi = log_probabilities(self.student, self.prompt, self.responses)
        if self.log_mu is None:
            value = log_pi.gather(2, self.responses[0][..., None])[..., 0]
        else:
            value = (log_pi.exp() * (log_pi - self.log_mu)).sum(-1)
        mask = self.responses[1]
        ((value * mask).sum(1) / mask.sum(1)).mean().backward()

    def step(self) -> None:
        """Clip and update."""
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()


def measure(bench: Bench) -> list[Row]:
    """One row per method with a loss of its own and size of model."""
    folders = [folder for folder in find_folders().values() if folder.own_train() is None]
    folders.sort(key=lambda folder: folder.declares.order)
    if bench.quick:
        folders = [folder for folder in folders if folder.name in ("sft", "cmdp")]
    return [one(shape, folder.name, bench) for shape in shapes(bench) for folder in folders]


def one(shape: Shape, name: str, bench: Bench) -> Row:
    """A method's whole update and its bare parts, in turn."""
    sequences = 8 if shape is LARGE else 64
    teacher = llama(shape, bench, 2, teacher=True)
    trainer = our_trainer(name, llama(shape, bench, 1), teacher, budget(shape, bench, sequences, 1))
    trainer.problems = trainer.problems[: sequences // SAMPLES]  # in every update the questions of the bare parts
    bare = Bare(shape, bench, sequences, trainer.method, find_folders()[name].declares.needs.teacher)
    steps = count()
    rounds = alternate([lambda: trainer.update(next(steps)), bare.update], bench, 6.0)
    parts = {part: median(values[-len(rounds) :]) for part, values in bare.spent.items()}
    shares = ", ".join(f"{part} {value / sum(parts.values()):.0%}" for part, value in parts.items())
    labels = {"ours / bare": name, "model": shape.title, "sequences": str(sequences)}
    more = gpu_columns(trainer.cost, median(r[0] for r in rounds), bench) if bench.device.type == "cuda" else {}
    return Row(labels, rounds, TARGET, more={"shares of the bare parts": shares, **more})


def gpu_columns(cost: Cost, typical: float, bench: Bench) -> dict[str, str]:
    """Of an update of ours that takes `typical` seconds: response tokens per second, arithmetic as a share of the peak.

    Peaks are stated for bfloat16, so in float32 there is no share.
    """
    found = {"tokens/s": f"{cost.tokens_generated / cost.steps / typical:,.0f}"}
    if bench.dtype == "bfloat16":
        card, _ = find_device(None, load_size("micro"))
        found["of the peak"] = f"{cost.flops / cost.steps / typical / card.peak:.1%}"
    return found
