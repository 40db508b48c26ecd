"""What TRL's trainers need to run inside a study: its data in its order, its budget, its log and its cost.

Source: TRL 1.16 (https://github.com/huggingface/trl), used as it is. Only a folder that trains with TRL imports this.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.cost import parameters, settled
from training.data import derive_seed, order
from training.errors import TrainingFailed, UserError
from training.prompt import DATE
from training.rollout import response_mask
from training.run import Run
from training.stops import stop_ids

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer

LENGTH = "completions/mean_length"


def arguments(run: Run) -> dict[str, Any]:
    """The study's budget in the words of TRL's configs: full responses, temperature 1, one update per batch."""
    budget = run.train
    if budget.dtype != "float32":  # most small updates would be lost, as training/optimizer.py says
        raise UserError(f"'dtype' is {budget.dtype}, but TRL's trainers step float32 weights alone; set it to float32")
    micro = budget.micro_questions or budget.questions
    if budget.questions % micro:
        raise UserError(f"'micro_questions' is {micro}, but TRL's trainers need a divisor of {budget.questions}")
    constants.HF_HUB_DISABLE_TELEMETRY = True  # TRL reports its use otherwise; the variable was read before
    return {
        "output_dir": str(run.out / "policy"), "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "max_steps": budget.steps, "per_device_train_batch_size": micro * budget.samples,
        "gradient_accumulation_steps": budget.questions // micro, "shuffle_dataset": False,
        "learning_rate": budget.lr, "lr_scheduler_type": budget.scheduler, "warmup_steps": budget.warmup,
        "weight_decay": budget.weight_decay, "max_grad_norm": budget.max_grad_norm,
        "max_completion_length": budget.max_new_tokens, "temperature": 1.0, "top_p": 1.0, "top_k": 0,
        "disable_dropout": True, "bf16": False,
        "gradient_checkpointing": budget.gradient_checkpointing,
        "use_cpu": run.student.device.type == "cpu", "seed": derive_seed(run.seed, "trl") % 2**32,
        "logging_steps": 1, "logging_nan_inf_filter": False,
        "chat_template_kwargs": {"date_string": DATE},  # as `training.prompt.encode`
    }  # fmt: skip


def dataset(run: Run, repeats: int = 1) -> Dataset:
    """Prompts and answers of every update in the order that all methods of the seed meet, each `repeats` times."""
    from datasets import Dataset

    count, budget = len(run.problems), run.train
    chosen = [i for step in range(budget.steps) for i in order(count, budget.questions, step, run.seed)]
    rows = [run.problems[i] for i in chosen for _ in range(repeats)]
    return Dataset.from_list([{"prompt": _prompt(run, row["prompt"]), "answer": row["answer"]} for row in rows])


def _prompt(run: Run, text: str) -> str | list[dict[str, str]]:
    """As `training.prompt.encode`: through the chat template where there is one."""
    return [{"role": "user", "content": text}] if run.tokenizer.chat_template else text


def train(run: Run, trainer: Trainer) -> None:
    """Run a TRL trainer built on `run.student`, with the study's log and cost."""
    recorder = Recorder(run)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(recorder)
    run.student.generate = recorder.generate
    switch_off_dropout(run.student)
    try:
        trainer.train()
    finally:
        del run.student.generate  # the class's own again
        run.student.eval()


def switch_off_dropout(model: nn.Module) -> None:
    """In attention too, where it is a number and no module, which TRL's `disable_dropout` does not reach.

    TRL puts the student into training mode; the suite's own loop never does.
    """
    for part in model.modules():
        rates = [name for name, value in vars(part).items() if "dropout" in name and isinstance(value, float)]
        for name in rates:
            setattr(part, name, 0.0)


class Recorder(TrainerCallback):
    """Reports every update and counts its seconds and tokens. The teacher's seconds stay in the student's."""

    def __init__(self, run: Run) -> None:
        self.run, self.original = run, run.student.generate
        self.sizes = parameters(run.student), parameters(run.teacher) if run.teacher is not None else None
        self.stops = stop_ids(run.student, run.tokenizer)

    def generate(self, *args: Any, **more: Any) -> Tensor:
        """The student's own `generate`, measured."""
        start = settled()
        full = self.original(*args, **more)
        self.generating += settled() - start
        prompt = more["attention_mask"]
        self.rows += len(prompt)
        self.prompt_tokens += int(prompt.sum())
        self.response_tokens += int(response_mask(full[:, prompt.shape[1] :], self.stops)[0].sum())
        return full

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock of an update; what the monitor generated before does not count."""
        self.start, self.generating = settled(), 0.0
        self.rows, self.prompt_tokens, self.response_tokens = 0, 0, 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add the update to the run's cost."""
        cost, seconds = self.run.cost, settled() - self.start
        cost.wall_s += seconds
        cost.generate_s += self.generating
        cost.student_s += seconds - self.generating
        cost.steps += 1
        cost.prompts += self.rows // self.run.train.samples
        cost.count(self.prompt_tokens, self.response_tokens, *self.sizes, sampled_by="student")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        """Report the update, measured with dropout off; a loss or gradient that is not finite ends the run."""
        if "loss" not in logs:  # the summary at the end
            return
        names = {"reward": "reward", LENGTH: "length", "loss": "loss", "grad_norm": "grad_norm"}
        row = {ours: float(logs[theirs]) for theirs, ours in names.items() if theirs in logs}
        for name in ("loss", "grad_norm"):
            if not math.isfinite(row[name]):
                raise TrainingFailed(f"the {name} is {row[name]} at step {state.global_step}")
        self.run.student.eval()
        self.run.report({"step": state.global_step, **row})
        self.run.student.train()
