"""Which layers of SmolLM2 hurt least: taken out one by one, each time the one whose absence costs least.

    python -m sources.layer_search --data results/data/<id> --count 6

Cost is the cross-entropy of training solutions, without healing; that of validation solutions, which chose nothing, is
printed beside it. Source of the idea: arXiv 2403.17887, where a block of neighbouring layers is taken out; here any.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging

from sources.packages import weights
from sources.settings import SmolModel
from sources.sft import Example, as_rollouts, batches, examples
from sources.smollm2 import load
from training.data import read_problems
from training.errors import UserError, cli
from training.following import positions
from training.models import decoder, head
from training.rollout import Rollouts

LONGEST = SmolModel().max_tokens


@torch.no_grad()
def forward(model: PreTrainedModel, rolled: Rollouts, states: Tensor | None = None) -> tuple[float, tuple[Tensor, ...]]:
    """Summed cross-entropy of the solutions in nats, and each layer's input `(B, L, H)`.

    Starts from the input `states` of the first of the model's layers, or from the tokens.
    """
    ids = torch.cat([rolled.prompt, rolled.response], 1)
    mask = torch.cat([rolled.prompt_mask, rolled.mask.long()], 1)
    start: dict[str, Any] = {"input_ids": ids} if states is None else {"inputs_embeds": states}
    output = decoder(model)(
        **start, attention_mask=mask, position_ids=positions(mask), use_cache=False, output_hidden_states=True
    )
    predicting = output.last_hidden_state[:, rolled.prompt.shape[1] - 1 : -1][rolled.mask]
    logp = head(model)(predicting).log_softmax(-1).gather(1, rolled.response[rolled.mask][:, None])
    return -logp.sum().item(), output.hidden_states


def cross_entropy(model: PreTrainedModel, pieces: list[Rollouts]) -> float:
    """Mean cross-entropy of a token of the solutions, in nats."""
    return sum(forward(model, piece)[0] for piece in pieces) / sum(int(piece.mask.sum()) for piece in pieces)


def search(model: PreTrainedModel, pieces: list[Rollouts], count: int) -> Iterator[tuple[int, float]]:
    """Take `count` layers out in place; yields the number (in the whole model) of each and what is then paid, in nats.

    A candidate's pass begins at its place: what comes before it is the same for all.
    """
    stack: Any = decoder(model)
    left, tokens = list(enumerate(stack.layers)), sum(int(piece.mask.sum()) for piece in pieces)
    for _ in range(count):
        paid = [0.0] * len(left)
        for piece in pieces:
            stack.layers = nn.ModuleList(layer for _, layer in left)
            inputs = forward(model, piece)[1]
            for place in range(len(left)):
                stack.layers = nn.ModuleList(layer for _, layer in left[place + 1 :])
                paid[place] += forward(model, piece, inputs[place])[0] / tokens
        best = min(range(len(left)), key=lambda place: paid[place])
        number, _ = left.pop(best)
        stack.layers = nn.ModuleList(layer for _, layer in left)
        yield number, paid[best]


def main(argv: list[str] | None = None) -> None:
    """Command line; prints a line for each layer taken out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.jsonl and validation.jsonl")
    parser.add_argument("--count", type=int, default=6, help="layers to take out")
    parser.add_argument("--solutions", type=int, default=20, help="solutions of each kind")
    given = parser.parse_args(argv)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model, tokenizer = load(weights())
    if not 1 <= given.count < model.config.num_hidden_layers:
        raise UserError(
            f"--count is {given.count}, but the model has {model.config.num_hidden_layers} layers; lower it"
        )

    def pieces(name: str) -> list[Rollouts]:
        known: list[Example] = examples(tokenizer, read_problems(given.data / f"{name}.jsonl"), LONGEST)
        return [as_rollouts(chosen, model.device) for chosen in batches(known[: given.solutions], 4)]

    chosen_on, held_out = pieces("train"), pieces("validation")
    print(
        f"whole: {cross_entropy(model, chosen_on):.3f} nats a token, held out {cross_entropy(model, held_out):.3f}",
        flush=True,
    )
    for number, paid in search(model, chosen_on, given.count):
        print(f"without {number} too: {paid:.3f}, held out {cross_entropy(model, held_out):.3f}", flush=True)


if __name__ == "__main__":
    cli(main)
