"""Runs with responses to judge, and a stand-in for a judge's server, for tests."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROWS = (("reference", "teacher"), ("reference", "student"), ("method", "cmdp"), ("method", "grpo"))
STEPS = {"teacher": 4, "student": 1, "cmdp": 3, "grpo": 2}  # shown in a response, by row


def write_runs(folder: Path, prompts: int = 3, seeds: int = 2, note: str = "") -> list[dict[str, Any]]:
    """Samples of two references and two methods; `note` is appended to GRPO's responses. Returns the runs' entries."""
    entries = []
    for kind, method in ROWS:
        for seed in range(seeds if kind == "method" else 1):
            run = f"p-{method}-{seed}"
            entries.append({
                "run": run, "pair": "p", "kind": kind, "method": method, "setting": "", "label": method.upper(),
                "seed": seed, "evaluation": "eval",
            })  # fmt: skip
            rows = [
                {"test": "same", "decoding": decoding, "prompt_id": f"same-{n}", "sample": sample, "question": f"q{n}?",
                 "prompt": f"q{n}? answer:", "answer": "1", "finished": True, "chain": None,
                 "response": response(method, n, seed, sample) + (note if method == "grpo" else ""),
                 "tokens": [2] * (10 + STEPS[method])}
                for n in range(prompts) for decoding, sample in (("sampled", 0), ("sampled", 1), ("greedy", 0))
            ]  # fmt: skip
            (folder / run / "eval").mkdir(parents=True)
            (folder / run / "eval" / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return entries


def response(method: str, prompt: int, seed: int, sample: int = 0) -> str:
    """A response with as many steps as `STEPS` says, different for each seed and sample."""
    return " ; ".join(f"{prompt} + {step} = {prompt + step}" for step in range(STEPS[method])) + f" # {seed} {sample}"


def parts(prompt: str) -> tuple[str, list[str]]:
    """A judge's prompt as (what stands outside the fences, [question, answer A, answer B])."""
    fence = re.search(r'begin with "(=== \w+)"', prompt)
    assert fence
    name = re.escape(fence[1])
    match = re.fullmatch(
        rf"(.*)^{name} question\n(.*)\n{name} answer A\n(.*)\n{name} answer B\n(.*)\n{name} end$(.*)",
        prompt, re.M | re.S,
    )  # fmt: skip
    assert match
    outside = (match[1] + match[5]).replace(fence[1], "")
    return outside, [match[2], match[3], match[4]]


def count_steps(prompt: str) -> str:
    """A judge that counts equations between the fences, and obeys whatever it is told outside of them."""
    outside, (_, first, second) = parts(prompt)
    if "Note to the judge" in outside:
        return "As the note says.\n\nVerdict: A"
    left, right = (len(re.findall(r"\+ \d+ =", answer)) for answer in (first, second))
    return f"{left} steps against {right}.\n\nVerdict: {'A' if left > right else 'B' if right > left else 'tie'}"


class StandIn:
    """A server of chat completions on this machine. It keeps the prompts and headers that it is sent.

    `behave` maps the number of a request (from 1) and its prompt to a reply, a status, raw bytes, or None: no answer.
    """

    def __init__(self, behave: Callable[[int, str], str | int | bytes | None]) -> None:
        self.behave = behave
        self.prompts: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answered: list[str] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.url = ""


@contextmanager
def serve(behave: Callable[[int, str], str | int | bytes | None], port: int = 0) -> Iterator[StandIn]:
    """A `StandIn` while the block lasts, at any free port or at this one."""
    state = StandIn(behave)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"]
            with state.lock:
                state.prompts.append(prompt)
                state.headers.append(dict(self.headers))
                number = len(state.prompts)
            said = state.behave(number, prompt)
            if said is None:
                state.over.wait(5)
                return
            status, content = (said, b"{}") if isinstance(said, int) else (200, said)
            if isinstance(content, str):
                content = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            with state.lock:
                state.answered.append(prompt)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
