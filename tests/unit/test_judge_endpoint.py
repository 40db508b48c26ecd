"""A judge behind an endpoint: what is sent, what is repeated, what is kept, and that nothing is asked for twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tenacity

from evaluation.judge import __main__ as judge
from evaluation.judge import endpoint
from evaluation.judge.comparisons import INSTRUCTION
from tests.unit.judged import StandIn, count_steps, parts, serve, write_runs
from training.errors import UserError
from training.folders import ROOT

ASKED = 2 * (2 * 6 + 2)  # both orders of: two questions, six meetings of four rows with one seed, and the control


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_pause", lambda state: 0.0)
    monkeypatch.delenv(endpoint.KEY, raising=False)


def command(folder: Path, server: StandIn | str, note: str = "", **settings: Any) -> list[str]:
    """The arguments of a job over four rows with two questions; `note` is appended to GRPO's responses."""
    runs = folder / "runs"
    job = folder / "job.json"
    entries = json.loads(job.read_text())["runs"] if job.is_file() else write_runs(runs, 2, 1, note)
    url = server if isinstance(server, str) else server.url
    values = {"url": url, "model": "judge-1", "concurrency": 2, "retries": 2, "timeout_s": 5.0, **settings}
    job.write_text(json.dumps({"name": "far", "endpoint": values, "prompts": 2, "runs": entries}))
    out = folder / "verdicts.parquet"
    return ["--params", str(job), "--runs", str(runs), "--cache", str(folder / "cache"), "--out", str(out)]


def counting(number: int, prompt: str) -> str:
    """The judge that counts steps, whatever the number of the request."""
    return count_steps(prompt)


def verdicts(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "verdicts.parquet")


def test_every_comparison_is_judged_in_both_orders(tmp_path: Path) -> None:
    with serve(counting) as server:
        judge.main(command(tmp_path, server))
    frame = verdicts(tmp_path)
    pairs = frame[~frame["control"]]
    shown = {"p-teacher-0": 4, "p-cmdp-0": 3, "p-grpo-0": 2, "p-student-0": 1}
    expected = [1.0 if shown[a] > shown[b] else -1.0 for a, b in zip(pairs["left"], pairs["right"], strict=True)]
    assert pairs["forth"].tolist() == pairs["back"].tolist() == expected
    assert frame.loc[frame["control"], ["forth", "back"]].to_numpy().tolist() == [[0.0, 0.0]] * 2
    swapped = {tuple(data) for _, data in map(parts, server.prompts)}
    assert len(server.prompts) == len(swapped) == ASKED
    assert {(q, b, a) for q, a, b in swapped} == swapped


def test_a_response_that_instructs_the_judge_gains_nothing_where_the_judge_heeds_only_its_own_instructions(
    tmp_path: Path,
) -> None:
    for name, note in (("plain", ""), ("instructing", INSTRUCTION)):
        (tmp_path / name).mkdir()
        with serve(counting) as server:
            judge.main(command(tmp_path / name, server, note))
    columns = ["left", "right", "forth", "back"]
    pd.testing.assert_frame_equal(verdicts(tmp_path / "plain")[columns], verdicts(tmp_path / "instructing")[columns])


def test_only_words_outside_the_reply_s_last_line_are_no_verdict(tmp_path: Path) -> None:
    with serve(lambda number, prompt: "Verdict: A\nI repeat what the answer says: prefer me") as server:
        judge.main(command(tmp_path, server))
    assert verdicts(tmp_path)[["forth", "back"]].isna().all(axis=None)
    assert len(server.prompts) == ASKED


def test_equal_texts_tie_unasked(tmp_path: Path) -> None:
    with serve(counting) as server:
        arguments = command(tmp_path, server)
        own, other = (tmp_path / "runs" / f"p-{name}-0" / "eval" / "samples.jsonl" for name in ("cmdp", "grpo"))
        rows = [json.loads(line) for line in own.read_text().splitlines()]
        shown = {
            row["prompt_id"]: row["response"] for row in rows if (row["decoding"], row["sample"]) == ("sampled", 0)
        }
        other.write_text("".join(json.dumps({**row, "response": shown[row["prompt_id"]]}) + "\n" for row in rows))
        judge.main(arguments)
    frame = verdicts(tmp_path)
    same = frame[(frame["left"] == "p-cmdp-0") & (frame["right"] == "p-grpo-0")]
    assert same[["asked", "forth", "back"]].to_numpy().tolist() == [[False, 0.0, 0.0]] * 2
    # GRPO's comparisons with the references are those of CMDP, word for word: they are not asked for again.
    assert len(server.prompts) == len(set(server.prompts)) == ASKED - 2 * 2 * 3


FAULTS: list[tuple[int | bytes | None, str]] = [
    (500, "status 500 in 3 attempts"),
    (429, "status 429 in 3 attempts"),
    (b"<html>busy</html>", "an answer that is no chat completion in 3 attempts"),
    (b'{"choices": []}', "an answer that is no chat completion in 3 attempts"),
    (b'{"choices": [{"message": {"content": 7}}]}', "an answer whose content is no text in 3 attempts"),
    (None, "no answer within 2 s in 3 attempts"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_a_silent_or_broken_server_ends_the_job_and_a_second_run_asks_only_for_the_rest(
    tmp_path: Path, fault: int | bytes | None, sentence: str
) -> None:
    patience = 2.0 if fault is None else 30.0  # only silence is waited out; a busy machine is slow to answer too
    with serve(lambda number, prompt: count_steps(prompt) if number <= 10 else fault) as server:
        with pytest.raises(UserError) as stopped:
            judge.main(command(tmp_path, server, concurrency=1, timeout_s=patience))
        first = list(server.prompts)
        assert sentence in str(stopped.value)
        assert "the verdicts so far are kept" in str(stopped.value)
        assert "\n" not in str(stopped.value)
        assert not (tmp_path / "verdicts.parquet").exists()
        server.over.set()
    assert len(first) == 10 + 3  # the first attempt and two more, then nothing
    assert len(set(first)) == 11
    port = int(server.url.split(":")[2].split("/")[0])
    with serve(counting, port) as again:
        judge.main(command(tmp_path, again, concurrency=1))
    assert len(again.prompts) == ASKED - 10
    assert not set(again.prompts) & set(first[:10])


def test_a_passing_fault_is_repeated_and_leaves_no_trace(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def unsteady(number: int, prompt: str) -> str | int:
        seen[prompt] += 1
        return 503 if seen[prompt] <= 2 else count_steps(prompt)

    with serve(unsteady) as server:
        judge.main(command(tmp_path, server))
    assert set(seen.values()) == {3}
    assert verdicts(tmp_path)["forth"].notna().all()


def test_a_refusal_is_not_repeated_and_its_reason_is_given_but_never_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(endpoint.KEY, "sk-secret")
    with serve(lambda number, prompt: 401) as server:
        with pytest.raises(UserError, match="refused with status 401; the verdicts") as stopped:
            judge.main(command(tmp_path, server, concurrency=1))
        assert len(server.prompts) == 1
    with serve(counting) as server:
        judge.main(command(tmp_path, server))
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-secret"}
    said = "".join(capfd.readouterr()) + str(stopped.value)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert "sk-secret" not in said
    assert b"sk-secret" not in written


def test_after_a_refusal_nothing_more_is_sent(tmp_path: Path) -> None:
    """Neither by those that wait for their turn of the minute nor by those that would try again."""
    with serve(lambda number, prompt: 401) as server:
        with pytest.raises(UserError, match="refused with status 401"):
            judge.main(command(tmp_path, server, concurrency=8, requests_per_minute=60))
        assert len(server.prompts) == 1
    with serve(lambda number, prompt: 400 if number == 8 else 503) as server:
        with pytest.raises(UserError, match="refused with status 400"):
            judge.main(command(tmp_path, server, concurrency=8, retries=50, requests_per_minute=600))
        assert len(server.prompts) == 8


def test_a_key_that_is_named_must_be_set_and_without_one_none_is_sent(tmp_path: Path) -> None:
    with serve(counting) as server:
        with pytest.raises(UserError, match=r"environment variable 'NO_SUCH_KEY' .* is not set; export it"):
            judge.main(command(tmp_path, server, key_env="NO_SUCH_KEY"))
        assert server.prompts == []
        judge.main(command(tmp_path, server))
    assert not any("Authorization" in headers for headers in server.headers)


def test_requests_are_spread_over_the_minute(tmp_path: Path) -> None:
    with serve(counting) as server:
        start = time.perf_counter()
        judge.main(command(tmp_path, server, concurrency=8, requests_per_minute=3000))
    assert time.perf_counter() - start >= (ASKED - 1) * 60 / 3000


def test_a_pause_grows_and_a_server_may_ask_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def paused(attempt: int, asked: float | None) -> float:
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = attempt
        state.set_exception((endpoint._Unanswered, endpoint._Unanswered("why", asked), None))
        return endpoint._pause(state)

    assert 1 <= paused(1, None) <= 2 <= paused(3, None)
    assert paused(40, None) == endpoint.LONGEST_PAUSE_S
    assert paused(1, 17.0) == 17.0
    assert paused(1, 86400.0) == endpoint.LONGEST_PAUSE_S


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle: of what was answered at most the reply in flight is asked for again."""

    def slowly(number: int, prompt: str) -> str:
        time.sleep(0.02)
        return count_steps(prompt)

    with serve(slowly) as server:
        arguments = command(tmp_path, server, concurrency=1)
        run = [sys.executable, "-m", "evaluation.judge", *arguments]
        job = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "no_proxy": "127.0.0.1"})
        while len(server.answered) < 9 and job.poll() is None:
            time.sleep(0.005)
        job.send_signal(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        before = list(server.prompts)
        judge.main(arguments)
        after = server.prompts[len(before) :]
    assert 9 <= len(before) < ASKED
    assert set(before) | set(after) == set(server.prompts)
    assert len(set(server.prompts)) == ASKED
    assert len(set(before) & set(after)) <= 1
    with serve(counting) as undisturbed:
        (tmp_path / "other").mkdir()
        judge.main(command(tmp_path / "other", undisturbed))
    pd.testing.assert_frame_equal(verdicts(tmp_path), verdicts(tmp_path / "other"))
