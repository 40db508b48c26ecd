"""What a method receives: a batch of rollouts with lazily evaluated probabilities of student and teacher."""

from __future__ import annotations

from functools import cached_property, partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.budget import budgeted
from training.chunks import Asked, Output, per_token, tile_rows, weighted_sum
from training.cost import settled
from training.divergence import Integrand, at_floor, reverse_kl, with_floor
from training.following import positions
from training.models import decoder, head, recomputing, shared_width
from training.policy_gradient import mean_over_tokens
from training.rollout import Rollouts


class Batch:
    """B rollouts of one policy update.

    Public: `rollouts`; `rewards` `(B,)`; `group` `(B,)`, the question of each row; `mask` `(B, T)`; `logp`
    `(B, T)`, log-probability of each sampled token with gradient; `old_logp`, the same when it was sampled;
    `teacher_logp` `(B, T)`; `expectation(f)` `(B, T)`. Values outside the mask are 0.

    The student runs forward once, the teacher at most once and only if it is asked for. Logits exist for one
    tile of tokens at a time (`training/chunks.py`), of `tile` tokens if it is given.
    """

    def __init__(
        self,
        rollouts: Rollouts,
        rewards: Tensor,
        group: Tensor,
        student: PreTrainedModel,
        teacher: PreTrainedModel | None,
        old_logp: Tensor | None = None,
        tile: int | None = None,
    ) -> None:
        self.rollouts, self.rewards, self.group, self.mask = rollouts, rewards, group, rollouts.mask
        self._student, self._teacher, self._old_logp = student, teacher, old_logp
        self._tile = tile
        self._teacher_logp: Tensor | None = None
        self._logp: Tensor | None = None
        self.teacher_seconds, self.asked_teacher = 0.0, False

    @cached_property
    def _width(self) -> int:
        """Shared vocabulary: ids that both models have."""
        return shared_width(*(model for model in (self._student, self._teacher) if model is not None))

    @property
    def _rows(self) -> int | None:
        """Tokens whose logits exist at a time; None: all."""
        return tile_rows(len(self._student_hidden), self._width) if self._tile is None else self._tile

    @cached_property
    def _student_hidden(self) -> Tensor:
        return hidden_states(self._student, self.rollouts)

    @cached_property
    def _teacher_hidden(self) -> Tensor:
        if self._teacher is None:
            raise ValueError("this batch has no teacher: set `needs: {teacher: true}` in the method's method.yaml")
        start, self.asked_teacher = settled(), True
        with torch.no_grad():
            hidden = hidden_states(self._teacher, self.rollouts)
        self.teacher_seconds += settled() - start
        return hidden

    @property
    def logp(self) -> Tensor:
        """Log-probability of each sampled token under the student, `(B, T)`, with gradient."""
        if self._logp is None:
            self._logp = self._per_token(None)[0]
        return self._logp

    @property
    def old_logp(self) -> Tensor:
        """Log-probability of each sampled token when it was sampled, `(B, T)`, without gradient."""
        return self.logp.detach() if self._old_logp is None else self._old_logp

    @property
    def teacher_logp(self) -> Tensor:
        """Log-probability of each sampled token under the (floored) teacher, `(B, T)`, without gradient."""
        if self._teacher_logp is None:
            self.expectation(lambda log_pi, log_mu: torch.zeros_like(log_pi))
        assert self._teacher_logp is not None
        return self._teacher_logp

    def expectation(self, integrand: Integrand, *given: Tensor) -> Tensor:
        """`sum_v f(log pi(v|s_t), log mu(v|s_t))` at each response position, `(B, T)`, with gradient in pi.

        `given` are further values `(B, T)` without gradient that f depends on; at a position it gets them as `(N, 1)`.
        """
        logp, teacher_logp, value = self._per_token(integrand, *given)
        if self._logp is None:  # the same pass serves the sampled tokens
            self._logp = logp
        self._teacher_logp = teacher_logp.detach()
        return value

    def mean_expectation(self, integrand: Integrand) -> Tensor:
        """Mean over rows of the mean over each response's tokens of `expectation(integrand)`, a scalar with gradient.

        The same number and gradient, in two thirds of the products with a large vocabulary, since the weight of each
        token is known beforehand. For losses that need nothing else of the vocabulary.
        """
        if self._rows is None or not torch.is_grad_enabled():
            return self.mean(self.expectation(integrand)).mean()
        weights = (self.mask / (self.mask.sum(1, keepdim=True).clamp(min=1) * self.rollouts.size))[self.mask]
        return weighted_sum(self._asked(integrand), self._pi, weights)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of `(B, T)` values over each response's tokens, `(B,)`."""
        return mean_over_tokens(values, self.mask)

    def _per_token(self, integrand: Integrand | None, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        results = per_token(self._asked(integrand, *given), self._pi)
        logp, teacher_logp, value = map(self._unpack, results)
        return logp, teacher_logp, value

    @property
    def _pi(self) -> Output:
        return self._output(self._student, self._student_hidden)

    def _asked(self, integrand: Integrand | None, *given: Tensor) -> Asked:
        mu = None if integrand is None else self._output(self._teacher, self._teacher_hidden)
        others = (self.rollouts.response[self.mask], *(values.detach()[self.mask][:, None] for values in given))
        return Asked(partial(_values, integrand), mu, others, self._rows)

    def _output(self, model: PreTrainedModel, hidden: Tensor) -> Output:
        """Hidden states with the model's output layer, cut to the shared ids."""
        layer, width = head(model), self._width
        if len(layer.weight) == width:
            return Output(hidden, layer.weight, layer.bias)
        return Output(hidden, layer.weight[:width], None if layer.bias is None else layer.bias[:width])

    def _unpack(self, packed: Tensor) -> Tensor:
        return packed.new_zeros(self.mask.shape).masked_scatter(self.mask, packed)


def _values(
    integrand: Integrand | None, log_pi: Tensor, log_mu: Tensor | None, tokens: Tensor, *given: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of some tokens: log-probability under the student and under the (floored) teacher, and the expectation."""
    logp = log_pi.gather(1, tokens[:, None])[:, 0]
    if integrand is None or log_mu is None:
        return logp, logp.detach(), logp.detach()
    log_mu = with_floor(log_mu).to(log_pi.dtype)
    return logp, log_mu.gather(1, tokens[:, None])[:, 0], integrand(log_pi, log_mu, *given).sum(1)


def hidden_states(model: PreTrainedModel, rollouts: Rollouts) -> Tensor:
    """Hidden states that predict each response token, packed to `(N, H)`, N = number of response tokens."""
    width = rollouts.prompt.shape[1]
    ids = torch.cat([rollouts.prompt, rollouts.response], 1)[:, :-1]
    mask = torch.cat([rollouts.prompt_mask, rollouts.mask.long()], 1)[:, :-1]
    with budgeted(model, rollouts), recomputing(model):
        output = decoder(model)(input_ids=ids, attention_mask=mask, position_ids=positions(mask), use_cache=False)
    return output.last_hidden_state[:, width - 1 :][rollouts.mask]


@torch.no_grad()
def token_kl(student: PreTrainedModel, teacher: PreTrainedModel, rollouts: Rollouts) -> dict[str, Tensor]:
    """`KL(pi || mu)` at each response position, each `(B, T)`: `exact`, and from the sampled token `k1` and `k3`.

    With `r = mu(a)/pi(a)` of the sampled token: `k1 = -log r`, `k3 = r - 1 - log r`. All three have the same
    expectation; the exact one is their Rao-Blackwell version (arXiv 2504.10637). `floored` is 1 where the sampled
    token's teacher probability is the floor's rather than the teacher's: its KL there is a bound, not a measurement.
    """
    zeros = torch.zeros(rollouts.size, device=rollouts.response.device)
    batch = Batch(rollouts, zeros, zeros.long(), student, teacher)
    exact = batch.expectation(reverse_kl)
    log_ratio = torch.where(rollouts.mask, batch.teacher_logp - batch.logp, 0.0)
    floored = torch.where(rollouts.mask, at_floor(batch.teacher_logp, batch._width), False)
    return {"exact": exact, "k1": -log_ratio, "k3": log_ratio.exp() - 1 - log_ratio, "floored": floored}
