"""A policy answered by vLLM, behind the same lm-eval model as transformers: the same distribution and stop tokens.

lm-eval's own vLLM model keeps text only and cuts long prompts silently, so vLLM is asked directly, in token ids.
vLLM lives in an environment of its own (`environment-vllm.yml`); nothing here is imported unless a size asks for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lm_eval.api.instance import Instance
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerBase

from evaluation.policy_lm import RecordingLM, Sample, decoding
from training.data import derive_seed
from training.errors import UserError
from training.model_folder import BUDGET, check_model
from training.models import UNREADABLE, default_device, load_tokenizer
from training.prompt import encode
from training.rollout import stop_ids

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
            f"evaluate.engine is 'vllm', but vllm cannot be imported here ({error}); run with --use-conda, or set "
            "VLLM_PYTHON to the python of an environment made from environment-vllm.yml"
        ) from error
    return vllm


def unserved(policy: str) -> str | None:
    """Why vLLM cannot answer for a policy (a folder or hub name), None where it can.

    Raises `UserError` where vllm is not installed or the policy's config cannot be read.
    """
    served = load_vllm().ModelRegistry.get_supported_archs()
    if (Path(policy) / BUDGET).is_file():
        return "it reads its budget at every token, which vLLM cannot tell it"
    architectures = _config(policy).architectures or []
    return None if set(architectures) & set(served) else f"vLLM has no model {' or '.join(architectures)}"


class VllmLM(RecordingLM):
    """A policy at temperature 1 over the whole vocabulary, or greedy, as the task's `do_sample` asks."""

    def __init__(self, policy: str, batch: int = 256, seed: int = 0, dtype: str = "float32") -> None:
        """`policy`: folder or hub name. Raises `UserError` where vLLM cannot load it."""
        super().__init__()
        check_model(policy)
        self.vllm, self.seed, self.tokenizer = load_vllm(), seed, load_tokenizer(policy)
        self.stops = declared_stops(policy, self.tokenizer)
        try:
            self.engine = self.vllm.LLM(
                model=policy, dtype=dtype, max_num_seqs=batch, seed=0, trust_remote_code=False,
                skip_tokenizer_init=True, generation_config="vllm",  # prompts, stops and defaults are ours
                enable_prefix_caching=False,  # a test set must not depend on what was answered before it
                enforce_eager=default_device().type == "cpu",
            )  # fmt: skip
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"vLLM cannot load '{policy}': {reason}; set evaluate.engine to transformers") from error

    def answer(self, requests: list[Instance]) -> list[Sample]:
        """Responses of one task; each has a seed of its own, from (seed, task, place in the task).

        Raises `UserError` where a prompt and its response exceed the model's context.
        """
        task = str(requests[0].task_name)
        greedy, longest = decoding(requests[0])
        ids = {text: encode(self.tokenizer, text) for text in dict.fromkeys(r.args[0] for r in requests)}
        self._check_room(max(map(len, ids.values())) + longest, task)
        sampling = [self.sampling(task, place, greedy, longest) for place in range(len(requests))]
        prompts = [{"prompt_token_ids": ids[request.args[0]]} for request in requests]
        answered = self.engine.generate(prompts, sampling, use_tqdm=False)
        tokens = [list(answer.outputs[0].token_ids) for answer in answered]
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [Sample(task, text, row, row[-1] in self.stops) for text, row in zip(texts, tokens, strict=True)]

    def sampling(self, task: str, place: int, greedy: bool, longest: int) -> Any:
        """vLLM's settings of one response. Without a tokenizer vLLM knows no EOS but those given here."""
        return self.vllm.SamplingParams(
            temperature=0.0 if greedy else 1.0, top_p=1.0, top_k=0, min_p=0.0, max_tokens=longest,
            stop_token_ids=self.stops, detokenize=False,
            seed=None if greedy else derive_seed(self.seed, "evaluation", task, place),
        )  # fmt: skip

    def _check_room(self, needed: int, task: str) -> None:
        room = self.engine.llm_engine.model_config.max_model_len
        if needed > room:
            raise UserError(
                f"task '{task}' needs {needed} tokens for its longest prompt and response, but the policy has a "
                f"context of {room}; lower evaluate.max_new_tokens"
            )


def declared_stops(policy: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """`training.rollout.stop_ids` of a model folder or hub name whose weights vLLM loads."""
    try:
        declared = GenerationConfig.from_pretrained(policy)
    except OSError:  # no such file: transformers too then takes the model's config
        declared = GenerationConfig.from_model_config(_config(policy))
    return stop_ids(SimpleNamespace(generation_config=declared), tokenizer)


def _config(policy: str) -> Any:
    try:
        return AutoConfig.from_pretrained(policy, trust_remote_code=False)
    except UNREADABLE as error:
        raise UserError(f"no config of a model can be read from '{policy}'; check the path or name") from error
