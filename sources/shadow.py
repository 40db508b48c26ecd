"""A shadow of a published model: its architecture and output width, random weights, a few MB.

    python -m sources.shadow --params '{"of": "Qwen/Qwen2.5-Math-1.5B"}' --data results/data/any --out results/models/s

What breaks at scale breaks on a shadow too: logits of another width than the teacher's, tied embeddings, grouped heads,
scaled rotary positions, a text path inside a model for images, a chat template on one side only, unlike end tokens.
What it says of a problem is noise. No hub is needed: the tokenizer is trained here, on the prompts' own words.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MllamaConfig,
    MllamaForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.utils import logging

from sources.architectures import Architecture, Config, published
from sources.catalogue import BOXED, NUMBER
from sources.settings import ShadowModel
from training.command import read_command
from training.errors import cli

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CONTROLS = {
    "Qwen2.5": CHATML,
    "SmolLM2": CHATML,
    "Llama 3.2": ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "DeepSeek-R1": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
}
CHATML_TURNS = ("<|im_start|>{role}\n", "<|im_end|>\n", "<|im_start|>assistant\n")
TEMPLATES = {
    "Qwen2.5": CHATML_TURNS,
    "SmolLM2": CHATML_TURNS,
    "Llama 3.2": (
        "<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "DeepSeek-R1": ("<｜User｜>", "", "<｜Assistant｜>"),
}  # fmt: skip
BEGINS = {"Llama 3.2": "<|begin_of_text|>", "DeepSeek-R1": "<｜begin▁of▁sentence｜>"}
MERGES = 100  # tokens beyond the bytes


def cut(config: Config) -> dict[str, Any]:
    """The config in transformers' names, narrow and shallow; what decides the order of operations stays.

    One key-value head with the original's number of query heads upon it. A scaled rotary embedding gets two
    frequencies, so that the scaling changes one of them. Of Mllama's layers the middle one is a cross-attention.
    """
    queries = config.num_attention_heads // config.num_key_value_heads
    head, crossing = (4 if config.rope_scaling else 2), config.cross_attention_layers is not None
    rope = {"rope_type": "default", **(config.rope_scaling or {}), "rope_theta": config.rope_theta}
    kept = config.model_dump(include={"vocab_size", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"})
    return {
        **kept, "rope_parameters": rope, "num_attention_heads": queries, "num_key_value_heads": 1,
        "hidden_size": queries * head, "intermediate_size": 2 * queries * head,
        "num_hidden_layers": 3 if crossing else 2, "initializer_range": 0.5,
        **({"cross_attention_layers": [1]} if crossing else {"head_dim": head}),
    }  # fmt: skip


def build_tokenizer(family: str, template: bool, stop: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE with the family's control tokens; the same ids for every member of the family."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + MERGES, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([NUMBER, BOXED], trainer)
    tokenizer.add_special_tokens(list(CONTROLS[family]))
    first = BEGINS.get(family)
    if first:
        pair = (first, tokenizer.token_to_id(first))
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A", special_tokens=[pair])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=first, eos_token=stop)
    if template:
        before, after, last = (json.dumps(part) for part in TEMPLATES[family])
        made.chat_template = (
            ("{{ bos_token }}" if first else "")
            + f"{{% for m in messages %}}{{{{ {before} | replace('{{role}}', m.role) + m.content + {after} }}}}"
            + f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ {last} }}}}{{% endif %}}"
        )
    return made


def build_model(shape: Architecture, stops: list[int], start: int | None, seed: int) -> PreTrainedModel:
    """Random weights in bfloat16; a shadow of Mllama is the whole model, as its folder on the hub is."""
    torch.manual_seed(seed)
    ids = {"bos_token_id": start, "eos_token_id": stops[0], "pad_token_id": stops[-1]}
    values = {**cut(shape.config), **ids}
    if shape.config.model_type == "mllama":
        vision = {
            "hidden_size": 8, "num_hidden_layers": 1, "num_global_layers": 1, "attention_heads": 2,
            "intermediate_size": 8, "vision_output_dim": 16, "image_size": 28, "patch_size": 14, "max_num_tiles": 1,
            "supported_aspect_ratios": [[1, 1]], "intermediate_layers_indices": [0],
        }  # fmt: skip
        made = MllamaConfig(text_config=values, vision_config=vision, image_token_index=shape.config.vocab_size)
        model: PreTrainedModel = MllamaForConditionalGeneration(made)
    elif shape.config.model_type == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**values))
    else:
        model = LlamaForCausalLM(LlamaConfig(**values))
    model.generation_config.eos_token_id = stops
    return model.to(torch.bfloat16)


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON --data FOLDER --out FOLDER`; the data are not read."""
    title = "Make a small model with the architecture of a published one."
    recipe, arguments = read_command(title, ShadowModel, argv, data=True)
    shape = published()[recipe.of]
    logging.disable_progress_bar()
    tokenizer = build_tokenizer(shape.family, shape.template, shape.stops[0])
    stops = [tokenizer.convert_tokens_to_ids(stop) for stop in shape.stops]
    build_model(shape, stops, tokenizer.bos_token_id, recipe.seed).save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)


if __name__ == "__main__":
    cli(main)
