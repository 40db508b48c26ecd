"""What a run cost: seconds by part, tokens, estimated floating-point operations, peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from transformers import PreTrainedModel

from training.models import decoder


def settled() -> float:
    """The clock in seconds, read when a GPU has finished what it was given; its work is only queued until then."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass
class Cost:
    """Running totals of one training run. Monitoring is left out: it is measurement, not method.

    Not of the peak memory, which is the process's: it holds the monitor's teacher in every run. A teacher's seconds are
    those of its layers; its product with the vocabulary belongs to the divergence, and so to the student's block.

    FLOPs are the usual estimate (Kaplan et al., arXiv 2001.08361): 2 per parameter and token forward, 4 backward;
    generation counts one forward per token. Tokens of a forward pass are prompt and response together.
    """

    wall_s: float = 0.0
    generate_s: float = 0.0
    teacher_s: float = 0.0
    student_s: float = 0.0
    prompts: int = 0
    tokens_generated: int = 0
    student_tokens: int = 0
    teacher_tokens: int = 0
    flops: float = 0.0
    peak_memory_bytes: int = 0
    steps: int = 0

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of a block to `<part>_s` and to the total."""
        start = settled()
        yield
        seconds = settled() - start
        setattr(self, f"{part}_s", getattr(self, f"{part}_s") + seconds)
        self.wall_s += seconds

    def move_to_teacher(self, seconds: float) -> None:
        """Count seconds of the teacher's forward, measured inside a student block, as the teacher's."""
        self.student_s -= seconds
        self.teacher_s += seconds

    def count(
        self, prompt_tokens: int, response_tokens: int, student: int, teacher: int | None, sampled_by: str | None
    ) -> None:
        """Add one update's tokens; `student` and `teacher` are parameter counts, None where no teacher ran over them.

        `sampled_by` is "student", "teacher" (whose sampling `count_along` adds) or None, for given responses.
        """
        tokens = prompt_tokens + response_tokens
        self.student_tokens += tokens
        self.flops += 6.0 * student * tokens
        if sampled_by is not None:
            self.tokens_generated += response_tokens
        if sampled_by == "student":
            self.flops += 2.0 * student * tokens
        if teacher is not None:
            self.teacher_tokens += tokens
            self.flops += 2.0 * teacher * tokens

    def count_along(self, tokens: int, teacher: int) -> None:
        """Add what a teacher of `teacher` parameters costs that takes part in sampling, beside `count`."""
        self.teacher_tokens += tokens
        self.flops += 2.0 * teacher * tokens

    def to_json(self) -> dict[str, float]:
        """The totals, with the peak memory of the process (or of the device, on CUDA) up to now."""
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated()
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak)
        return asdict(self)


def parameters(model: PreTrainedModel) -> int:
    """Number of parameters that take part in matrix products over text: all but the input embedding, tied or not.

    Mllama's layers of cross-attention are left out; text passes them by.
    """
    passed_by = getattr(model.config, "cross_attention_layers", None) or ()
    total = sum(p.numel() for p in model.parameters())
    total -= sum(p.numel() for index in passed_by for p in decoder(model).get_submodule(f"layers.{index}").parameters())
    if model.get_input_embeddings().weight is model.get_output_embeddings().weight:
        return total
    return total - model.get_input_embeddings().weight.numel()
