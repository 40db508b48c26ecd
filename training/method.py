"""The contract of a method: rollouts in, a loss and statistics out."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from training.batch import Batch

Settings = dict[str, Any]


class Method:
    """Base of every `methods/<name>/method.py: Method`. Only `loss` must be written.

    `settings` holds the values of `method.yaml`'s settings for this run; `threshold` is the constraint's d in
    nats, or None where the method does not declare `needs: {threshold: true}`.
    """

    teacher_mix: float = 0.0  # share alpha of the teacher in the sampling distribution
    reads_budget: bool = False  # whether the policy reads what is left of d, by the setting `constraint` (Sauté)
    data_share: float = 0.0  # share of updates on the data set's own solutions in place of rollouts

    def __init__(self, settings: Settings, threshold: float | None = None, clip: float = 0.2) -> None:
        self.settings, self.threshold, self.clip = settings, threshold, clip

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss, the mean over the batch's rows, and statistics for the log.

        It must be a mean over rows, and couple rows of one group only: the loop may split a batch into
        micro-batches of whole groups and weights each by its rows.
        """
        raise TypeError(f"{type(self).__module__} must define loss(batch)")

    def after_update(self, statistics: dict[str, float]) -> None:
        """Called once after each update of the policy that used `loss`, with its statistics over the whole batch.

        The place for state that moves from update to update: `loss` runs once per micro-batch.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a method carries from step to step (a learnt multiplier, say), for the checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that `state_dict` gave."""
