"""A judge behind an OpenAI-compatible endpoint: vLLM, llama.cpp, a hosted service.

The key comes from the environment and goes into one header; it is never printed or kept. A request that times out,
meets a server error or brings garbage is repeated, with growing pauses or those that the server asks for; when the
repeats are used up the job ends with one sentence, and what was answered until then is kept by the caller.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import requests
import tenacity
from requests.auth import AuthBase

from evaluation.judge.settings import EndpointJudge
from training.errors import UserError

KEY = "JUDGE_API_KEY"
PASSING = frozenset({408, 409, 425, 429})  # and everything from 500 on: worth another attempt
LONGEST_PAUSE_S = 60.0
SHOWN = 160  # characters of a refusal that are shown


class _Unanswered(Exception):
    """An attempt without a usable answer; another one may succeed, after `pause` seconds where the server says so."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class _Bearer(AuthBase):
    """The key as a header; given as `auth`, no .netrc file can replace it."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Called by requests just before sending."""
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request


class Endpoint:
    """Replies of a server, several requests at a time and no more per minute than allowed."""

    def __init__(self, settings: EndpointJudge) -> None:
        self.settings = settings
        self.key = os.environ.get(settings.key_env or KEY, "")
        if settings.key_env and not self.key:
            raise UserError(
                f"the environment variable '{settings.key_env}' with the key for {settings.url} is not set; export it"
            )
        self._stopped = threading.Event()
        self._turn, self._next = threading.Lock(), 0.0

    def identity(self) -> dict[str, Any]:
        """The settings that a reply depends on."""
        return self.settings.identity()

    def replies(self, prompts: dict[str, str], keep: Callable[[str, str], None]) -> Iterator[tuple[str, str]]:
        """(key, reply) as they come. After the first failure nothing new is asked, what is under way still counts.

        The thread that got a reply keeps it before it asks again: a killed job loses at most what is in flight.
        """
        failure: BaseException | None = None
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            waiting = {pool.submit(self._kept, key, prompt, keep): key for key, prompt in prompts.items()}
            try:
                for done in as_completed(waiting):
                    error = done.exception()
                    if error is not None:
                        failure = failure or error
                        self._stopped.set()  # a reply that cannot be kept too: nothing more is paid for
                    elif (reply := done.result()) is not None:
                        yield waiting[done], reply
            finally:
                self._stopped.set()
        if failure is not None:
            raise failure

    def _kept(self, key: str, prompt: str, keep: Callable[[str, str], None]) -> str | None:
        reply = self._ask(prompt)
        if reply is not None:
            keep(key, reply)
        return reply

    def _ask(self, prompt: str) -> str | None:
        """The reply to one prompt, None once the job is stopping; `UserError` when the attempts are used up."""
        if self._stopped.is_set():
            return None
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Unanswered),
            stop=tenacity.stop_after_attempt(self.settings.retries + 1) | tenacity.stop_when_event_set(self._stopped),
            wait=_pause,
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )
        try:
            return attempts(self._once, prompt)
        except _Unanswered as error:
            raise self._failed(f"{error} in {self.settings.retries + 1} attempts") from None

    def _failed(self, why: str) -> UserError:
        """The job's last words; from now on nothing new is asked."""
        self._stopped.set()
        return UserError(
            f"judge '{self.settings.model}' at {self.settings.url}: {why}; the verdicts so far are kept, so make it "
            "answer and run again"
        )

    def _wait_for_turn(self) -> None:
        """Spread requests evenly over the minute."""
        if self.settings.requests_per_minute is None:
            return
        with self._turn:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + 60.0 / self.settings.requests_per_minute
        self._stopped.wait(mine - now)

    def _once(self, prompt: str) -> str | None:
        """One attempt; None where the job began to stop while this waited for its turn, or for another attempt."""
        self._wait_for_turn()
        if self._stopped.is_set():
            return None
        body: dict[str, Any] = {
            "model": self.settings.model, "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self.settings.max_new_tokens, "temperature": 0,
        }  # fmt: skip
        try:
            answer = requests.post(
                f"{self.settings.url}/chat/completions", json=body, timeout=self.settings.timeout_s,
                auth=_Bearer(self.key) if self.key else None, allow_redirects=False,
            )  # fmt: skip
        except requests.Timeout:
            raise _Unanswered(f"no answer within {self.settings.timeout_s:g} s") from None
        except requests.RequestException as error:
            raise _Unanswered(f"no connection ({type(error).__name__})") from None
        if answer.status_code in PASSING or answer.status_code >= 500:
            raise _Unanswered(f"status {answer.status_code}", _asked_pause(answer))
        if answer.status_code != 200:
            raise self._failed(f"refused with status {answer.status_code}{self._reason(answer)}")
        return _content(answer)

    def _reason(self, answer: requests.Response) -> str:
        """The server's own words, except where it was the key that it refused (it might repeat it)."""
        words = " ".join(answer.text[:SHOWN].split())
        secret = answer.status_code in {401, 403} or (self.key and self.key in answer.text)
        return "" if secret or not words else f" ({words})"


def _asked_pause(answer: requests.Response) -> float | None:
    """Seconds of a Retry-After header; None where there is none or it names a date."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else None


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds until the next attempt: what the server asks for, else 1, 2, 4, ... with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause if isinstance(error, _Unanswered) else None
    grown = tenacity.wait_exponential(max=LONGEST_PAUSE_S)(state) + tenacity.wait_random(0, 1)(state)
    return min(grown if asked is None else asked, LONGEST_PAUSE_S)


def _content(answer: requests.Response) -> str:
    """The text of a completion; one that was cut off before it said anything is an empty text."""
    try:
        content = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise _Unanswered("an answer that is no chat completion") from None
    if content is not None and not isinstance(content, str):
        raise _Unanswered("an answer whose content is no text")
    return content or ""
