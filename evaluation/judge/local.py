"""A judge that runs in this process: an ordinary causal language model, decoded greedily by transformers or vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.judge.settings import LocalJudge
from evaluation.quiet import quieten
from training.errors import UserError
from training.files import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

READ = {".json", ".safetensors", ".model", ".jinja"}  # suffixes of what transformers loads


class Local:
    """Replies of a model folder or hub name, the shortest prompts first."""

    def __init__(self, settings: LocalJudge) -> None:
        self.settings = settings

    def identity(self) -> dict[str, Any]:
        """The settings that a reply depends on, with the hashes of a folder's files (a hub name is just that)."""
        folder = Path(self.settings.model)
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        files = {file.name: digest(file) for file in found if file.suffix in READ and file.name != "made.json"}
        return {**self.settings.identity(), "files": files}

    def replies(self, prompts: dict[str, str], keep: Callable[[str, str], None]) -> Iterator[tuple[str, str]]:
        """(key, reply) of every prompt. Raises `UserError` where one exceeds the model's context."""
        quieten()
        from training.models import load_tokenizer
        from training.prompt import encode

        tokenizer = load_tokenizer(self.settings.model)
        encoded = {key: encode(tokenizer, text) for key, text in prompts.items()}
        ids = dict(sorted(encoded.items(), key=lambda item: len(item[1])))
        answers = self._by_vllm if self.settings.backend == "vllm" else self._by_transformers
        # A template may begin the thinking itself: a reply that is cut then shows nowhere that it was thought.
        last = next(iter(ids.values()), [])[-8:]  # every prompt's, as they are the template's
        opened = "<think>" if tokenizer.decode(last).rstrip().endswith("<think>") else ""
        for key, reply in answers(tokenizer, ids):
            keep(key, opened + reply)
            yield key, opened + reply

    def _by_transformers(
        self, tokenizer: PreTrainedTokenizerBase, ids: dict[str, list[int]]
    ) -> Iterator[tuple[str, str]]:
        from training.models import load_policy
        from training.rollout import generate

        model = load_policy(self.settings.model, self.settings.dtype)
        self._room(ids, model.config)
        keys = list(ids)
        for start in range(0, len(keys), self.settings.batch):
            chosen = keys[start : start + self.settings.batch]
            new = self.settings.max_new_tokens
            rolled = generate(model, tokenizer, [ids[key] for key in chosen], new, greedy=True)
            yield from zip(chosen, rolled.texts(tokenizer), strict=True)

    def _by_vllm(self, tokenizer: PreTrainedTokenizerBase, ids: dict[str, list[int]]) -> Iterator[tuple[str, str]]:
        from evaluation.vllm_lm import Served, unserved
        from training.stops import read_config

        model, remedy = self.settings.model, "set the judge's backend to transformers"
        reason = unserved(model)
        if reason is not None:  # another backend is another judge, so nothing takes its place by itself
            raise UserError(f"vLLM cannot serve the judge '{model}': {reason}; {remedy}")
        # A context of 100,000 tokens would take the memory that the weights of a large judge leave.
        room = self._room(ids, read_config(model))
        served = Served(model, self.settings.batch, self.settings.dtype, remedy, room)
        keys = list(ids)
        for place, row in served.answers(list(ids.values()), self.settings.max_new_tokens, [None] * len(keys)):
            yield keys[place], tokenizer.decode(row, skip_special_tokens=True)

    def _room(self, ids: dict[str, list[int]], config: Any) -> int:
        """Tokens of the longest prompt with its reply. Raises `UserError` where the model has no room for them."""
        longest = max(map(len, ids.values())) + self.settings.max_new_tokens
        room = getattr(config.get_text_config(), "max_position_embeddings", longest)
        if longest > room:
            raise UserError(
                f"judge '{self.settings.model}' has a context of {room} tokens, but the longest prompt with its reply "
                f"takes {longest}; lower the judge's max_new_tokens or choose another model"
            )
        return longest
