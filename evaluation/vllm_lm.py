"""Models answered by vLLM: policies behind the same lm-eval model as with transformers, and local judges.

lm-eval's own vLLM model keeps text only and cuts long prompts silently, so vLLM is asked directly, in token ids.
vLLM lives in an environment of its own (`environment-vllm.yml`); nothing here is imported unless a size asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from evaluation.policy_lm import RecordingLM, Sample, decoding
from training.data import derive_seed
from training.errors import UserError
from training.model_folder import BUDGET, check_model
from training.models import UNREADABLE, default_device, load_tokenizer
from training.prompt import encode
from training.stops import declared_stops, read_config

# One process, so that batches come about in the same way every time; no usage statistics, no log of its own; and on a
# CPU a small cache (GiB) in place of nearly all of the memory.
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}  # fmt: skip


def load_vllm() -> Any:
    """The package vllm. Raises `UserError` where this interpreter cannot import it."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import vllm
    except ImportError as error:
        raise UserError(
            f"'vllm' is asked for, but cannot be imported here ({error}); run with --use-conda, or set VLLM_PYTHON to "
            "the python of an environment made from environment-vllm.yml"
        ) from error
    return vllm


def unserved(model: str) -> str | None:
    """Why vLLM cannot answer for a model (a folder or hub name), None where it can.

    Raises `UserError` where vllm is not installed or the model's config cannot be read.
    """
    served = load_vllm().ModelRegistry.get_supported_archs()
    if (Path(model) / BUDGET).is_file():
        return "it reads its budget at every token, which vLLM cannot tell it"
    architectures = read_config(model).architectures or []
    return None if set(architectures) & set(served) else f"vLLM has no model {' or '.join(architectures)}"


class Served:
    """A model behind vLLM, token ids in and token ids out, ended where transformers ends it."""

    def __init__(
        self, model: str, batch: int, dtype: str, remedy: str, room: int | None = None, ends: Iterable[int] = ()
    ) -> None:
        """`batch`: most responses under way at a time; `room`: tokens of context to reserve, all of them where None.

        `ends`: tokens that end a response beside the model's own.

        Raises `UserError` where vLLM cannot load the folder or hub name; it ends with `remedy`.
        """
        check_model(model)
        self.vllm, self.tokenizer = load_vllm(), load_tokenizer(model)
        self.stops = sorted({*declared_stops(model, self.tokenizer), *ends})
        try:
            self.llm = self.vllm.LLM(
                model=model, dtype=dtype, max_num_seqs=batch, seed=0, trust_remote_code=False, max_model_len=room,
                skip_tokenizer_init=True, generation_config="vllm",  # prompts, stops and defaults are ours
                enable_prefix_caching=False,  # a response must not depend on what was answered before it
                enforce_eager=default_device().type == "cpu",
            )  # fmt: skip
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"vLLM cannot load '{model}': {reason}; {remedy}") from error
        self.room = int(self.llm.llm_engine.model_config.max_model_len)

    def answers(
        self, prompts: Sequence[list[int]], longest: int, seeds: Sequence[int | None]
    ) -> Iterator[tuple[int, list[int]]]:
        """(place, response) of every prompt, in the order in which they end; greedy where the seed is None."""
        engine = self.llm.llm_engine
        for place, (ids, seed) in enumerate(zip(prompts, seeds, strict=True)):
            engine.add_request(str(place), {"prompt_token_ids": ids}, self.sampling(longest, seed))
        while engine.has_unfinished_requests():
            for answer in engine.step():
                if answer.finished:
                    yield int(answer.request_id), list(answer.outputs[0].token_ids)

    def sampling(self, longest: int, seed: int | None) -> Any:
        """vLLM's settings of one response. Without a tokenizer vLLM knows no EOS but those given here."""
        return self.vllm.SamplingParams(
            temperature=0.0 if seed is None else 1.0, top_p=1.0, top_k=0, min_p=0.0, max_tokens=longest,
            stop_token_ids=self.stops, detokenize=False, seed=seed,
        )  # fmt: skip


class VllmLM(RecordingLM):
    """A policy at temperature 1 over the whole vocabulary, or greedy, as the task's `do_sample` asks."""

    def __init__(
        self, policy: str, batch: int = 256, seed: int = 0, dtype: str = "float32", ends: Iterable[int] = ()
    ) -> None:
        """`policy`: folder or hub name; `ends`: further ends. Raises `UserError` where vLLM cannot load it."""
        super().__init__()
        self.seed, self.served = seed, Served(policy, batch, dtype, "set evaluate.engine to transformers", ends=ends)

    def answer(self, requests: list[Instance]) -> list[Sample]:
        """Responses of one task; each has a seed of its own, from (seed, task, place in the task).

        Raises `UserError` where a prompt and its response exceed the model's context.
        """
        task, tokenizer = str(requests[0].task_name), self.served.tokenizer
        greedy, longest = decoding(requests[0])
        ids = {text: encode(tokenizer, text) for text in dict.fromkeys(r.args[0] for r in requests)}
        self._check_room(max(map(len, ids.values())) + longest, task)
        places = range(len(requests))
        seeds = [None if greedy else derive_seed(self.seed, "evaluation", task, place) for place in places]
        answered = dict(self.served.answers([ids[request.args[0]] for request in requests], longest, seeds))
        tokens = [answered[place] for place in places]
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [Sample(task, text, row, row[-1] in self.served.stops) for text, row in zip(texts, tokens, strict=True)]

    def _check_room(self, needed: int, task: str) -> None:
        if needed > self.served.room:
            raise UserError(
                f"task '{task}' needs {needed} tokens for its longest prompt and response, but the policy has a "
                f"context of {self.served.room}; lower evaluate.max_new_tokens"
            )
