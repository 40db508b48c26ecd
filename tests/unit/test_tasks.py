"""The task files: they load offline, cover every test set in both decodings, and score by the one extraction."""

import json

import pytest

from evaluation.generate import DECODINGS, TASKS, Generation, load_tasks
from evaluation.tasks.strict import every_response, process_results
from tests.unit.tiny_models import tiny_world
from training.errors import UserError
from world.write import TESTS

DOC = {"answer": "9"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def loaded(world):
    return load_tasks(Generation(tests=TESTS, prompts=8, samples=3, max_new_tokens=7), world)


def test_every_test_set_has_both_decodings_and_a_version(loaded):
    tasks, _ = loaded
    assert list(tasks) == [f"{test}_{decoding}" for test in TESTS for decoding in DECODINGS]
    assert {task.VERSION for task in tasks.values()} == {1.0}


def test_settings_reach_the_tasks(loaded):
    tasks, _ = loaded
    sampled, greedy = tasks["same_sampled"].config, tasks["same_greedy"].config
    assert (sampled.repeats, greedy.repeats) == (3, 1)
    assert sampled.generation_kwargs["temperature"] == 1.0
    assert sampled.generation_kwargs["do_sample"]
    assert not greedy.generation_kwargs["do_sample"]
    assert {c.generation_kwargs["max_gen_toks"] for c in (sampled, greedy)} == {7}


def test_documents_are_the_data_files_in_order(loaded, world):
    tasks, _ = loaded
    rows = [json.loads(line) for line in (world / "longer.jsonl").read_text().splitlines()]
    task = tasks["longer_sampled"]
    assert [doc["id"] for doc in task.eval_docs] == [row["id"] for row in rows]
    assert [task.doc_to_text(doc) for doc in task.eval_docs] == [row["prompt"] for row in rows]
    assert [task.doc_to_target(doc) for doc in task.eval_docs] == [row["answer"] for row in rows]


def test_nothing_is_left_in_a_cache(loaded):
    tasks, _ = loaded
    assert tasks["same_sampled"].dataset["test"].cache_files == []


@pytest.mark.parametrize(
    ("responses", "right", "marked"),
    [
        (["3 + 6 = 9 ; #### 9"], 1.0, 1.0),
        (["#### 9", "#### 8", "9", "#### 9 #### 9"], 0.25, 0.5),
        (["#### 9 because", "the answer is 9"], 0.0, 0.0),
    ],
)
def test_score_is_the_share_over_all_responses(responses, right, marked):
    assert process_results(DOC, [responses]) == {"exact_match": right, "extracted": marked}


def test_filter_keeps_every_repeat():
    assert every_response([["a", "b"], ["c", "d"]], None) == [["a", "b"], ["c", "d"]]


def test_unknown_test_set_is_named_with_its_neighbour(world):
    with pytest.raises(UserError, match=r"'simbolic'.*did you mean 'symbolic'"):
        load_tasks(Generation(tests=("simbolic",), prompts=1), world)


def test_too_few_rows_are_refused(world):
    with pytest.raises(UserError, match="has 8 rows, fewer than the 9 prompts"):
        load_tasks(Generation(tests=("same",), prompts=9), world)


def test_missing_data_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"same\.jsonl"):
        load_tasks(Generation(tests=("same",), prompts=1), tmp_path)


def test_decodings_share_one_definition():
    """They differ in how many responses there are, and how those are drawn."""
    own = [(TASKS / f"{decoding}.yaml").read_text() for decoding in DECODINGS]
    assert all(set(_keys(text)) == {"include", "task", "repeats", "generation_kwargs"} for text in own)


def _keys(text):
    return [line.split(":")[0] for line in text.splitlines() if not line.startswith((" ", "#"))]
