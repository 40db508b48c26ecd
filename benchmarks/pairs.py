"""Student, teacher and problems to measure with: random weights, every response at its full length.

Weights do not matter for the cost of a step, lengths do. So no response ends early: one channel of the hidden states
is kept constant, and through it the output weights make the end of a response all but impossible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.timing import Bench
from training.data import Problem
from training.folders import find_folders
from training.following import positions
from training.loop import Trainer
from training.settings import TrainSettings
from world import tokenizer
from world.settings import WorldData
from world.write import data_sets, row

SAMPLES = 8  # responses per question
LR = 1e-6  # nothing drifts while it is measured
UNLIKELY = -100.0  # weight from the constant channel to the logit of the end
THRESHOLD = 0.2


@dataclass(frozen=True)
class Shape:
    """A student and its teacher: Llama's widths and layers; `length` tokens in each response."""

    title: str
    width: int
    layers: int
    intermediate: int
    vocabulary: int
    length: int
    teacher_width: int
    teacher_intermediate: int


MICRO = Shape("micro", 64, 2, 128, 0, 64, 96, 192)  # the study's default student and teacher
LARGE = Shape("13 M", 384, 4, 1024, 8192, 32, 384, 1024)  # 13 million parameters, where arithmetic dominates
TINY = replace(MICRO, title="tiny", width=16, intermediate=32, teacher_width=16, teacher_intermediate=32, length=8)


def shapes(bench: Bench) -> list[Shape]:
    """The sizes of model that are measured."""
    return [TINY] if bench.quick else [MICRO, LARGE]


def llama(shape: Shape, bench: Bench, seed: int, teacher: bool = False) -> LlamaForCausalLM:
    """A random Llama that does not end its responses; a teacher needs no gradient."""
    torch.manual_seed(seed)
    width = shape.teacher_width if teacher else shape.width
    config = LlamaConfig(
        vocab_size=shape.vocabulary or len(tokenizer.vocabulary()), hidden_size=width,
        intermediate_size=shape.teacher_intermediate if teacher else shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False,
        max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        model.lm_head.weight[config.eos_token_id, 0] = UNLIKELY
    model = model.to(bench.device, getattr(torch, bench.dtype)).eval()
    return model.requires_grad_(False) if teacher else model


def log_probabilities(
    model: LlamaForCausalLM, prompt: tuple[Tensor, Tensor], response: tuple[Tensor, Tensor]
) -> Tensor:
    """All of them at the response positions, `(B, T, V)`, the plain way; prompt and response as ids and mask."""
    ids, mask = (torch.cat(both, 1)[:, :-1] for both in zip(prompt, response, strict=True))
    output = model(
        input_ids=ids, attention_mask=mask, position_ids=positions(mask), logits_to_keep=response[0].shape[1],
        use_cache=False,
    )  # fmt: skip
    return output.logits.float().log_softmax(-1)


@cache
def problems(count: int) -> list[Problem]:
    """Training problems of the micro world."""
    made = data_sets(WorldData(train=count, validation=1, test=1))["train"]
    return [row(f"train-{i:04d}", problem) for i, problem in enumerate(made)]


def budget(shape: Shape, bench: Bench, sequences: int, steps: int) -> TrainSettings:
    """Settings of updates on `sequences` responses, eight to a question."""
    return TrainSettings(
        steps=steps, questions=sequences // SAMPLES, samples=SAMPLES, lr=LR, max_new_tokens=shape.length,
        dtype=bench.dtype,
    )  # fmt: skip


def our_trainer(name: str, student: PreTrainedModel, teacher: PreTrainedModel, settings: TrainSettings) -> Trainer:
    """The study's loop with a method at its defaults."""
    folder = find_folders()[name]
    needs = folder.declares.needs
    method = folder.load()(folder.grid({}, name)[0], THRESHOLD if needs.threshold else None)
    needed = teacher if needs.teacher else None
    return Trainer(method, student, needed, tokenizer.build(), problems(64), settings, seed=0)
