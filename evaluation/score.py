"""Score kept responses: one scorer for every method, the teacher and the controls alike.

    python -m evaluation.score --samples results/runs/<run>/samples.jsonl --policy results/runs/<run>/policy \\
        --teacher results/models/teacher --out results/runs/<run>/scores.parquet [--tokens FILE]

One row per response. The divergence KL(policy || teacher) is exact over the vocabulary at every sampled prefix
and is measured here by teacher forcing the stored token ids, never taken from a training log. Three readings of
it per response: `kl_mean`, `kl_sum` and `kl_prefix`, the largest running mean. NaN where a score is undefined.
Beside the table, `tokens.jsonl` keeps the divergence token by token for a few responses, for the report to show.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.columns import ESTIMATORS, FLOORED, KEYS, KL_COLUMNS, READINGS, SHOWN, TEXT_SCORES
from evaluation.equivalence import is_equivalent
from evaluation.quiet import quieten
from evaluation.sample_files import Row, read_samples
from training.answers import extract, is_correct
from training.errors import UserError, cli
from training.files import check_place, write_whole
from training.progress import Progress
from world.verify import verify

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Measured:
    """Divergence of N responses: `readings` (N, 6), and `per_token`, the exact KL of each response's tokens."""

    readings: NDArray[np.float64]
    per_token: list[NDArray[np.float64]]

    @classmethod
    def undefined(cls, rows: int) -> Measured:
        """Of responses without a policy: NaN, and no tokens."""
        return cls(np.full((rows, len(KL_COLUMNS)), np.nan), [np.zeros(0)] * rows)


def main(argv: list[str] | None = None) -> None:
    """Command line: `--samples FILE [--policy DIR] [--teacher DIR] --out scores.parquet`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", required=True, type=Path, help="samples.jsonl of evaluation.generate")
    parser.add_argument("--policy", help="model folder that gave the samples; none for a control")
    parser.add_argument("--teacher", help="model folder of the teacher; not read for a control")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--micro-tokens", default=4096, type=int, help="prompt and response tokens in one pass")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--tokens", type=Path, help="file to write: texts and KLs of the tokens of a few responses")
    given = parser.parse_args(argv)
    if given.micro_tokens < 1:
        raise UserError(f"--micro-tokens is {given.micro_tokens}, but must be at least 1; change it")
    if given.policy and not given.teacher:
        raise UserError("--teacher is missing; give the teacher's model folder, or no --policy for a control")
    check_place(given.out, folder=False)
    rows = read_samples(given.samples)
    measured = Measured.undefined(len(rows))
    if given.policy and rows:
        measured = measure(rows, given.policy, given.teacher, given.dtype, given.micro_tokens)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(given.out, table(rows, measured.readings).to_parquet(index=False))
    if given.tokens:
        write_tokens(rows, measured, given.policy, given.tokens)


def table(rows: list[Row], readings: NDArray[np.float64]) -> pd.DataFrame:
    """One row per response: keys, scores of the text, columns of the divergence `(N, 6)`; all scores float64."""
    scores = pd.DataFrame([text_scores(row) for row in rows], columns=list(TEXT_SCORES), dtype="float64")
    keys = {
        "test": pd.array([row["test"] for row in rows], dtype="str"),
        "decoding": pd.array([row["decoding"] for row in rows], dtype="str"),
        "prompt": pd.array([row["prompt_id"] for row in rows], dtype="str"),
        "sample": np.array([row["sample"] for row in rows], dtype="int64"),
    }
    whole = pd.concat([pd.DataFrame(keys), scores, pd.DataFrame(readings, columns=KL_COLUMNS)], axis=1)
    return whole[[*KEYS, "correct", "equivalent", "extracted", "finished", "tokens", *KL_COLUMNS, "reasoning", "sound"]]


def text_scores(row: Row) -> dict[str, float]:
    """What a response's text and length say: shares and truth values as 0..1, length in tokens."""
    response = row["response"]
    scores = {
        "correct": float(is_correct(response, row["answer"])),
        "equivalent": float(is_equivalent(response, row["answer"])),
        "extracted": float(extract(response) is not None),
        "finished": float(row["finished"]),
        "tokens": float(len(row["tokens"])) if row["tokens"] else np.nan,
        "reasoning": np.nan,
        "sound": np.nan,
    }
    if row.get("chain") is not None:
        verdict = verify(row["chain"], response)
        scores |= {"reasoning": verdict.reasoning, "sound": float(verdict.sound)}
    return scores


def measure(rows: list[Row], policy: str, teacher: str, dtype: str, micro_tokens: int) -> Measured:
    """Mean, sum and largest running mean of the exact per-token KL(policy || teacher), and its k1 and k3
    estimates (means per token), and the share of tokens at the teacher's floor, `(N, 6)`; and that KL by token.

    Responses of similar length share a pass of at most `micro_tokens` tokens, so memory is bounded. Rows
    without tokens stay NaN. Raises `UserError` where the two models have different vocabularies.
    """
    quieten()
    import torch

    from training.batch import token_kl
    from training.constraint import response_costs
    from training.models import check_same_vocabulary, load_policy, load_tokenizer, shared_width
    from training.policy_gradient import mean_over_tokens
    from training.prompt import encode
    from training.rollout import given

    tokenizer = load_tokenizer(policy)
    check_same_vocabulary(tokenizer, load_tokenizer(teacher))
    student, reference = load_policy(policy, dtype), load_policy(teacher, dtype)
    ids = {text: encode(tokenizer, text) for text in dict.fromkeys(row["prompt"] for row in rows)}
    prompts, responses = [ids[row["prompt"]] for row in rows], [row["tokens"] for row in rows]
    largest = max((max(response) for response in responses if response), default=0)
    known = shared_width(student, reference)
    if largest >= known:
        raise UserError(
            f"the samples hold token {largest}, but '{policy}' and its teacher '{teacher}' share {known} ids alone; "
            "generate them again with this policy, or choose a teacher that has all of its ids"
        )
    found = Measured.undefined(len(rows))
    for chosen in _micro_batches(prompts, responses, micro_tokens):
        rollouts = given([prompts[i] for i in chosen], [responses[i] for i in chosen], student.device)
        kl = {name: values.double() for name, values in token_kl(student, reference, rollouts).items()}
        costs = response_costs(kl["exact"], rollouts.mask)
        columns = [costs[name] for name in READINGS]
        columns += [mean_over_tokens(kl[name], rollouts.mask) for name in (*ESTIMATORS, FLOORED)]
        found.readings[chosen] = torch.stack(columns, 1).cpu().numpy()
        for i, values in zip(chosen, kl["exact"].cpu().numpy(), strict=True):
            found.per_token[i] = values[: len(responses[i])]
    return found


def write_tokens(rows: list[Row], measured: Measured, policy: str | None, path: Path) -> None:
    """The first sampled response to each of the first `SHOWN` prompts of a test: its tokens' texts and KLs.

    An empty file for a control. Together the texts are the decoded response, its end marker included.
    """
    lines, shown = [], Counter[str]()
    if policy and rows:
        from training.models import load_tokenizer

        tokenizer = load_tokenizer(policy)
        for row, kl in zip(rows, measured.per_token, strict=True):
            if row["decoding"] == "sampled" and row["sample"] == 0 and shown[row["test"]] < SHOWN:
                shown[row["test"]] += 1
                kept = {"test": row["test"], "prompt_id": row["prompt_id"], "sample": row["sample"]}
                texts = token_texts(tokenizer, row["tokens"])
                lines.append(json.dumps({**kept, "tokens": texts, "kl": np.round(kl, 5).tolist()}, ensure_ascii=False))
    write_whole(path, "".join(line + "\n" for line in lines))


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """What each token adds to the text decoded so far; "" until a character of several tokens is whole."""
    texts, done = [], ""
    for end in range(1, len(ids) + 1):
        whole = tokenizer.decode(ids[:end], skip_special_tokens=False)
        complete = whole if not whole.endswith("\ufffd") else done
        texts.append(complete[len(done) :])
        done = complete
    return texts


def _micro_batches(prompts: list[list[int]], responses: list[list[int]], budget: int) -> Iterator[list[int]]:
    """Indices of rows with tokens, shortest first, as many at a time as fit the budget once padded."""
    order = [i for i, response in enumerate(responses) if response]
    order.sort(key=lambda i: (len(responses[i]), len(prompts[i])))
    progress = Progress("divergence", len(order), step="response")
    batch: list[int] = []
    longest = 0
    for done, i in enumerate(order):
        longest = max(longest, len(prompts[i]))
        if batch and (longest + len(responses[i])) * (len(batch) + 1) > budget:
            yield batch
            batch, longest = [], len(prompts[i])
            progress.show(done)
        batch.append(i)
    if batch:
        yield batch


if __name__ == "__main__":
    cli(main)
