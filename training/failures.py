"""The boundary around a method's code: what it raises is a result of the run, not the end of the study."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from training.cost import Cost
from training.errors import OUT_OF_MEMORY, STORAGE, TrainingFailed, UserError, of_device

MEASURING = ("monitor.py", "measure")


class Watched:
    """A block in which any error becomes `TrainingFailed`, with the step, the cause and the place in the method.

    `sys.exit` too: a job that it ended would leave no result, and with code 0 would even count as done.

    Left as they are: `TrainingFailed`, a `UserError`, and trouble with the disk or the device, which says nothing about
    the method and ends the job, so that a re-run takes it up again.
    """

    def __init__(self, method: Path, cost: Cost) -> None:
        """`method`: its folder; `cost` counts the updates done."""
        self.method, self.cost = method, cost

    def __enter__(self) -> Watched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception | SystemExit) or isinstance(error, TrainingFailed | UserError):
            return
        if isinstance(error, OSError) and error.errno in STORAGE:
            return
        said, frames = str(error), traceback.extract_tb(trace)
        passed = {(Path(frame.filename).name, frame.name) for frame in frames}
        step = self.cost.steps + (MEASURING not in passed)  # measured is the policy of the last update
        cause = (said.strip() or "no message").splitlines()[0]
        if of_device(said):
            return
        if isinstance(error, MemoryError) or any(words in said for words in OUT_OF_MEMORY):
            raise TrainingFailed(f"out of memory at step {step} ({cause}); {_less_memory(passed)}") from error
        raise TrainingFailed(f"{type(error).__name__} at step {step}: {cause} ({self._place(frames)})") from error

    def _place(self, frames: traceback.StackSummary) -> str:
        """File and line: the innermost in the method's folder or, where there is none, the innermost of all."""
        own = [f for f in frames if Path(f.filename).resolve().is_relative_to(self.method.resolve())]
        last = (own or frames)[-1]
        return f"{'/'.join(Path(last.filename).parts[-2:])}, line {last.lineno}"


def _less_memory(passed: set[tuple[str, str]]) -> str:
    """What to change, by file and function of the frames passed: sampling has all rows at once, whatever the
    micro-batches are."""
    if MEASURING in passed:
        return "it was measuring validation prompts: set train.monitor_prompts lower"
    if "rollout.py" in {file for file, _ in passed}:
        return "it was sampling: set train.questions, samples or max_new_tokens lower, or processes higher"
    return "set train.micro_tokens (or micro_questions) lower: smaller micro-batches make the same update"
