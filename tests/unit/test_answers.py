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
        ("#### \\boxed{12}", "12"),
        ("#### **\\$1,200.00**", "1200"),
        ("#### $\\boxed{-5}$.", "-5"),
        ("#### 40\\%", "40"),
        ("#### \\boxed{x}", "x"),  # the mark has no number, so the box counts
        ("#### Step 1\nadd\n#### Step 2\nso \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("#### Step 1\nadd\n#### 5", None),
        ("#### 5\nno, \\boxed{6}", None),
        ("#### 5\n\\boxed{5}", None),
        ("#### 12 apples", None),
        ("#### 3 #### 4", None),
        ("#### 1,2", None),
        ("\\boxed{1,2}", "1,2"),
        ("\\boxed{1,234,567.50}", "1234567.5"),
        ("#### \uff11\uff12", None),  # full-width digits: 12 to the eye, another text to a comparison
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
        ("\\boxed{10080}", "10,\\!080"),
        ("\\boxed{10{,}080}", "10,\\!080"),
    ],
)
def test_spelling_of_a_number_does_not_matter(text: str, gold: str) -> None:
    assert is_correct(text, gold)


def test_a_wrong_answer_is_wrong() -> None:
    assert not is_correct("#### 8", "7")
