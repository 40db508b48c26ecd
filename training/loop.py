"""The one training loop of all methods: sample, reward, evaluate, update."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_scheduler

from training.batch import Batch
from training.budget import Budget
from training.cost import Cost, parameters
from training.data import Problem, derive_seed, order
from training.divergence import reverse_kl
from training.errors import TrainingFailed
from training.method import Method
from training.micro_batches import micro_batches
from training.monitor import task_rewards
from training.optimizer import AdamW
from training.parallel import Together, average_gradients, count, mean_over_processes, rank, sum_over_processes
from training.prompt import encode
from training.returned import loss_and_statistics, share_of
from training.rollout import Rollouts, generate, given, samples_alone
from training.settings import TrainSettings

T = TypeVar("T")


class Trainer:
    """Policy updates of one run. Each randomness has a seed of its own, derived from the run's seed and step."""

    def __init__(
        self,
        method: Method,
        student: PreTrainedModel,
        teacher: PreTrainedModel | None,
        tokenizer: PreTrainedTokenizerBase,
        problems: list[Problem],
        settings: TrainSettings,
        seed: int,
    ) -> None:
        self.method, self.student, self.teacher = method, student, teacher
        self.tokenizer, self.problems, self.settings, self.seed = tokenizer, problems, settings, seed
        if method.reads_budget:
            assert teacher is not None
            assert method.threshold is not None
            Budget(student, teacher, method.threshold, method.settings["constraint"])
        self.optimizer = AdamW(student.parameters(), settings.lr, settings.weight_decay)
        self.scheduler = get_scheduler(settings.scheduler, self.optimizer, settings.warmup, settings.steps)
        self.cost = Cost()
        self.sizes = parameters(student), parameters(teacher) if teacher is not None else None

    def steps(self, first: int = 0) -> Iterator[dict[str, Any]]:
        """Run the updates from `first` on; yields one row of statistics after each."""
        for step in range(first, self.settings.steps):
            yield {"step": step + 1, **self.update(step)}

    def update(self, step: int) -> dict[str, float]:
        """One update: statistics as plain numbers. Raises `TrainingFailed` on a non-finite loss."""
        s, own = self.settings, self.settings.questions // count()
        chosen = order(len(self.problems), s.questions, step, self.seed)[rank() * own :][:own]
        problems = [self.problems[i] for i in chosen]
        with Together(step + 1):
            with self.cost.timed("generate"):
                rollouts, sampled = self._responses(problems, step)
            rewards = task_rewards(rollouts, self._each(problems), self.tokenizer)
            group = torch.arange(own, device=rewards.device).repeat_interleave(s.samples)
            with self.cost.timed("student"):
                statistics, asked = self._gradients(rollouts, rewards, group, step)
        reward = {"reward": rewards.mean().item()} if sampled else {}
        length = rollouts.lengths.float().mean().item()
        with self.cost.timed("student"):
            row = mean_over_processes({**reward, "length": length, **statistics})
            average_gradients(self.student.parameters())
            with Together(step + 1):
                norm = self._step(row, step)
        self._count(rollouts, self._sources(step)[1] if sampled else None, asked)
        return {**row, "grad_norm": norm}

    def _each(self, of_questions: list[T]) -> list[T]:
        """What belongs to each question, once for each of its rows."""
        return [value for value in of_questions for _ in range(self.settings.samples)]

    def _responses(self, problems: list[Problem], step: int) -> tuple[Rollouts, bool]:
        """Student samples or, for the method's share of updates, the data set's solutions."""
        prompts = self._each([encode(self.tokenizer, problem["prompt"]) for problem in problems])
        torch.manual_seed(derive_seed(self.seed, "rollout", step))
        share, mix = self._sources(step)
        if torch.rand(()).item() < share:
            return self._solutions(prompts, problems), False
        if rank() > 0:  # what is drawn above must be the same in all processes, what is drawn below must not
            torch.manual_seed(derive_seed(self.seed, "rollout", step, rank()))
        s = self.settings
        made = generate(self.student, self.tokenizer, prompts, s.max_new_tokens, False, self.teacher, mix, s.cache)
        return made, True

    def _sources(self, step: int) -> tuple[float, float]:
        """Share of updates on solutions and of the teacher in sampling: the method's, none in the common warm-up."""
        if step < self.settings.kl_warmup:
            return 0.0, 0.0
        return share_of(self.method, "data_share", step + 1), share_of(self.method, "teacher_mix", step + 1)

    def _solutions(self, prompts: list[list[int]], problems: list[Problem]) -> Rollouts:
        texts = [self.tokenizer(p["solution"], add_special_tokens=False)["input_ids"] for p in problems]
        cut = self.settings.max_new_tokens - 1
        ended = self._each([[*text[:cut], self.tokenizer.eos_token_id] for text in texts])
        return given(prompts, ended, self.student.device)

    def _gradients(
        self, rollouts: Rollouts, rewards: Tensor, group: Tensor, step: int
    ) -> tuple[dict[str, float], bool]:
        """Gradients of the loss over these rows, micro-batch by micro-batch; their statistics, and whether the teacher
        was asked about them."""
        totals, asked = dict[str, float](), False
        self.optimizer.zero_grad()
        for rows, responses in micro_batches(rollouts, self.settings):
            batch = Batch(responses, rewards[rows], group[rows], self.student, self.teacher)
            loss, statistics = self._loss(batch, step)
            found = {"loss": loss.item(), **statistics}
            for name, value in found.items():  # of statistics too: a loss may leave out what is NaN
                if not isfinite(value):
                    raise TrainingFailed(f"the {name} is {value} at step {step + 1}")
            share = len(batch.rewards) / len(rewards)
            (loss * share).backward()
            self.cost.move_to_teacher(batch.teacher_seconds)
            for name, value in found.items():
                totals[name] = totals.get(name, 0.0) + share * value
            asked = asked or batch.asked_teacher
        return totals, asked

    def _step(self, statistics: dict[str, float], step: int) -> float:
        """The optimiser's step on the gradients, which are those of all processes; their norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise TrainingFailed(f"the gradient norm is {norm.item()} at step {step + 1}")
        self.optimizer.step()
        self.scheduler.step()
        if step >= self.settings.kl_warmup:
            self.method.after_update(statistics)
        return norm.item()

    def _loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        if step >= self.settings.kl_warmup:
            return loss_and_statistics(self.method.loss(batch), step + 1)
        kl = batch.mean_expectation(reverse_kl)
        return kl, {"kl": kl.item()}

    def _count(self, rollouts: Rollouts, mix: float | None, asked: bool) -> None:
        """Tokens of an update; `mix`: the teacher's share in sampling, None where solutions were given.

        `asked`: whether the teacher ran over the responses (for GRPO it does in a warm-up alone).
        """
        own = {"prompt": rollouts.prompt_mask.sum().item(), "response": rollouts.mask.sum().item()}
        prompt, response = (int(tokens) for tokens in sum_over_processes(own).values())
        self.cost.steps += 1
        self.cost.prompts += self.settings.questions
        student, teacher = self.sizes
        by = None if mix is None else "student"
        if mix and self.teacher is not None and samples_alone(self.teacher, self.student, mix):
            by = "teacher"
        self.cost.count(prompt, response, student, teacher if asked else None, by)
        if self.method.reads_budget or mix:  # the teacher took part in sampling, alone or beside the student
            self.cost.count_along(prompt + response, teacher or 0)
