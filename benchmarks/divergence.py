"""(d) The exact divergence in pieces against the naive way: all logits of both models held, one autograd graph.

Two ways of ours: `mean`, where the weight of every token is known beforehand (GKD, a warm-up), and `each`, where the
loss decides it from the divergences (CMDP); here all tokens have a gradient, the most that `each` can have to do.

    python -m benchmarks.divergence --side mean --vocabulary 1024 --rows 8 --length 512 --device cpu --dtype float32

prints the bytes that one forward and backward pass of a side needs beyond what is there before it. On the CPU that is a
high-water mark of the process, so each side has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from benchmarks.page import Row
from benchmarks.pairs import Shape, llama, log_probabilities
from benchmarks.timing import Bench, Clock, Rounds, alternate
from training.batch import Batch
from training.divergence import reverse_kl
from training.folders import ROOT
from training.rollout import Rollouts

STATUS = Path("/proc/self/status")  # of Linux; elsewhere memory is measured on CUDA only
MEMORY = Path("/proc/meminfo")
VOCABULARIES = (1024, 16_384, 151_936)
HIDDEN = 896  # of Qwen2.5-0.5B, whose vocabulary is the last of these
ROWS, LENGTH, PROMPT = 8, 512, 8
SIDES = ("mean", "each", "naive")
WEIGHTS_ARE = {"mean": "weights known", "each": "weights from the values"}
COPIES = 6  # float32 tensors of all logits that the naive way holds at its peak, about
WEIGHTS = 7  # the same of weights of the output or input, with gradients
TIMED_ELEMENTS = 2**25  # logits in a timed pass; above it fewer rows, since the naive way alone would take minutes


@dataclass(frozen=True)
class Sides:
    """The ways, each a forward and a backward pass whose gradients are left on the student."""

    student: LlamaForCausalLM
    mean: Callable[[], object]
    each: Callable[[], object]
    naive: Callable[[], object]


def sides(vocabulary: int, rows: int, length: int, bench: Bench) -> Sides:
    """Forward and backward pass of the mean reverse KL of `rows` responses, by each of the ways."""
    width = 64 if bench.quick else HIDDEN
    shape = Shape("head", width, 1, 128, vocabulary, length, width, 128)
    student, teacher = llama(shape, bench, 1), llama(shape, bench, 2, teacher=True)
    for parameter in student.parameters():  # in training there are gradients anyway: no part of the divergence
        parameter.grad = torch.zeros_like(parameter)
    rollouts = random_rollouts(vocabulary, rows, length, bench)

    def batch() -> Batch:
        zeros = torch.zeros(rows, device=bench.device)
        return Batch(rollouts, zeros, zeros.long(), student, teacher)

    def mean() -> Tensor:
        return batch().mean_expectation(reverse_kl)

    def each() -> Tensor:
        return batch().expectation(reverse_kl).mean()

    def naive() -> Tensor:
        prompt, response = (rollouts.prompt, rollouts.prompt_mask), (rollouts.response, rollouts.mask)
        log_pi = log_probabilities(student, prompt, response)
        with torch.no_grad():
            log_mu = log_probabilities(teacher, prompt, response)
        return (log_pi.exp() * (log_pi - log_mu)).sum(-1).mean()

    def updated(way: Callable[[], Tensor]) -> Callable[[], object]:
        def work() -> None:
            student.zero_grad(set_to_none=False)
            way().backward()

        return work

    return Sides(student, updated(mean), updated(each), updated(naive))


def random_rollouts(vocabulary: int, rows: int, length: int, bench: Bench) -> Rollouts:
    """Prompts and responses of random ids, all of full length."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(2, vocabulary, (rows, PROMPT + length), generator=draw).to(bench.device)
    full = torch.ones_like(ids)
    prompt, response = ids[:, :PROMPT], ids[:, PROMPT:]
    return Rollouts(prompt, full[:, :PROMPT], response, full[:, PROMPT:].bool(), full[:, 0].bool())


def peak(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that `work` needs at most, beyond what is held (CUDA) or was ever held (CPU) before."""
    if device.type == "cuda":
        clock = Clock(device)
        work()
        return clock.peak_bytes()
    before = high_water()
    work()
    return max(1, high_water() - before)


def high_water() -> int:
    """Most bytes that this process ever held; `ru_maxrss` would count those of the process that started it too."""
    return _entry(STATUS, "VmHWM")


def _entry(file: Path, name: str) -> int:
    """Bytes that a file of Linux's /proc gives under a name."""
    line = next(line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def peak_apart(side: str, vocabulary: int, rows: int, length: int, bench: Bench) -> int:
    """`peak` of a side in a process of its own."""
    command = [
        sys.executable, "-m", "benchmarks.divergence", "--side", side, "--vocabulary", str(vocabulary),
        "--rows", str(rows), "--length", str(length), "--device", str(bench.device), "--dtype", bench.dtype,
        *(["--quick"] if bench.quick else []),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def rows_that_fit(vocabulary: int, length: int, bench: Bench) -> int:
    """Eight rows, or two where the naive way would not fit into the memory that is free, or that is unknown."""
    if bench.device.type == "cuda":
        free = torch.cuda.mem_get_info(bench.device)[0]
    else:
        free = _entry(MEMORY, "MemAvailable") if MEMORY.is_file() else 0
    needed = 4 * vocabulary * (COPIES * ROWS * length + WEIGHTS * HIDDEN)
    return ROWS if needed < 0.9 * free else 2


def measure(bench: Bench) -> list[Row]:
    """Rows of time and of memory for each vocabulary and way."""
    times, memory, length = [], [], 64 if bench.quick else LENGTH
    for vocabulary in VOCABULARIES[1:2] if bench.quick else VOCABULARIES:
        fit = rows_that_fit(vocabulary, length, bench)
        timed = max(1, min(fit, TIMED_ELEMENTS // (length * vocabulary)))
        all_ways = sides(vocabulary, timed, length, bench)
        rounds = alternate([getattr(all_ways, side) for side in SIDES], bench, 20.0)
        del all_ways  # its memory is needed below
        torch.cuda.empty_cache()
        times += _rows("time", vocabulary, timed, length, rounds, 1.0)
        if bench.device.type == "cpu" and not STATUS.is_file():
            continue
        bytes_each = tuple(float(peak_apart(side, vocabulary, fit, length, bench)) for side in SIDES)
        target = 1 / 8 if (vocabulary, fit) == (VOCABULARIES[-1], ROWS) else None
        memory += _rows("peak memory", vocabulary, fit, length, [bytes_each], target)
    return times + memory


def _rows(what: str, vocabulary: int, rows: int, length: int, rounds: Rounds, target: float | None) -> list[Row]:
    """A row for each way of ours; the naive one is last in a round."""
    labels = {"vocabulary": f"{vocabulary:,}", "batch": f"{rows} x {length}"}
    unit = "bytes" if what == "peak memory" else "s"
    return [
        Row(
            {"in pieces / naive": f"{what}, {WEIGHTS_ARE[side]}", **labels},
            [(r[i], r[-1]) for r in rounds],
            target,
            unit,
        )
        for i, side in enumerate(SIDES[:-1])
    ]


def main() -> None:
    """Command line of one side's memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--side", choices=SIDES, required=True)
    for name in ("vocabulary", "rows", "length"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(torch.device(given.device), given.dtype, given.quick)
    getattr(sides(64, 1, 4, bench), given.side)()  # what is loaded on first use belongs to neither side
    work = getattr(sides(given.vocabulary, given.rows, given.length, bench), given.side)
    print(json.dumps({"bytes": peak(work, bench.device)}))


if __name__ == "__main__":
    main()
