"""Several pairs of models as one size whose training seeds are the pairs.

What one pair shows holds for that pair: intervals over training seeds say nothing about another teacher and another
student. Where the same rows were trained on several pairs, one training seed each, with the same problems, threshold
and reading, the pairs are a sample too, crossed with the prompts just as seeds are (evaluation/statistics.py). So
every measure, comparison and claim is computed by the code that computes it over seeds; a difference of two rows is
taken within each pair. What is stated then is the expectation over another pair of the same making, with another
training seed, another prompt and another sample.
"""

from __future__ import annotations

from evaluation.collected import Collected, Index, Pair, Test

LEAST = 3  # two pairs leave one degree of freedom: a t interval 12.7 standard errors to each side


def across_pairs(size: Collected) -> Collected | None:
    """The view described above, its one pair named "all N"; None where the pairs do not allow it.

    A pair is a teacher and a student of its own: two pairs that share one of them are not two draws.
    """
    pairs = list(size.pairs.values())
    if len(pairs) < LEAST:
        return None
    models = [model for pair in pairs for model in (pair.teacher, pair.student)]
    one = {(pair.data, pair.threshold.d, pair.reading) for pair in pairs}
    each = {(run.pair, run.kind, run.method, run.setting) for run in size.runs}
    if len(set(models)) < len(models) or len(one) > 1 or len(each) < len(size.runs):
        return None
    if not (tests := _common_tests(size)):
        return None
    name = f"all {len(pairs)}"
    whole = Pair(
        student=f"{len(pairs)} students", teacher=f"{len(pairs)} teachers, one each", threshold=pairs[0].threshold,
        reading=pairs[0].reading, tests=tests,
    )  # fmt: skip
    place = {pair: number for number, pair in enumerate(size.pairs)}
    runs = [run.model_copy(update={"pair": name, "seed": place[run.pair]}) for run in size.runs]
    index = Index(size=size.size, title=size.title, note=size.note, pairs={name: whole}, runs=runs)
    return size.with_index(index, unit="pairs")


def _common_tests(size: Collected) -> list[Test]:
    """The test sets that every pair has, with questions of the same ids."""
    first, *others = size.pairs.values()
    common = [test for test in first.tests if all(test in pair.tests for pair in others)]
    return [test for test in common if len({_questions(size, pair, test.name) for pair in size.pairs}) == 1]


def _questions(size: Collected, pair: str, test: str) -> tuple[str, ...]:
    """The questions of a test set that a pair's runs have answered; none where none is finished."""
    answered = (size.prompts(run.run, test) for row in size.rows(pair) for run in row.finished)
    return tuple(next((questions for questions in answered if questions), []))
