"""Sampling responses from a policy: temperature 1, the whole vocabulary, nothing truncated or reweighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.budget import metered
from training.following import Following
from training.models import head, shared_width
from training.stops import stop_ids


@dataclass(frozen=True)
class Rollouts:
    """B sampled responses, padded to common lengths P (prompt, left) and T (response, right).

    `prompt` and `prompt_mask` are `(B, P)`, `response` and `mask` `(B, T)`; `mask` is true on response tokens up
    to and including the final EOS, also where pad = EOS. `finished` `(B,)` is false where T cut a response off.
    `left` `(B, T)` is what a policy that reads its budget had left before each token; None where it is not known.
    """

    prompt: Tensor
    prompt_mask: Tensor
    response: Tensor
    mask: Tensor
    finished: Tensor
    left: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of rows B."""
        return self.response.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Response lengths `(B,)` in tokens, EOS included."""
        return self.mask.sum(1)

    def rows(self, index: Tensor | slice) -> Rollouts:
        """The same for a selection of rows."""
        return Rollouts(
            self.prompt[index], self.prompt_mask[index], self.response[index], self.mask[index], self.finished[index],
            None if self.left is None else self.left[index],
        )  # fmt: skip

    def trimmed(self) -> Rollouts:
        """The same without columns that are padding in every row."""
        prompt, response = int(self.prompt_mask.sum(1).max()), int(self.lengths.max())
        left = self.prompt.shape[1] - prompt
        return Rollouts(
            self.prompt[:, left:], self.prompt_mask[:, left:], self.response[:, :response], self.mask[:, :response],
            self.finished, None if self.left is None else self.left[:, :response],
        )  # fmt: skip

    def texts(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        """Responses as text, without special tokens."""
        ids = [row[keep].tolist() for row, keep in zip(self.response, self.mask, strict=True)]
        return tokenizer.batch_decode(ids, skip_special_tokens=True)


def pad_prompts(prompts: Sequence[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Left-padded prompt ids and their mask, both `(B, P)`."""
    width = max(len(p) for p in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], dtype=torch.long, device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], dtype=torch.long, device=device)
    return ids, mask


def given(prompts: Sequence[list[int]], responses: Sequence[list[int]], device: torch.device) -> Rollouts:
    """Responses that are known, as token ids, in the shape of sampled ones; all count as `finished`.

    The id under the padding is 0, whatever the tokenizer's: masks keep it out of every value.
    """
    lengths = torch.tensor([len(response) for response in responses], device=device)
    width = int(lengths.max())
    filled = [response + [0] * (width - len(response)) for response in responses]
    mask = torch.arange(width, device=device) < lengths[:, None]
    ended = torch.ones(len(responses), dtype=torch.bool, device=device)
    return Rollouts(*pad_prompts(prompts, 0, device), torch.tensor(filled, device=device), mask, ended)


def response_mask(response: Tensor, stops: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mask `(B, T)` up to and including the first stop token, and whether there was one `(B,)`."""
    is_stop = torch.isin(response, torch.tensor(list(stops), device=response.device))
    before = is_stop.cumsum(1) - is_stop.long()
    return before == 0, is_stop.any(1)


class TeacherMixture(LogitsProcessor):
    """Sampling distribution `alpha mu + (1 - alpha) pi` (MiniLLM's teacher-mixed sampling, arXiv 2306.08543)."""

    def __init__(self, teacher: PreTrainedModel, prompt_mask: Tensor, alpha: float, width: int) -> None:
        self.teacher, self.alpha, self.width = Following(teacher, prompt_mask), alpha, width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Log-probabilities `(B, V)` of the mixture; the prompt's left padding stays masked."""
        logits = self.teacher(input_ids)
        pi = scores[:, : self.width].float().softmax(-1)
        mixture = self.alpha * logits[:, : self.width].float().softmax(-1) + (1 - self.alpha) * pi
        log_mixture = torch.full_like(scores, -torch.inf, dtype=torch.float32)
        log_mixture[:, : self.width] = mixture.log()
        return log_mixture


def samples_alone(teacher: PreTrainedModel, student: PreTrainedModel, mix: float) -> bool:
    """Whether the teacher samples without the student: at `mix` 1, unless its logits are wider than the student's."""
    return mix == 1.0 and len(head(teacher).weight) <= len(head(student).weight)


def _sampled(
    model: PreTrainedModel, teacher: PreTrainedModel | None, mix: float, prompt_mask: Tensor
) -> tuple[PreTrainedModel, list[LogitsProcessor]]:
    """The model whose logits are sampled, and what the teacher's share of `mix` makes of them."""
    if teacher is None or mix == 0.0:
        return model, []
    if samples_alone(teacher, model, mix):
        return teacher, []
    return model, [TeacherMixture(teacher, prompt_mask, mix, shared_width(model, teacher))]


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    greedy: bool = False,
    teacher: PreTrainedModel | None = None,
    teacher_mix: float = 0.0,
    cache: str = "dynamic",
) -> Rollouts:
    """One response per prompt (token ids), from torch's global random state.

    With a `teacher` only ids that it has too are drawn, and with `teacher_mix` = alpha > 0 from
    `alpha mu + (1 - alpha) pi`, at 1 without the student.
    A `cache` that is "static" is reserved at its full length, which lets transformers compile decoding on a GPU; the
    tokens are the same.
    """
    stops = stop_ids(model, tokenizer)
    ids, mask = pad_prompts(prompts, tokenizer.pad_token_id, model.device)
    beyond = range(shared_width(model, teacher or model), len(head(model).weight))
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=not greedy, temperature=1.0, top_k=0, top_p=1.0,
        repetition_penalty=1.0, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=list(beyond) or None,
        cache_implementation="static" if cache == "static" else None,
    )  # fmt: skip
    sampled, processors = _sampled(model, teacher, teacher_mix, mask)
    with torch.inference_mode(), metered(sampled, mask) as meters:  # a tenth faster than no_grad alone
        full = sampled.generate(
            ids, attention_mask=mask, generation_config=settings,
            logits_processor=LogitsProcessorList([*meters, *processors]),
        )  # fmt: skip
    response = full[:, ids.shape[1] :].clone()  # autograd may keep the copy
    left = meters[0].before(response.shape[1]).clone() if meters else None
    kept, finished = response_mask(response, stops)
    return Rollouts(ids, mask, response, kept, finished, left)
