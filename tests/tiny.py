"""Tiny models and rollouts with random but fixed content, for tests."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.batch import Batch
from training.rollout import Rollouts

PAD, EOS = 0, 1


def llama(seed: int, vocab: int = 11, width: int = 16, scale: float = 0.3, dropout: float = 0.0) -> LlamaForCausalLM:
    """A Llama with weights large enough that its distributions are far from uniform."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
        attention_dropout=dropout, pad_token_id=PAD, bos_token_id=EOS, eos_token_id=EOS, initializer_range=scale,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def rollouts(prompt_lengths: list[int], lengths: list[int], vocab: int = 11, seed: int = 0) -> Rollouts:
    """Random prompts and responses of these lengths; a response ends with EOS (length 0 has none)."""
    draw = torch.Generator().manual_seed(seed)
    width, longest, rows = max(prompt_lengths), max(*lengths, 1), len(lengths)
    prompt = torch.randint(2, vocab, (rows, width), generator=draw)
    response = torch.randint(2, vocab, (rows, longest), generator=draw)
    prompt_mask = (torch.arange(width) >= width - torch.tensor(prompt_lengths)[:, None]).long()
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    response = torch.where(torch.arange(longest) == torch.tensor(lengths)[:, None] - 1, EOS, response)
    return Rollouts(prompt * prompt_mask, prompt_mask, torch.where(mask, response, PAD), mask, mask.any(1))


def batch(seed: int = 0, tile: int | None = None, student: LlamaForCausalLM | None = None, questions: int = 2) -> Batch:
    """Eight rows (four per question) of uneven length with mixed rewards."""
    rolled = rollouts([3, 3, 3, 3, 5, 5, 5, 5], [4, 1, 6, 2, 3, 5, 6, 1], seed=seed)
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    group = torch.arange(questions).repeat_interleave(8 // questions)
    student = student or llama(1)
    return Batch(rolled, rewards, group, student, llama(2).requires_grad_(False), tile=tile)


def full_log_probs(model: LlamaForCausalLM, rolled: Rollouts) -> torch.Tensor:
    """Reference: log-probabilities `(B, T, V)` in float64 at the response positions, all logits at once."""
    ids = torch.cat([rolled.prompt, rolled.response], 1)
    mask = torch.cat([rolled.prompt_mask, rolled.mask.long()], 1)
    at = torch.tensor([[max(sum(row[: i + 1]) - 1, 0) for i in range(len(row))] for row in mask.tolist()])
    logits = model(input_ids=ids, attention_mask=mask, position_ids=at.to(ids.device)).logits
    width = rolled.prompt.shape[1]
    return logits[:, width - 1 : -1].double().log_softmax(-1)


def gradients(model: LlamaForCausalLM, loss: torch.Tensor) -> torch.Tensor:
    """The flattened gradient of a loss in the model's parameters; 0 where a parameter takes no part."""
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    filled = (torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True))
    return torch.cat([gradient.flatten() for gradient in filled])
