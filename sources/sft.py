"""Supervised fine-tuning of a pretrained model on gold solutions: how a teacher for a task is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, get_scheduler

from sources.settings import SmolModel
from training.batch import Batch
from training.data import Problem, derive_seed, order
from training.errors import UserError
from training.prompt import encode
from training.rollout import Rollouts, given
from training.supervised import fit

WARM_UP = 10  # updates of rising learning rate; a cosine to zero follows

Example = tuple[list[int], list[int]]


def examples(tokenizer: PreTrainedTokenizerBase, problems: list[Problem], longest: int) -> list[Example]:
    """Token ids of prompt and solution (EOS included); solutions above `longest` tokens are left out."""
    found = []
    for problem in problems:
        solution = tokenizer(problem["solution"], add_special_tokens=False)["input_ids"]
        if len(solution) < longest:
            found.append((encode(tokenizer, problem["prompt"]), [*solution, tokenizer.eos_token_id]))
    if not found:
        raise UserError(f"no solution of the training problems fits {longest} tokens; raise max_tokens")
    return found


def batches(known: list[Example], size: int) -> list[list[Example]]:
    """Batches of examples of similar length, so that little is padded."""
    ordered = sorted(known, key=lambda example: len(example[0]) + len(example[1]))
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def as_rollouts(chosen: list[Example], device: torch.device) -> Rollouts:
    """Solutions in the shape of rollouts."""
    prompts, solutions = zip(*chosen, strict=True)
    return given(prompts, solutions, device)


def loss_of(model: PreTrainedModel, chosen: list[Example]) -> Tensor:
    """Mean cross-entropy of the solutions' tokens, in nats."""
    rolled = as_rollouts(chosen, model.device)
    unused = torch.zeros(rolled.size, device=model.device)
    batch = Batch(rolled, unused, unused.long(), model, None)
    return -batch.logp.sum() / rolled.mask.sum()


def fine_tune(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problems: list[Problem], recipe: SmolModel
) -> list[float]:
    """Train in place for `recipe.sft_steps` updates; returns the loss of each.

    Weights and optimiser stay in float32; products of the layers run in `recipe.dtype`, those with a vocabulary
    that is read in tiles in float32. Raises `TrainingFailed` on a loss that is not finite.
    """
    known = batches(examples(tokenizer, problems, recipe.max_tokens), recipe.batch)
    fused = model.device.type in {"cpu", "cuda"}
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.0, fused=fused)
    schedule = get_scheduler("cosine", optimiser, min(WARM_UP, recipe.sft_steps), recipe.sft_steps)
    computed, seed = getattr(torch, recipe.dtype), derive_seed(recipe.seed, "sft")

    def losses() -> Iterator[Tensor]:
        for step in range(recipe.sft_steps):
            (chosen,) = order(len(known), 1, step, seed)
            with torch.autocast(model.device.type, computed) if computed != torch.float32 else nullcontext():
                loss = loss_of(model, known[chosen])
            yield loss

    return fit(model, losses(), optimiser, schedule, recipe.sft_steps, "fine-tuning SmolLM2")
