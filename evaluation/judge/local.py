"""A judge that runs in this process: an ordinary causal language model, decoded greedily by transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evaluation.judge.settings import LocalJudge
from evaluation.quiet import quieten
from training.errors import UserError
from training.files import digest

READ = {".json", ".safetensors", ".model", ".jinja"}  # suffixes of what transformers loads


class Local:
    """Replies of a model folder or hub name, batches of similar length."""

    def __init__(self, settings: LocalJudge) -> None:
        self.settings = settings

    def identity(self) -> dict[str, Any]:
        """The settings that a reply depends on, with the hashes of a folder's files (a hub name is just that)."""
        folder = Path(self.settings.model)
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        files = {file.name: digest(file) for file in found if file.suffix in READ and file.name != "made.json"}
        return {**self.settings.identity(), "files": files}

    def replies(self, prompts: dict[str, str], keep: Callable[[str, str], None]) -> Iterator[tuple[str, str]]:
        """(key, reply) of every prompt, shortest first. Raises `UserError` where one exceeds the model's context."""
        quieten()
        from training.models import load_policy, load_tokenizer
        from training.prompt import encode
        from training.rollout import generate

        model = load_policy(self.settings.model, self.settings.dtype)
        tokenizer = load_tokenizer(self.settings.model)
        ids = {key: encode(tokenizer, text) for key, text in prompts.items()}
        order = sorted(ids, key=lambda key: len(ids[key]))
        longest = len(ids[order[-1]]) + self.settings.max_new_tokens
        room = getattr(model.config, "max_position_embeddings", longest)
        if longest > room:
            raise UserError(
                f"judge '{self.settings.model}' has a context of {room} tokens, but the longest prompt with its reply "
                f"takes {longest}; lower the judge's max_new_tokens or choose another model"
            )
        for start in range(0, len(order), self.settings.batch):
            chosen = order[start : start + self.settings.batch]
            new = self.settings.max_new_tokens
            rolled = generate(model, tokenizer, [ids[key] for key in chosen], new, greedy=True)
            for key, reply in zip(chosen, rolled.texts(tokenizer), strict=True):
                keep(key, reply)
                yield key, reply
