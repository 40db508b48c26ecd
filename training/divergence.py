"""Expectations over the vocabulary, and the divergences that are such expectations.

One definition each. `pi` is the student policy, `mu` the teacher, both as log-probabilities over the same
vocabulary. Every divergence is `sum_v f(log pi_v, log mu_v)`, exact over the vocabulary and in float32 or
better. Inputs are log-probabilities `(N, V)`; -inf marks an impossible token; results are `(N, V)` integrands
whose sum over `v` is the divergence.

The paper speaks of a probability floor that keeps the KL and its gradient finite (stated). Here the floor is
part of the teacher: `mu' = (1 - FLOOR) mu + FLOOR / V`, a proper distribution, so a KL to it is still a KL.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

FLOOR = 1e-8
LOG_ZERO = -1e30  # finite in place of log 0: its exp is 0, 0 times it is 0, and no gradient passes the clamp

Integrand = Callable[..., Tensor]  # f(log_pi, log_mu), and further values (N, 1) where it depends on the position


def log_policy(logits: Tensor, width: int | None = None) -> Tensor:
    """Log-probabilities `(N, V)` in float32 (float64 stays) from logits; cut to the first `width` ids if given.

    Models of one family may pad their output to different widths (151,936 and 152,064 for Qwen2.5): both are
    cut to the shared ids and renormalised.
    """
    kept = logits if width is None else logits[..., :width]
    kept = kept if kept.dtype == torch.float64 else kept.float()
    return kept.log_softmax(-1)


def with_floor(log_mu: Tensor) -> Tensor:
    """The teacher `(N, V)` mixed with the uniform distribution: `log((1 - FLOOR) mu + FLOOR / V)`, always finite."""
    uniform = math.log(FLOOR) - math.log(log_mu.shape[-1])
    return torch.logaddexp(log_mu + math.log1p(-FLOOR), log_mu.new_full((), uniform))


def at_floor(log_mu: Tensor, width: int) -> Tensor:
    """Where the floor is at least half of the floored teacher's probability: `mu' <= 2 FLOOR / V`, V = `width`.

    In the shape of `log_mu`: `(N, V)`, or `(B, T)` of the sampled tokens alone.
    """
    return log_mu <= math.log(2 * FLOOR) - math.log(width)


def _relative(log_p: Tensor, log_q: Tensor) -> Tensor:
    """`p (log p - log q)`, 0 where p is 0, in value and in gradient. NaN stays NaN."""
    possible = log_p.clamp(min=LOG_ZERO)
    return possible.exp() * (possible - log_q.masked_fill(log_p == -torch.inf, 0.0))


def reverse_kl(log_pi: Tensor, log_mu: Tensor) -> Tensor:
    """Integrand `(N, V)` of `KL(pi || mu)` in nats, the paper's divergence (arXiv 2509.22921)."""
    return _relative(log_pi, log_mu)


def forward_kl(log_pi: Tensor, log_mu: Tensor) -> Tensor:
    """Integrand `(N, V)` of `KL(mu || pi)` in nats. Infinite where the policy excludes what the teacher allows."""
    return _relative(log_mu, log_pi)


def generalised_jsd(beta: float) -> Integrand:
    """Integrand of `beta KL(mu || m) + (1 - beta) KL(pi || m)`, `m = beta mu + (1 - beta) pi`.

    Agarwal et al., arXiv 2306.13649, eq. (1). The limits 0 and 1 are taken as forward and reverse KL, as there.
    """
    if beta == 0.0:
        return forward_kl
    if beta == 1.0:
        return reverse_kl

    def integrand(log_pi: Tensor, log_mu: Tensor) -> Tensor:
        mixture = torch.logaddexp(log_mu + math.log(beta), log_pi + math.log1p(-beta))
        return beta * _relative(log_mu, mixture) + (1 - beta) * _relative(log_pi, mixture)

    return integrand
