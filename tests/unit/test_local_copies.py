"""Local copies with a fault: the data set, its file and the row are named. All rows here are made up."""

import json

import pytest

from sources import problems
from sources.catalogue import CATALOGUE
from tests.unit.test_sources import made_up, settings, write
from training.errors import UserError

GOOD = json.dumps(made_up("gsm8k", 1)[0])


@pytest.fixture
def root(tmp_path):
    """A folder with local copies of GSM8K and SVAMP."""
    for split, first in (("test", 0), ("train", 8)):
        write(tmp_path / "gsm8k" / f"{split}.jsonl", made_up("gsm8k", 8, first))
    write(tmp_path / "svamp" / "SVAMP.json", made_up("svamp", 8))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no list of rows; restore the file from its origin"),
        (GOOD + '\n\n{"question": "', r"test\.jsonl, line 3: no valid JSON \(Unterminated string"),
        (f'{{"question": {"9" * 5000}}}', r"test\.jsonl, line 1: no valid JSON \(Exceeds the limit"),
        ("[" * 100_000, r"test\.jsonl, line 1: no valid JSON \(maximum recursion depth"),
        (GOOD + "\n{}", r"test\.jsonl, row 2: it is not in its published form \(KeyError: 'answer'\)"),
        (
            '{"question": null, "answer": null}',
            r"^data set 'gsm8k', split 'test', .*, row 1: it is not in its published",
        ),
    ],
)
def test_a_broken_file_is_named_with_the_place(root, text, sentence):
    (root / "gsm8k" / "test.jsonl").write_text(text)
    with pytest.raises(UserError, match=sentence):
        problems.usable_problems(CATALOGUE["gsm8k"], "test", str(root))


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, '[{"ID": "chal-1"'])
def test_a_file_that_is_one_value_is_named(root, text):
    (root / "svamp" / "SVAMP.json").write_text(text)
    with pytest.raises(UserError, match=r"SVAMP\.json: no valid JSON \(.*\); restore the file from its origin"):
        problems.usable_problems(CATALOGUE["svamp"], "test", str(root))


def test_a_missing_file_is_named(root):
    (root / "gsm8k" / "test.jsonl").unlink()
    with pytest.raises(UserError, match=r"no file .*gsm8k/test\.jsonl.*leave `data.root` out"):
        problems.check_all(settings(root))


def test_a_byte_order_mark_is_no_part_of_the_data(root):
    path = root / "gsm8k" / "test.jsonl"
    expected = problems.usable_problems(CATALOGUE["gsm8k"], "test", str(root))
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert problems.usable_problems(CATALOGUE["gsm8k"], "test", str(root)) == expected


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"ID": "made-201"}, "its id 'svamp-made-201' is that of row 1 too; give each row its own"),
        ({"Body": " ", "Question": ""}, "its question is blank; correct or remove the row"),
        (
            {"Body": "Ann \ud800"},
            r"its question holds '\\ud800', half of a character, which no tokenizer reads; correct",
        ),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(root, changed, sentence):
    rows = made_up("svamp", 8)
    write(root / "svamp" / "SVAMP.json", [*rows[:2], {**rows[2], **changed}])
    with pytest.raises(UserError, match=rf"^data set 'svamp', split 'test', .*/SVAMP\.json, row 3: {sentence}"):
        problems.usable_problems(CATALOGUE["svamp"], "test", str(root))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [({"answer": 7}, "its answer is 7, but must be a text"), ({"unique_id": " "}, "its id is blank")],
)
def test_what_is_no_name_or_no_answer_is_named(root, changed, sentence):
    write(root / "math500" / "test.jsonl", [{**made_up("math500", 1)[0], **changed}])
    with pytest.raises(UserError, match=f"row 1: {sentence}"):
        problems.usable_problems(CATALOGUE["math500"], "test", str(root))


def test_a_test_set_asks_more_than_one_question(root):
    """Of a training set each question counts once anyway."""
    write(root / "gsm8k" / "test.jsonl", made_up("gsm8k", 1) * 8)
    with pytest.raises(UserError, match=r"gsm8k/test\.jsonl: all 8 questions are the same, 'Ann has 1,200 nuts"):
        problems.data_sets(settings(root))
