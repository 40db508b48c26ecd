"""Loading policies and tokenizers from ordinary Hugging Face folders (or names, where a hub is reachable)."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from training.errors import UserError


def default_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """Tokenizer with left padding; pad falls back to EOS where the model defines no pad token."""
    tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(path: str | Path, dtype: str = "float32", device: torch.device | None = None) -> PreTrainedModel:
    """A causal language model in eval mode (dropout off), from safetensors only.

    Raises `UserError` where the folder or name holds no readable model.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=getattr(torch, dtype), trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"no model can be read from '{path}': {reason}; check the path or name") from error
    return model.to(device or default_device()).eval()


def check_same_vocabulary(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> None:
    """Refuse a pair whose token ids mean different things: their divergence would be meaningless."""
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if ours == theirs:
        return
    differing = sorted(set(ours.items()) ^ set(theirs.items()))
    token, number = differing[0]
    raise UserError(
        f"teacher and student have different vocabularies ({len(theirs)} and {len(ours)} tokens; first difference: "
        f"token {token!r} with id {number}); choose a pair that shares one tokenizer"
    )
