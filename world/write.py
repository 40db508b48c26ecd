"""Write the data sets of the world: training, validation and the three tests.

    python -m world.write --params '{"seed": 0}' --out results/data/world

`same` follows the training problems; `symbolic` retells each problem of `same` with names and objects that
no training problem uses, and new numbers; `longer` has longer chains. No chain of numbers occurs in two
files, nor twice in one, whatever it is told with.
"""

import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from training.command import read_command
from training.errors import UserError, cli
from world.grammar import FAMILIAR, HELD_OUT, Chain, Problem, retell, sample_problem
from world.settings import WorldData
from world.styles import solve

TESTS = ("same", "symbolic", "longer")
ATTEMPTS = 1000  # draws per problem before a setting counts as impossible


def data_sets(settings: WorldData) -> dict[str, list[Problem]]:
    """All problems by file name; a pure function of the settings."""
    rng, seen = Random(settings.seed), set[Chain]()

    def draw(number: int, sample: Callable[[], Problem]) -> list[Problem]:
        return [_new(seen, sample) for _ in range(number)]

    def usual() -> Problem:
        return sample_problem(rng, settings.ops, FAMILIAR)

    same = draw(settings.test, usual)
    return {
        "same": same,
        "symbolic": [_new(seen, partial(retell, rng, problem, HELD_OUT)) for problem in same],
        "longer": draw(settings.test, lambda: sample_problem(rng, settings.longer, FAMILIAR)),
        "validation": draw(settings.validation, usual),
        "train": draw(settings.train, usual),
    }


def _new(seen: set[Chain], sample: Callable[[], Problem]) -> Problem:
    for _ in range(ATTEMPTS):
        problem = sample()
        if problem.chain not in seen:
            seen.add(problem.chain)
            return problem
    raise UserError(
        f"data: after {len(seen)} problems no new chain of numbers is found for these settings; "
        "ask for fewer problems or more steps (ops)"
    )


def row(identity: str, problem: Problem) -> dict[str, Any]:
    """One line of a data file."""
    return {
        "id": identity,
        "question": problem.question,
        "prompt": problem.prompt,
        "answer": str(problem.chain.answer),
        "solution": solve(problem.chain, "careful"),
        "chain": problem.chain.to_json(),
    }


def main(argv: list[str] | None = None) -> None:
    """Command line: `--params JSON --out FOLDER`."""
    settings, arguments = read_command("Write the data sets of the world.", WorldData, argv)
    made = data_sets(settings)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, problems in made.items():
        lines = [json.dumps(row(f"{name}-{i:04d}", problem)) for i, problem in enumerate(problems)]
        (arguments.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli(main)
