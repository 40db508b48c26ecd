"""What the suite uses of the package vllm, without a model."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

OTHER_STOP = 5
CONTEXT = 20  # tokens, unless another room is asked for


class Engine:
    """A `vllm.LLM` and its engine. A reply is the prompt reversed, ended where its length is odd; the last asked ends
    first, while others are under way."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.llm_engine = self
        self.model_config = SimpleNamespace(max_model_len=settings["max_model_len"] or CONTEXT)
        self.asked: list[SimpleNamespace] = []
        self.waiting: list[tuple[str, list[int]]] = []

    def add_request(self, request_id: str, prompt: dict[str, list[int]], sampling: SimpleNamespace) -> None:
        """Take a prompt in."""
        self.asked.append(sampling)
        self.waiting.append((request_id, prompt["prompt_token_ids"]))

    def has_unfinished_requests(self) -> bool:
        """Whether a prompt is without its whole reply."""
        return bool(self.waiting)

    def step(self) -> list[SimpleNamespace]:
        """The whole reply of the last prompt, and the first token of each before it."""
        ends = len(self.waiting) - 1
        outputs = []
        for place, (request, ids) in enumerate(self.waiting):
            row = self.reply(ids) if place == ends else self.reply(ids)[:1]
            done = SimpleNamespace(token_ids=tuple(row))
            outputs.append(SimpleNamespace(request_id=request, finished=place == ends, outputs=[done]))
        self.waiting.pop()
        return outputs

    @staticmethod
    def reply(ids: list[int]) -> list[int]:
        """Token ids of a reply."""
        return [*ids[::-1], OTHER_STOP] if len(ids) % 2 else ids[::-1]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, importable while the test lasts."""
    module = ModuleType("vllm")
    known = SimpleNamespace(get_supported_archs=lambda: ["LlamaForCausalLM"])
    vars(module).update(LLM=Engine, SamplingParams=SimpleNamespace, ModelRegistry=known)
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module
