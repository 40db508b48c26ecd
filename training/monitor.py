"""Measurements during training on fixed validation prompts: the same for every method, outside its cost."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.answers import is_correct
from training.batch import token_kl
from training.constraint import response_costs
from training.data import Problem, derive_seed
from training.prompt import encode
from training.rollout import Rollouts, generate


def task_rewards(rollouts: Rollouts, problems: list[Problem], tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Task reward R of each response, `(B,)`: 1 if its final answer is right, else 0."""
    texts = rollouts.texts(tokenizer)
    right = [is_correct(text, problem["answer"]) for text, problem in zip(texts, problems, strict=True)]
    return torch.tensor(right, device=rollouts.response.device, dtype=torch.float32)


class Monitor:
    """Reward, exact KL (by reading) and length of one sampled response per validation prompt."""

    def __init__(
        self, teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problems: list[Problem], max_new_tokens: int
    ) -> None:
        self.teacher, self.tokenizer, self.problems = teacher, tokenizer, problems
        self.prompts = [encode(tokenizer, problem["prompt"]) for problem in problems]
        self.max_new_tokens = max_new_tokens

    @torch.no_grad()
    def measure(self, policy: PreTrainedModel, step: int) -> dict[str, Any]:
        """One row for `curves.jsonl`: lists with an entry per response. The random state is left untouched."""
        with torch.random.fork_rng([policy.device] if policy.device.type == "cuda" else []):
            torch.manual_seed(derive_seed("monitor"))
            rollouts = generate(policy, self.tokenizer, self.prompts, self.max_new_tokens, teacher=self.teacher)
        kl = token_kl(policy, self.teacher, rollouts)["exact"]
        costs = response_costs(kl, rollouts.mask)
        rounded = {f"kl_{name}": [round(v, 6) for v in cost.tolist()] for name, cost in costs.items()}
        reward = task_rewards(rollouts, self.problems, self.tokenizer)
        return {"step": step, "reward": reward.tolist(), "length": rollouts.lengths.tolist(), **rounded}
