"""Answer the test sets once, through lm-eval, and keep every response.

    python -m evaluation.generate --params '{"tests": ["same"], "prompts": 200}' --data results/data/world \\
        --policy results/runs/<run>/policy --out results/runs/<run>/<evaluation>/samples.jsonl

Each test set is answered at temperature 1 (several responses per prompt) and greedily. Beside the samples,
`lm_eval.json` holds lm-eval's own scores, task versions and hashes. All other scores are computed later, from
these samples (`evaluation.score`).
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from evaluation.quiet import quieten
from training.data import Problem, read_problems
from training.errors import UserError, cli, nearest
from training.files import check_place, digest, sum_file, write_whole
from training.outcome import failed_because
from training.schema import Strict, read_params

if TYPE_CHECKING:
    from lm_eval.api.task import Task

    from evaluation.policy_lm import RecordingLM, Sample

DECODINGS = ("sampled", "greedy")
TASKS = Path(__file__).parent / "tasks"


class Generation(Strict):
    """What is generated: test sets, prompts of each, responses per prompt when sampling, and their length."""

    tests: tuple[str, ...] = Field(min_length=1)
    prompts: int = Field(200, ge=1)
    samples: int = Field(4, ge=1)
    batch: int = Field(256, ge=1)
    max_new_tokens: int = Field(48, ge=1)
    seed: int = Field(0, ge=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["transformers", "vllm"] = "transformers"
    control: Literal["answer_key", "always_wrong"] | None = None
    ends_of: str | None = Field(None, description="model whose ends end responses too: an untrained student's teacher")


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON --data DIR [--policy DIR] --out samples.jsonl`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--params", required=True, help="JSON text or file of the settings")
    parser.add_argument("--data", required=True, type=Path, help="folder with one <test>.jsonl per test set")
    parser.add_argument("--policy", help="model folder; not needed by a control")
    parser.add_argument("--out", required=True, type=Path, help="samples.jsonl; lm_eval.json is written beside it")
    given = parser.parse_args(argv)
    params = read_params(Generation, given.params)
    check_place(given.out, folder=False)
    if params.control is None and not given.policy:
        raise UserError("--policy is missing; give the model folder, or set `control` in --params")
    failure = failed_because(given.policy)
    if failure is not None:
        print(f"{given.policy}: the run failed ({failure}); no responses are generated", flush=True)
    rows, summary = ([], {}) if failure is not None else generate(params, given.data, given.policy)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)  # ASCII: U+2028 would split a line
    write_whole(given.out, lines)
    write_whole(sum_file(given.out), f"{digest(given.out)}  {given.out.name}\n")
    write_whole(given.out.with_name("lm_eval.json"), json.dumps(summary, indent=1, sort_keys=True) + "\n")


def generate(params: Generation, data: Path, policy: str | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of samples.jsonl, and lm-eval's own summary.

    lm-eval's `evaluate` is called rather than `simple_evaluate`: the same evaluation without the seconds that
    collecting machine information takes, and without its date and paths, so that a rerun gives the same bytes.
    """
    quieten()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks, rows = load_tasks(params, data)
    lm = _model(params, policy)
    from lm_eval.evaluator import evaluate

    results = evaluate(lm, {"tasks": tasks}, limit=params.prompts, log_samples=True)
    return list(sample_rows(results["samples"], rows, lm.samples)), summarise(results)


def load_tasks(params: Generation, data: Path) -> tuple[dict[str, Task], dict[str, list[Problem]]]:
    """lm-eval's tasks by name `<test set>_<decoding>`, set as `params` says, and the rows of each test set.

    Raises `UserError` on a test set that is not in the folder of data, or has fewer prompts than asked for.
    """
    from lm_eval.tasks import TaskManager

    known = [file.stem for file in data.glob("*.jsonl")]
    tasks: dict[str, Task] = {}
    rows: dict[str, list[Problem]] = {}
    for test in params.tests:
        if known and test not in known:
            raise UserError(f"there is no test set '{test}' in {data}; {nearest(test, known)}")
        rows[test] = read_problems(data / f"{test}.jsonl")
        if len(rows[test]) < params.prompts:
            raise UserError(
                f"test set '{test}' in {data} has {len(rows[test])} rows, fewer than the {params.prompts} prompts "
                "asked for; make a larger test set or ask for fewer prompts"
            )
        asked = {"data": str(data), "test": test}
        manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata=asked)
        for decoding, task in manager.load(list(DECODINGS))["tasks"].items():
            task.set_config("task", f"{test}_{decoding}")
            task.set_config("generation_kwargs", {"max_gen_toks": params.max_new_tokens}, update=True)
            if decoding == "sampled":
                task.set_config("repeats", params.samples)
            tasks[task.task_name] = task
    return tasks, rows


def _model(params: Generation, policy: str | None) -> RecordingLM:
    from evaluation.policy_lm import AlwaysWrongLM, AnswerKeyLM, PolicyLM

    if params.control == "answer_key":
        return AnswerKeyLM()
    if params.control == "always_wrong":
        return AlwaysWrongLM()
    from training.models import load_policy, load_tokenizer
    from training.stops import declared_stops, share_stops

    assert policy is not None
    ends = declared_stops(params.ends_of, load_tokenizer(params.ends_of)) if params.ends_of else []
    if params.engine == "vllm":
        from evaluation.vllm_lm import VllmLM, unserved

        reason = unserved(policy)
        if reason is None:
            return VllmLM(policy, params.batch, params.seed, params.dtype, ends)
        print(f"{policy}: {reason}; transformers generates its responses", flush=True)
    model, tokenizer = load_policy(policy, params.dtype), load_tokenizer(policy)
    share_stops(model, tokenizer, ends)
    return PolicyLM(model, tokenizer, params.batch, params.seed)


def sample_rows(
    logged: dict[str, list[dict[str, Any]]], rows: dict[str, list[Problem]], samples: list[Sample]
) -> Iterator[dict[str, Any]]:
    """lm-eval's logged responses, each with its tokens from `samples` (request order) and its problem."""
    recorded = iter(samples)
    for task, documents in logged.items():
        test, _, decoding = task.rpartition("_")
        for document in documents:
            problem = rows[test][document["doc_id"]]
            for number, response in enumerate(document["resps"][0]):
                sample = next(recorded)
                assert (sample.task, sample.response) == (task, response), "lm-eval changed the order of responses"
                yield {
                    "test": test, "decoding": decoding, "prompt_id": problem["id"], "sample": number,
                    "prompt": problem["prompt"], "question": problem["question"], "answer": problem["answer"],
                    "response": response, "tokens": sample.tokens, "finished": sample.finished,
                    "chain": problem.get("chain"),
                }  # fmt: skip


def summarise(results: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's scores, task versions, counts, and one hash per task of its documents, prompts and targets."""
    from lm_eval.utils import hash_string

    hashes = {
        task: hash_string("".join(d["doc_hash"] + d["prompt_hash"] + d["target_hash"] for d in documents))
        for task, documents in results["samples"].items()
    }
    kept = {key: results[key] for key in ("results", "versions", "n-samples")}
    return {"lm_eval": version("lm_eval"), "hashes": hashes, **kept}


if __name__ == "__main__":
    cli(main)
