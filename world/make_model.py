"""Make a model of the world: a small Llama trained on solutions of fresh problems.

    python -m world.make_model --params '{"width": 64}' --data results/data/world --out results/models/teacher

Loss is the cross-entropy of the response tokens. Problems whose numbers occur in a file of the data folder
are left out, so that no prompt of the study was seen before. One thread, one seed: the same bits each time.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from training.command import read_command
from training.data import read_problems
from training.errors import UserError, cli
from training.supervised import fit
from world import tokenizer
from world.grammar import EVERYONE, Chain, sample_problem
from world.settings import WorldModel
from world.styles import solve_noisily

POOL = 32  # batches drawn, sorted by length and shuffled at a time, so that padding is little
WARM_UP = 50  # steps of rising learning rate; a cosine to zero follows
CURVE_POINTS = 50

Example = tuple[list[int], int]
Update = tuple[Tensor, Tensor]


def known_chains(data: Path) -> tuple[set[Chain], tuple[int, int], tuple[int, int]]:
    """Chains of all files of a data folder, and the ranges of steps of its usual and its longer problems."""
    chains: set[Chain] = set()
    lengths: dict[str, list[int]] = {}
    for path in sorted(data.glob("*.jsonl")):
        problems = read_problems(path)
        if any(problem.get("chain") is None for problem in problems):
            raise UserError(f"{path} holds problems without a 'chain'; write them with `python -m world.write`")
        found = [Chain.from_json(problem["chain"]) for problem in problems]
        chains.update(found)
        lengths[path.stem] = [len(chain.ops) for chain in found]
    missing = {"train", "longer"} - lengths.keys()
    if missing:
        raise UserError(f"'{data}' has no {min(missing)}.jsonl; write it with `python -m world.write`")
    usual, longer = lengths["train"], lengths["longer"]
    return chains, (min(usual), max(usual)), (min(longer), max(longer))


def examples(recipe: WorldModel, data: Path) -> Iterator[Example]:
    """Endless training examples: ids of prompt, solution and EOS, with the number of prompt ids."""
    rng, ids = Random(recipe.seed), tokenizer.vocabulary()
    excluded, usual, longer = known_chains(data)
    styles, shares = list(recipe.styles), list(recipe.styles.values())
    while True:
        problem = sample_problem(rng, longer if rng.random() < recipe.longer else usual, EVERYONE)
        if problem.chain in excluded:
            continue
        style = rng.choices(styles, shares)[0]
        solution = solve_noisily(rng, problem.chain, style, recipe.noise.get(style, 0.0))
        prompt = problem.prompt.split()
        yield [ids[word] for word in [*prompt, *solution.split(), tokenizer.EOS]], len(prompt)


def batches(recipe: WorldModel, data: Path) -> Iterator[Update]:
    """Endless batches `(ids, is_target)`, both `(batch, L)`, right-padded: causal attention needs no mask."""
    source, rng = examples(recipe, data), Random(recipe.seed + 1)
    while True:
        pool = sorted((next(source) for _ in range(POOL * recipe.batch)), key=lambda example: len(example[0]))
        cuts = [pool[i : i + recipe.batch] for i in range(0, len(pool), recipe.batch)]
        rng.shuffle(cuts)
        for rows in cuts:
            width = len(rows[-1][0])
            ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in rows])
            column = torch.arange(width)
            begin, end = (torch.tensor(v)[:, None] for v in ([p for _, p in rows], [len(r) for r, _ in rows]))
            yield ids, (column >= begin) & (column < end)


def untrained(recipe: WorldModel) -> LlamaForCausalLM:
    """The model of a recipe with random weights."""
    torch.manual_seed(recipe.seed)
    vocabulary = tokenizer.vocabulary()
    eos = vocabulary[tokenizer.EOS]
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=recipe.width,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=tokenizer.LONGEST,
        initializer_range=0.5 / math.sqrt(recipe.width),  # the library's 0.02 learns far slower at this width
        pad_token_id=vocabulary[tokenizer.PAD],
        bos_token_id=eos,
        eos_token_id=eos,
    )
    return LlamaForCausalLM(config)


def loss_of(model: LlamaForCausalLM, ids: Tensor, is_target: Tensor) -> Tensor:
    """Mean cross-entropy of the target tokens; logits exist for their positions only."""
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    predicts = is_target[:, 1:]
    return cross_entropy(model.lm_head(hidden[predicts]), ids[:, 1:][predicts])


def learning_rate(recipe: WorldModel, step: int) -> float:
    """Warm-up, then a cosine to zero."""
    done = step / max(recipe.steps, 1)
    return recipe.lr * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))


def pretrain(model: LlamaForCausalLM, recipe: WorldModel, data: Path, name: str) -> list[float]:
    """Train in place by the recipe (not at all if it is random) and return the loss of every step."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, partial(learning_rate, recipe))
    losses = (loss_of(model, ids, is_target) for ids, is_target in batches(recipe, data))
    return fit(model, losses, optimiser, schedule, 0 if recipe.random else recipe.steps, name)


def summary(recipe: WorldModel, losses: list[float], seconds: float) -> dict[str, Any]:
    """What was made, at what cost: the loss curve as means over equal stretches of steps."""
    stretch = max(1, math.ceil(len(losses) / CURVE_POINTS))
    parts = [losses[i : i + stretch] for i in range(0, len(losses), stretch)]
    curve = [{"step": i * stretch + len(part), "loss": sum(part) / len(part)} for i, part in enumerate(parts)]
    return {"recipe": recipe.model_dump(), "steps": len(losses), "wall_s": seconds, "curve": curve}


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON --data FOLDER --out FOLDER`."""
    recipe, arguments = read_command("Make a model of the world.", WorldModel, argv, data=True)
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    start = time.perf_counter()
    model = untrained(recipe)
    losses = pretrain(model, recipe, arguments.data, arguments.out.name)
    model.save_pretrained(arguments.out)
    tokenizer.build().save_pretrained(arguments.out)
    made = summary(recipe, losses, time.perf_counter() - start)
    (arguments.out / "made.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli(main)
