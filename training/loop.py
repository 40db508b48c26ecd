"""The one training loop of all methods: sample, reward, evaluate, update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from training.prompt import encode
from training.rollout import Rollouts, generate, pad_prompts
from training.settings import TrainSettings


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
        self.scheduler = get_scheduler(settings.schedule, self.optimizer, settings.warmup, settings.steps)
        self.cost = Cost()
        self.sizes = parameters(student), parameters(teacher) if teacher is not None else None

    def steps(self, first: int = 0) -> Iterator[dict[str, Any]]:
        """Run the updates from `first` on; yields one row of statistics after each."""
        for step in range(first, self.settings.steps):
            yield {"step": step + 1, **self.update(step)}

    def update(self, step: int) -> dict[str, float]:
        """One update: statistics as plain numbers. Raises `TrainingFailed` on a non-finite loss."""
        s = self.settings
        chosen = order(len(self.problems), s.questions, step, self.seed)
        problems = [self.problems[i] for i in chosen for _ in range(s.samples)]
        with self.cost.timed("generate"):
            rollouts, sampled = self._responses(problems, step)
        rewards = task_rewards(rollouts, problems, self.tokenizer)
        group = torch.arange(s.questions, device=rewards.device).repeat_interleave(s.samples)
        with self.cost.timed("student"):
            statistics = self._optimise(rollouts, rewards, group, step)
        self._count(rollouts, sampled)
        length = rollouts.lengths.float().mean().item()
        reward = {"reward": rewards.mean().item()} if sampled else {}
        return {**reward, "length": length, **statistics}

    def _responses(self, problems: list[Problem], step: int) -> tuple[Rollouts, bool]:
        """Student samples or, for the method's `data_share` of updates, the data set's solutions."""
        prompts = [encode(self.tokenizer, problem["prompt"]) for problem in problems]
        torch.manual_seed(derive_seed(self.seed, "rollout", step))
        if torch.rand(()).item() < self.method.data_share:
            return self._solutions(prompts, problems), False
        s, mix = self.settings, self.method.teacher_mix
        made = generate(self.student, self.tokenizer, prompts, s.max_new_tokens, False, self.teacher, mix, s.cache)
        return made, True

    def _solutions(self, prompts: list[list[int]], problems: list[Problem]) -> Rollouts:
        ids, prompt_mask = pad_prompts(prompts, self.tokenizer.pad_token_id, self.student.device)
        texts = [self.tokenizer(p["solution"], add_special_tokens=False)["input_ids"] for p in problems]
        ended = [[*text[: self.settings.max_new_tokens - 1], self.tokenizer.eos_token_id] for text in texts]
        backwards, mask = pad_prompts([text[::-1] for text in ended], self.tokenizer.pad_token_id, ids.device)
        finished = torch.ones(len(ended), dtype=torch.bool, device=ids.device)
        return Rollouts(ids, prompt_mask, backwards.flip(1), mask.flip(1).bool(), finished)

    def _optimise(self, rollouts: Rollouts, rewards: Tensor, group: Tensor, step: int) -> dict[str, float]:
        totals: dict[str, float] = {}
        self.optimizer.zero_grad()
        for rows, responses in micro_batches(rollouts, self.settings):
            batch = Batch(responses, rewards[rows], group[rows], self.student, self.teacher)
            loss, statistics = self._loss(batch, step)
            if not torch.isfinite(loss):
                raise TrainingFailed(f"the loss is {loss.item()} at step {step + 1}")
            share = len(batch.rewards) / len(rewards)
            (loss * share).backward()
            self.cost.move_to_teacher(batch.teacher_seconds)
            for name, value in {"loss": loss.item(), **statistics}.items():
                totals[name] = totals.get(name, 0.0) + share * value
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise TrainingFailed(f"the gradient norm is {norm.item()} at step {step + 1}")
        self.optimizer.step()
        self.scheduler.step()
        if step >= self.settings.kl_warmup:
            self.method.after_update(totals)
        return {**totals, "grad_norm": norm.item()}

    def _loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        if step >= self.settings.kl_warmup:
            return self.method.loss(batch)
        kl = batch.mean(batch.expectation(reverse_kl)).mean()
        return kl, {"kl": kl.item()}

    def _count(self, rollouts: Rollouts, sampled: bool) -> None:
        prompt, response = int(rollouts.prompt_mask.sum()), int(rollouts.mask.sum())
        self.cost.steps += 1
        self.cost.prompts += self.settings.questions
        self.cost.count(prompt, response, self.sizes[0], self.sizes[1], sampled)
        if self.method.reads_budget:
            self.cost.count_budget(prompt + response, self.sizes[0], self.sizes[1] or 0)
