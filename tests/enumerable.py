"""Problems so small that every response can be enumerated: a tabular policy, and exact expectations over it.

A state is (question, prefix); the policy holds one row of logits per state. It is an ordinary transformers model
otherwise: `generate`, `get_decoder` and `get_output_embeddings` work, so batch, methods and loop run on it as they
are. Float64 throughout, unless trained.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

from training.batch import Batch
from training.divergence import with_floor
from training.folders import find_folders
from training.method import Method
from training.rollout import Rollouts

Response = tuple[int, ...]
FOLDERS = find_folders()


@dataclass(frozen=True)
class Space:
    """`tokens` ids, responses of `horizon` tokens, or shorter where `eos` is one of the ids."""

    tokens: int
    horizon: int
    questions: int = 1
    eos: int | None = None

    @property
    def states(self) -> int:
        """Prefixes of fewer than `horizon` tokens."""
        return sum(self.tokens**t for t in range(self.horizon))

    def responses(self) -> list[Response]:
        """Every response, in lexicographic order."""
        whole = itertools.product(range(self.tokens), repeat=self.horizon)
        return list(dict.fromkeys(self._ended(row) for row in whole))

    def _ended(self, row: Response) -> Response:
        return row[: row.index(self.eos) + 1] if self.eos in row else row

    def rollouts(self, responses: list[Response], question: int = 0) -> Rollouts:
        """These responses to one question as the loop would hold them (pad = 0 = EOS)."""
        lengths = torch.tensor([len(row) for row in responses])
        ids = torch.tensor([[*row, *[0] * (self.horizon - len(row))] for row in responses])
        prompt = torch.full((len(responses), 1), question)
        mask = torch.arange(self.horizon) < lengths[:, None]
        return Rollouts(prompt, torch.ones_like(prompt), ids, mask, torch.ones(len(responses), dtype=torch.bool))


EQUAL = Space(tokens=2, horizon=3)
UNEVEN = Space(tokens=3, horizon=3, eos=0)  # responses of one to three tokens


class _Config(PretrainedConfig):
    model_type = "tabular"


class _Rows(nn.Module):
    """The decoder: the row of logits of each prefix stands for its hidden state."""

    def __init__(self, space: Space, table: Tensor) -> None:
        super().__init__()
        self.space, self.table = space, nn.Parameter(table)

    def forward(self, input_ids: Tensor, **_: object) -> BaseModelOutput:
        """Rows `(B, L, V)`; column 0 of `input_ids` `(B, L)` is the question, the others are response tokens."""
        number, rows = torch.zeros_like(input_ids[:, 0]), []
        for depth in range(input_ids.shape[1]):
            number = number * self.space.tokens + input_ids[:, depth] if depth else number
            first = sum(self.space.tokens**t for t in range(depth))
            rows.append((number + first).clamp(max=self.space.states - 1))  # beyond the horizon nothing is read
        return BaseModelOutput(self.table[input_ids[:, :1], torch.stack(rows, 1)])


class Tabular(PreTrainedModel, GenerationMixin):
    """A softmax policy with a free row of logits per state, table `(Q, S, V)`."""

    config_class = _Config

    def __init__(self, space: Space, table: Tensor) -> None:
        super().__init__(_Config(vocab_size=space.tokens, num_hidden_layers=1, use_cache=False, eos_token_id=space.eos))
        self.rows = _Rows(space, table)
        self.identity = nn.Linear(space.tokens, space.tokens, bias=False, dtype=table.dtype)
        self.identity.weight = nn.Parameter(torch.eye(space.tokens, dtype=table.dtype), requires_grad=False)
        self.space = space

    @property
    def table(self) -> nn.Parameter:
        """The logits `(Q, S, V)`."""
        return self.rows.table

    def get_decoder(self) -> nn.Module:
        return self.rows

    def get_output_embeddings(self) -> nn.Linear:
        return self.identity

    get_input_embeddings = get_output_embeddings

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: object
    ) -> dict[str, Tensor]:
        """The whole prefix each time: there is no cache, and no padding to mask."""
        return {"input_ids": input_ids}

    def forward(self, input_ids: Tensor, **_: object) -> CausalLMOutput:
        return CausalLMOutput(logits=self.identity(self.rows(input_ids).last_hidden_state))


def policy(space: Space, seed: int, scale: float = 1.0) -> Tabular:
    """A policy without structure; the same on every machine (no random generator)."""
    size = (space.questions, space.states, space.tokens)
    table = scale * torch.sin(seed + (1.7 + 0.3 * seed) * torch.arange(math.prod(size), dtype=torch.float64))
    return Tabular(space, table.view(size))


def pair(space: Space) -> tuple[Tabular, Tabular]:
    """Student and teacher."""
    return policy(space, 1), policy(space, 2, 0.7)


def make(name: str, threshold: float | None = None, **settings: Any) -> Method:
    """A method of the repository with these settings."""
    folder = FOLDERS[name]
    return folder.load()(folder.grid(settings, "test")[0], threshold)


@dataclass(frozen=True)
class Exact:
    """All responses to a question, with what expectations need: exact, with gradient in the student's table."""

    log_pi: Tensor  # (N, T, V) at every position
    log_mu: Tensor  # (N, T, V), the teacher with its floor
    chosen: Tensor  # (N, T) log-probability of the response's own tokens, 0 beyond its end
    chosen_mu: Tensor  # (N, T), the same under the teacher
    kl: Tensor  # (N, T) reverse KL at each state on the way, 0 beyond the end
    mask: Tensor  # (N, T)

    @property
    def probability(self) -> Tensor:
        """Probability of each response under the student `(N,)`."""
        return self.chosen.sum(1).exp()

    def mean(self, values: Tensor) -> Tensor:
        """Mean over each response's tokens `(N,)`."""
        return values.sum(1) / self.mask.sum(1)


def exact(student: Tabular, teacher: Tabular, question: int = 0) -> Exact:
    """Straight from the tables: no code of the batch takes part."""
    space = student.space
    rolled = space.rollouts(space.responses(), question)
    ids = torch.cat([rolled.prompt, rolled.response], 1)[:, :-1]
    log_pi = student.rows(ids).last_hidden_state.log_softmax(-1)
    log_mu = with_floor(teacher.rows(ids).last_hidden_state.log_softmax(-1)).detach()
    pick = rolled.response[..., None]
    own, theirs = (torch.where(rolled.mask, p.gather(2, pick)[..., 0], 0.0) for p in (log_pi, log_mu))
    kl = torch.where(rolled.mask, (log_pi.exp() * (log_pi - log_mu)).sum(-1), 0.0)
    return Exact(log_pi, log_mu, own, theirs, kl, rolled.mask)


def gradient(value: Tensor, student: Tabular) -> Tensor:
    """Gradient in the table, flattened; `value` keeps its graph."""
    return torch.autograd.grad(value, student.table, retain_graph=True)[0].flatten()


def groups(probability: Tensor, size: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every multiset of `size` draws from N responses, as indices, with its probability."""
    for members in itertools.combinations_with_replacement(range(len(probability)), size):
        repeats = math.prod(math.factorial(c) for c in Counter(members).values())
        yield members, math.factorial(size) / repeats * probability[list(members)].prod().item()


def expected_gradient(
    method: Method,
    student: Tabular,
    teacher: Tabular,
    reward: Callable[[Response], float],
    size: int = 2,
    question: int = 0,
    drawn: Tensor | None = None,
) -> Tensor:
    """Expectation of the gradient of `method.loss`, exactly: over every group of `size` responses.

    `drawn` `(N,)` are the probabilities with which responses are sampled, the student's own by default.
    """
    space = student.space
    everything = space.responses()
    drawn = exact(student, teacher, question).probability.detach() if drawn is None else drawn
    total = torch.zeros((), dtype=torch.float64)
    for members, weight in groups(drawn, size):
        rows = [everything[i] for i in members]
        rewards = torch.tensor([reward(row) for row in rows], dtype=torch.float64)
        batch = Batch(space.rollouts(rows, question), rewards, torch.zeros(size).long(), student, teacher)
        total = total + weight * method.loss(batch)[0]
    return gradient(total, student)
