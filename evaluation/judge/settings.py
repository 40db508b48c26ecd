"""What a judge is: a local model or an endpoint, and how many questions it sees. Loads nothing heavy."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from training.schema import Strict


class LocalJudge(Strict):
    """A model that this process runs: a folder, a hub name, or `<pair>.student` / `<pair>.teacher` of the size."""

    backend: Literal["transformers", "vllm"] = Field("transformers", description="what runs it: docs/judging.md")
    model: str = Field(min_length=1)
    max_new_tokens: int = Field(512, ge=1, description="longest reply")
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    batch: int = Field(8, ge=1, description="replies generated at a time")

    def identity(self) -> dict[str, Any]:
        """What a reply depends on, the weights apart."""
        return {"local": self.model_dump(include={"backend", "model", "max_new_tokens", "dtype"})}


class EndpointJudge(Strict):
    """A server that speaks OpenAI's chat completions; `url` is its base, as in `http://localhost:8000/v1`."""

    url: str
    model: str = Field(min_length=1)
    max_new_tokens: int = Field(2048, ge=1, description="longest reply")
    concurrency: int = Field(8, ge=1, le=256, description="requests under way at a time")
    requests_per_minute: float | None = Field(None, gt=0, allow_inf_nan=False)
    timeout_s: float = Field(300, gt=0, allow_inf_nan=False, description="seconds without a byte from the server")
    retries: int = Field(5, ge=0, le=100, description="of a request that failed")
    key_env: str | None = Field(None, min_length=1, description="variable with the key; JUDGE_API_KEY where set")

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        """Settings are written into results, so the address must not carry a password or a key."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("it must be an http or https address such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("it must carry no user, password or query; the key comes from the environment")
        return url.rstrip("/")

    def identity(self) -> dict[str, Any]:
        """What a reply depends on."""
        return {"endpoint": self.model_dump(include={"url", "model", "max_new_tokens"})}


class Judge(Strict):
    """One judge and the number of questions of each test set that it sees (one response each, both orders)."""

    local: LocalJudge | None = None
    endpoint: EndpointJudge | None = None
    prompts: int = Field(50, ge=2, description="questions of each test set")

    @model_validator(mode="after")
    def _one(self) -> Judge:
        if (self.local is None) == (self.endpoint is None):
            raise ValueError("exactly one of 'local' and 'endpoint' must be given")
        return self

    @property
    def model(self) -> str:
        """The model's name, as captions give it."""
        chosen = self.local or self.endpoint
        assert chosen is not None
        return chosen.model


class JudgedRun(Strict):
    """A run whose responses are judged, and the row of the study that it belongs to."""

    run: str
    pair: str
    kind: Literal["method", "reference"]
    method: str
    setting: str
    label: str
    seed: int
    evaluation: str = ""

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Runs with the same row differ in their seed only."""
        return self.kind, self.method, self.setting, self.label


class Job(Judge):
    """Everything one judging job needs: the judge under its name, and the runs of the size."""

    name: str
    runs: list[JudgedRun]
