"""Which tokens end a response, and how a student learns the teacher's ends."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import AutoConfig, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from training.errors import UserError
from training.models import UNREADABLE


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every id that ends a response: the tokenizer's EOS and those the model declares."""
    return _together(model.generation_config, tokenizer)


def declared_stops(model: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """`stop_ids` of a model folder or hub name, without its weights. Raises `UserError` where it cannot be read."""
    try:
        declared = GenerationConfig.from_pretrained(model)
    except OSError:  # no such file: transformers too then takes the model's config
        declared = GenerationConfig.from_model_config(read_config(model))
    return _together(declared, tokenizer)


def _together(declared: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ends = declared.eos_token_id if isinstance(declared.eos_token_id, list) else [declared.eos_token_id]
    return sorted({i for i in [*ends, tokenizer.eos_token_id] if i is not None})


def share_stops(student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int]) -> None:
    """Let every token that ends the teacher's responses (`ends`) end the student's too.

    A base model and its instructed relative end in different tokens (Llama 3.2: <|end_of_text|> and <|eot_id|>); a
    student that learns the teacher's must stop there. The policy's folder keeps what was learnt to stop at.
    """
    ours = {*stop_ids(student, tokenizer)}
    if not {*ends} <= ours:
        student.generation_config.eos_token_id = sorted({*ours, *ends})


def read_config(model: str) -> AutoConfig:
    """The config of a folder or hub name. Raises `UserError` where it cannot be read."""
    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=False)
    except UNREADABLE as error:
        raise UserError(f"no config of a model can be read from '{model}'; check the path or name") from error
