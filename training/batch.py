"""What a method receives: a batch of rollouts with lazily evaluated probabilities of student and teacher."""

from __future__ import annotations

import time
from functools import cached_property, partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.budget import budgeted
from training.chunks import in_chunks
from training.divergence import Integrand, at_floor, log_policy, reverse_kl, with_floor
from training.following import positions
from training.models import decoder, head, recomputing
from training.policy_gradient import mean_over_tokens
from training.rollout import Rollouts

CHUNK_ELEMENTS = 2**24  # logits held at a time (tokens x vocabulary): 64 MiB in float32


class Batch:
    """B rollouts of one policy update.

    Public: `rollouts`; `rewards` `(B,)`; `group` `(B,)`, the question of each row; `mask` `(B, T)`; `logp`
    `(B, T)`, log-probability of each sampled token with gradient; `old_logp`, the same when it was sampled;
    `teacher_logp` `(B, T)`; `expectation(f)` `(B, T)`. Values outside the mask are 0.

    The student runs forward once, the teacher at most once and only if it is asked for. Logits exist for one
    chunk of tokens at a time (`training/chunks.py`).
    """

    def __init__(
        self,
        rollouts: Rollouts,
        rewards: Tensor,
        group: Tensor,
        student: PreTrainedModel,
        teacher: PreTrainedModel | None,
        old_logp: Tensor | None = None,
        chunk_elements: int = CHUNK_ELEMENTS,
    ) -> None:
        self.rollouts, self.rewards, self.group, self.mask = rollouts, rewards, group, rollouts.mask
        self._student, self._teacher, self._old_logp = student, teacher, old_logp
        self._chunk_elements = chunk_elements
        self._teacher_logp: Tensor | None = None
        self._logp: Tensor | None = None
        self.teacher_seconds = 0.0

    @cached_property
    def _width(self) -> int:
        """Shared vocabulary: ids that both models have."""
        widths = [head(m).weight.shape[0] for m in (self._student, self._teacher) if m is not None]
        return min(widths)

    @cached_property
    def _student_hidden(self) -> Tensor:
        return hidden_states(self._student, self.rollouts)

    @cached_property
    def _teacher_hidden(self) -> Tensor:
        if self._teacher is None:
            raise ValueError("this batch has no teacher: set `needs: {teacher: true}` in the method's method.yaml")
        start = time.perf_counter()
        with torch.no_grad():
            hidden = hidden_states(self._teacher, self.rollouts)
        self.teacher_seconds += time.perf_counter() - start
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

    def mean(self, values: Tensor) -> Tensor:
        """Mean of `(B, T)` values over each response's tokens, `(B,)`."""
        return mean_over_tokens(values, self.mask)

    def _per_token(self, integrand: Integrand | None, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        student = self._student_hidden
        teacher = self._teacher_hidden if integrand is not None else student.detach()
        tokens = self.rollouts.response[self.mask]
        others = (teacher, tokens, *(values.detach()[self.mask][:, None] for values in given))
        rows = max(1, self._chunk_elements // self._width)
        results = in_chunks(partial(self._values, integrand), head(self._student), self._width, student, others, rows)
        logp, teacher_logp, value = map(self._unpack, results)
        return logp, teacher_logp, value

    def _values(
        self, integrand: Integrand | None, logits: Tensor, teacher: Tensor, tokens: Tensor, *given: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of some tokens: log-probability under the student and under the teacher, and the expectation."""
        log_pi = log_policy(logits)
        logp = log_pi.gather(1, tokens[:, None])[:, 0]
        if integrand is None or self._teacher is None:
            return logp, logp.detach(), logp.detach()
        with torch.no_grad():
            log_mu = with_floor(log_policy(head(self._teacher)(teacher), self._width)).to(log_pi.dtype)
        return logp, log_mu.gather(1, tokens[:, None])[:, 0], integrand(log_pi, log_mu, *given).sum(1)

    def _unpack(self, packed: Tensor) -> Tensor:
        return packed.new_zeros(self.mask.shape).masked_scatter(self.mask, packed)


def hidden_states(model: PreTrainedModel, rollouts: Rollouts) -> Tensor:
    """Hidden states that predict each response token, packed to `(N, H)`, N = number of response tokens."""
    width = rollouts.prompt.shape[1]
    ids = torch.cat([rollouts.prompt, rollouts.response], 1)[:, :-1]
    mask = torch.cat([rollouts.prompt_mask, rollouts.mask.long()], 1)[:, :-1]
    with budgeted(model, rollouts), recomputing(model):
        output = decoder(model)(input_ids=ids, attention_mask=mask, position_ids=positions(mask), use_cache=False)
    return output.last_hidden_state[:, width - 1 :][rollouts.mask]


@torch.no_grad()
def token_divergence(
    student: PreTrainedModel, teacher: PreTrainedModel, rollouts: Rollouts, integrand: Integrand
) -> Tensor:
    """Exact divergence at each response position, `(B, T)`, without gradient."""
    zeros = torch.zeros(rollouts.size, device=rollouts.response.device)
    return Batch(rollouts, zeros, zeros.long(), student, teacher).expectation(integrand)


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
