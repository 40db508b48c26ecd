"""What the models named in the sizes look like, as published (`sources/architectures.yaml`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from training.schema import Strict, parse
from training.yaml_files import read_yaml


class Config(Strict):
    """The part of a config.json that shapes the computation, in transformers' names."""

    model_type: str
    vocab_size: int = Field(description="width of the logits")
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int | None = None
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: dict[str, Any] | None = None
    tie_word_embeddings: bool
    cross_attention_layers: list[int] | None = None

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def parameters(self) -> int:
        """Number of weights; of Mllama those of the text path, its cross-attention included."""
        hidden, kv = self.hidden_size, self.num_key_value_heads * self.head_width
        queries = self.num_attention_heads * self.head_width
        biases = queries + 2 * kv if self.model_type == "qwen2" else 0
        layer = 2 * hidden * (queries + kv) + biases + 3 * hidden * self.intermediate_size + 2 * hidden
        crossing = len(self.cross_attention_layers or ()) * 2 * (self.head_width + 1)  # two norms and two gates each
        rows = self.vocab_size * (1 if self.tie_word_embeddings else 2) + (8 if self.model_type == "mllama" else 0)
        return rows * hidden + self.num_hidden_layers * layer + crossing + hidden


class Architecture(Strict):
    """A published model: tokenizer family, licence, gate, chat template, what ends its responses, config."""

    family: str
    license: str
    gated: bool
    template: bool
    stops: list[str]
    config: Config


@cache
def published() -> dict[str, Architecture]:
    """Every known architecture by its name on the hub."""
    where = Path(__file__).with_name("architectures.yaml")
    entries = read_yaml(where, str(where))
    return {name: parse(Architecture, entry, f"{where}: {name}") for name, entry in entries.items()}
