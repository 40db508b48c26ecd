"""Settings of the shared training loop: the same for every method of a study, but for the tuned learning rate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.schema import Strict


class TrainSettings(Strict):
    """Budget, optimiser and monitoring of one run. The paper's values stand beside ours in `config/paper.yaml`."""

    steps: int = Field(0, ge=0, description="policy updates; 0 where 'epochs' says how many")
    epochs: float | None = Field(None, gt=0, description="passes over the training problems, in place of 'steps'")
    questions: int = Field(8, ge=1, description="questions per update")
    samples: int = Field(8, ge=2, description="responses per question, the group of GRPO")
    lr: float = Field(1e-4, gt=0, le=1, description="AdamW learning rate")
    schedule: Literal["constant", "linear", "cosine"] = Field("constant", description="of the learning rate")
    warmup: int = Field(0, ge=0, description="updates over which the learning rate rises")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients beyond this norm are scaled down to it")
    clip: float = Field(
        0.2, gt=0, lt=1, description="clip ε of the probability ratio; with one update per batch it never acts"
    )
    max_new_tokens: int = Field(64, ge=1, description="longest response in tokens")
    kl_warmup: int = Field(0, ge=0, description="first updates of 'steps' on the reverse KL alone, for every method")
    kl_warmup_epochs: float | None = Field(None, gt=0, description="first epochs on the KL alone; needs 'epochs'")
    micro_questions: int | None = Field(None, ge=1, description="questions per micro-batch; all at once if unset")
    micro_tokens: int | None = Field(None, ge=1, description="padded tokens in a micro-batch instead")
    processes: int = Field(1, ge=1, description="processes that share each update's questions, one GPU each")
    monitor_every: int = Field(25, ge=1, description="updates between measurements on validation prompts")
    monitor_prompts: int = Field(64, ge=1, description="validation prompts, one sampled response each")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="of computation; master copies are float32")
    teacher_dtype: Literal["float32", "bfloat16", "int8"] | None = Field(
        None, description="of the teacher's weights; as 'dtype' if unset"
    )
    cache: Literal["dynamic", "static"] = Field("dynamic", description="while sampling; static: compiled on a GPU")
    gradient_checkpointing: bool = Field(False, description="recompute each layer in the backward pass, for memory")

    @property
    def scheduler(self) -> str:
        """The schedule by transformers' name; its `constant` has no warm-up."""
        return "constant_with_warmup" if self.schedule == "constant" and self.warmup else self.schedule

    @model_validator(mode="after")
    def _one_unit(self) -> TrainSettings:
        if (self.steps == 0) == (self.epochs is None):
            raise ValueError("exactly one of 'steps' (1 or more) and 'epochs' must be given")
        if self.kl_warmup_epochs is not None and self.epochs is None:
            raise ValueError("'kl_warmup_epochs' goes with 'epochs'; beside 'steps' give 'kl_warmup'")
        if self.kl_warmup and self.epochs is not None:
            raise ValueError("'kl_warmup' goes with 'steps'; beside 'epochs' give 'kl_warmup_epochs'")
        return self

    @model_validator(mode="after")
    def _warm_up_ends(self) -> TrainSettings:
        """A run that is all warm-up would be the same policy under every method's name."""
        for warm_up, whole in (("kl_warmup", "steps"), ("kl_warmup_epochs", "epochs")):
            first, all_of_it = getattr(self, warm_up), getattr(self, whole)
            if first and first >= all_of_it:
                text = f"'{warm_up}' ({first:g}) leaves nothing of '{whole}' ({all_of_it:g}) to the method"
                raise ValueError(f"{text}; shorten the warm-up or lengthen the run")
        return self

    @model_validator(mode="after")
    def _whole_groups(self) -> TrainSettings:
        if self.micro_questions is not None and self.micro_tokens is not None:
            raise ValueError("only one of 'micro_questions' and 'micro_tokens' can be given")
        if self.questions % self.processes:
            raise ValueError(f"'questions' ({self.questions}) must be a multiple of 'processes' ({self.processes})")
        return self

    def in_updates(self, problems: int) -> TrainSettings:
        """The same with epochs over `problems` training problems counted in updates."""
        if self.epochs is None:
            return self
        per_epoch = problems / self.questions
        steps = max(1, round(self.epochs * per_epoch))
        warm_up = min(round((self.kl_warmup_epochs or 0) * per_epoch), steps - 1)  # rounded, it might leave nothing
        counted = {"steps": steps, "kl_warmup": warm_up, "epochs": None, "kl_warmup_epochs": None}
        return self.model_copy(update=counted)
