"""(b) `cmdp` beside `GRPOTrainer` with a divergence from the teacher in its loss, as a user of TRL would write it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.page import Row
from benchmarks.pairs import shapes
from benchmarks.timing import Bench
from benchmarks.trl import SEQUENCES, beside_trl, grpo
from training.run import Run

TARGET = 0.7


def grpo_with_divergence(run: Run) -> Any:
    """`GRPOTrainer` with the exact reverse KL to the teacher in its loss.

    Its own forward pass gives log-probabilities of the sampled tokens alone, so the divergence costs a second one.
    """
    from trl import GRPOTrainer

    class WithDivergence(GRPOTrainer):
        def _compute_loss(self, model: PreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
            loss = super()._compute_loss(model, inputs)
            mask = inputs["completion_mask"]
            log_pi = self._log_probabilities(model, inputs)
            with torch.no_grad():
                log_mu = self._log_probabilities(run.teacher, inputs)
            kl = (log_pi.exp() * (log_pi - log_mu)).sum(-1)
            return loss + ((kl * mask).sum(1) / mask.sum(1)).mean()

        def _log_probabilities(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
            ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
            mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
            keep = inputs["completion_ids"].shape[1] + 1
            logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=keep, use_cache=False).logits
            return logits[:, :-1].float().log_softmax(-1)

    return grpo(run, WithDivergence)


def measure(bench: Bench) -> list[Row]:
    """Each size of model and batch."""
    return [
        beside_trl("cmdp", grpo_with_divergence, shape, bench, sequences, TARGET)
        for shape in shapes(bench)
        for sequences in SEQUENCES[shape.title]
    ]
