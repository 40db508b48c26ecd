"""Agreement of our final-answer correctness with lm-eval's own gsm8k and minerva_math scores of the same responses."""

from __future__ import annotations

import pytest

from tests.agreement import agreement, our_scores, shipped_scores, variants

PROBLEMS = [
    {
        "question": f"Ann has {n} pens and buys 3. How many now?",
        "answer": str(n + 3),
        "solution": f"{n} + 3.\n#### {n + 3}",
    }
    for n in (4, 9, 25)
]
BOXED = [p | {"solution": f"It is $\\boxed{{{p['answer']}}}$."} for p in PROBLEMS]


def _by_kind(problems, task, measure):
    """Per kind of response, the same for all problems: whether ours (strict) and their measure take it for right."""
    kinds = list(variants(problems[0]))
    given = [p for p in problems for _ in kinds]
    responses = [text for p in problems for text in variants(p).values()]
    ours, theirs = our_scores(given, responses)["strict"], shipped_scores(task, given, responses)[measure]
    (found,) = {
        tuple(zip(ours[i : i + len(kinds)], theirs[i : i + len(kinds)], strict=True))
        for i in range(0, len(ours), len(kinds))
    }
    return dict(zip(kinds, found, strict=True))


def test_the_gsm8k_task_differs_only_where_the_form_does():
    found = _by_kind(PROBLEMS, "gsm8k", "strict-match, exact_match")
    assert {kind for kind, (ours, theirs) in found.items() if ours > theirs} == {"boxed, right"}
    assert {kind for kind, (ours, theirs) in found.items() if ours < theirs} == {"#### and unit"}
    assert found["gold solution"] == (1, 1)


def test_flexible_extraction_takes_the_last_number_whatever_stands_around_it():
    found = _by_kind(PROBLEMS, "gsm8k", "flexible-extract, exact_match")
    more = {kind for kind, (ours, theirs) in found.items() if ours < theirs}
    assert {"sentence, right", "#### and unit"} <= more
    assert not {kind for kind, (_, theirs) in found.items() if theirs and "wrong" in kind}


@pytest.mark.parametrize(
    ("measure", "right"),
    [("none, exact_match", {"minerva's sentence, right"}), ("none, math_verify", {"gold solution", "boxed, right"})],
)
def test_the_minerva_task_has_two_forms_of_its_own(measure, right):
    found = _by_kind(BOXED, "minerva_math", measure)
    theirs = {kind for kind, (_, score) in found.items() if score}
    assert right <= theirs
    assert not {kind for kind in theirs if "wrong" in kind}


def test_agreement_is_a_table_and_kappa():
    assert agreement([1, 1, 0, 0], [1, 0, 0, 0]) == ((1, 1, 0, 2), pytest.approx(0.5))
