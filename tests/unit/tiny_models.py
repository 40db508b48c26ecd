"""Untrained models of the world's vocabulary and a few problems, made in milliseconds."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from world.tokenizer import build
from world.write import main as write_world

WORLD = '{"seed": 0, "train": 8, "validation": 8, "test": 8}'


def tiny_policy(folder: Path, seed: int, width: int = 16) -> Path:
    """A random Llama with the world's tokenizer, saved as an ordinary model folder."""
    tokenizer = build()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=256, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_world(folder: Path) -> Path:
    """Data files of eight problems each."""
    write_world(["--params", WORLD, "--out", str(folder)])
    return folder
