"""The second reading of an answer: the strict one's verdict on integers, math-verify's on the rest."""

import subprocess
import sys

import pytest

from evaluation.equivalence import is_equivalent, same_value
from training.answers import is_correct

INTEGERS = [-12, -1, 0, 1, 7, 9, 19, 60, 1000]


@pytest.mark.parametrize(
    ("response", "gold", "equal"),
    [
        ("\\boxed{\\frac12}", "\\frac{1}{2}", True),
        ("\\boxed{0.5}", "\\frac{1}{2}", True),
        ("#### 0.5", "\\frac{1}{2}", True),
        ("\\boxed{1+x}", "x+1", True),
        ("\\boxed{2\\sqrt2}", "\\sqrt{8}", True),
        ("\\boxed{(2,1)}", "(1,2)", False),
        ("\\boxed{3}", "\\frac{1}{2}", False),
        ("\\boxed{\\frac{6}{2}}", "3", True),
        ("\\boxed{\\frac{6}{2}}", "4", False),
        ("\\boxed{}{}", "2", False),
        ("the answer is \\frac12", "\\frac{1}{2}", False),
    ],
)
def test_value_counts_and_the_mark_is_still_needed(response, gold, equal):
    assert is_equivalent(response, gold) == equal


@pytest.mark.parametrize("form", ["3 + 4 = 7 ; #### {}", "\\boxed{{{}}}", "{}", "#### {} pens", "#### {0} #### {0}"])
def test_both_readings_agree_on_whole_numbers(form):
    for found in INTEGERS:
        for gold in INTEGERS:
            response = form.format(found)
            assert is_equivalent(response, str(gold)) == is_correct(response, str(gold))


def test_math_verify_itself_agrees_on_whole_numbers():
    pairs = [(7, 7), (7, 9), (-1, 1), (0, 0), (19, 9), (60, 60)]
    assert [same_value(str(a), str(b)) for a, b in pairs] == [a == b for a, b in pairs]


def test_whole_numbers_do_not_load_math_verify():
    code = (
        "import sys; from evaluation.equivalence import is_equivalent as e; "
        "assert e('#### 7', '7') and not e('#### 8', '7') and 'math_verify' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
