"""One line of progress on standard error: of what, which step of how many, time left, where it stands."""

from __future__ import annotations

import sys
import time
from typing import Any

EVERY_S = 5.0


class Progress:
    """Prints at most one line every `EVERY_S` seconds, and the last."""

    def __init__(self, name: str, steps: int, first: int = 0, step: str = "step") -> None:
        """`first`: steps done before this process started; `step`: what a step is called."""
        self.name, self.steps, self.first, self.step = name, steps, first, step
        self.start = time.monotonic()
        self.printed = -EVERY_S

    def show(self, step: int, **values: Any) -> None:
        """Report step `step` (from 1) and current values; None is left out."""
        elapsed = time.monotonic() - self.start
        if elapsed - self.printed < EVERY_S and step < self.steps:
            return
        self.printed = elapsed
        left = elapsed / (step - self.first) * (self.steps - step)
        shown = "  ".join(f"{k} {v:.3f}" for k, v in values.items() if v is not None)
        line = f"[{self.name}] {self.step} {step}/{self.steps}  {left // 60:.0f}:{left % 60:02.0f} left  {shown}"
        print(line, file=sys.stderr, flush=True)
