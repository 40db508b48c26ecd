"""Strict answer extraction."""

import pytest

from training.answers import extract, is_correct


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7 + 5 = 12 ; #### 12", "12"),
        ("so\n#### 1,234", "1234"),
        ("#### $5.00", "5"),
        ("#### -3.", "-3"),
        ("the answer is \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("first \\boxed{3} then \\boxed{4}", "4"),
        ("12", None),
        ("#### 12 apples", None),
        ("#### 3 #### 4", None),
        ("#### 1,2", None),
        ("\\boxed{1,2}", "1,2"),
        ("\\boxed{1,234,567.50}", "1234567.5"),
        ("####", None),
        ("\\boxed{3", None),
    ],
)
def test_extract(text: str, answer: str | None) -> None:
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("#### 10.0", "10"),
        ("\\boxed{1,200.00}", "1200"),
        ("#### 0.0", "0"),
        ("#### 007", "7"),
        ("#### 0.50", "0.5"),
        ("#### -0", "0"),
        ("#### .5", "0.5"),
        ("\\boxed{-00.50}", "-0.5"),
    ],
)
def test_spelling_of_a_number_does_not_matter(text: str, gold: str) -> None:
    assert is_correct(text, gold)


def test_a_wrong_answer_is_wrong() -> None:
    assert not is_correct("#### 8", "7")
