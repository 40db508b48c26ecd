"""The micro world: problems, solutions, verifier, tokenizer and data files."""

import json
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from training.answers import is_correct
from training.errors import UserError
from world import tokenizer, write
from world.grammar import EVERYONE, FAMILIAR, HELD_OUT, LARGEST, Chain, Problem, retell, sample_problem
from world.settings import WorldData
from world.styles import Style, solve, solve_noisily
from world.verify import Verdict, verify

CHAIN = Chain(7, (("+", 5), ("-", 3)))
STORED = CHAIN.to_json()


def problems(number: int, ops: tuple[int, int] = (2, 6)) -> list[Problem]:
    rng = Random(3)
    return [sample_problem(rng, ops, EVERYONE) for _ in range(number)]


def test_chain_has_its_totals_and_survives_storage() -> None:
    assert CHAIN.totals == [12, 9]
    assert CHAIN.answer == 9
    assert Chain.from_json(json.loads(json.dumps(STORED))) == CHAIN


def test_question_tells_the_chain_in_order() -> None:
    for problem in problems(50):
        numbers = [int(word) for word in problem.question.split() if word.isdigit()]
        assert numbers == [problem.chain.start, *(n for _, n in problem.chain.ops)]
        assert problem.name in problem.question
        assert problem.object in problem.question


def test_all_numbers_are_tokens() -> None:
    for problem in problems(500):
        assert all(0 <= total <= LARGEST for total in problem.chain.totals)


def test_retold_problem_keeps_the_plot_only() -> None:
    problem = problems(1)[0]
    told = [retell(Random(i), problem, HELD_OUT) for i in range(20)]
    assert {(p.story, p.phrases) for p in told} == {(problem.story, problem.phrases)}
    assert {p.name for p in told} <= set(HELD_OUT.names)
    assert len({p.chain for p in told}) > 10


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("careful", "7 + 5 = 12 ; 12 - 3 = 9 ; #### 9"),
        ("terse", "7 + 5 = 12 - 3 = 9 ; #### 9"),
        ("short", "#### 9"),
    ],
)
def test_styles(style: Style, text: str) -> None:
    assert solve(CHAIN, style) == text
    assert is_correct(text, "9")


@pytest.mark.parametrize("style", get_args(Style))
def test_noise_of_zero_is_the_right_solution_and_noise_of_one_never_starts_right(style: Style) -> None:
    for i, problem in enumerate(problems(200)):
        assert solve_noisily(Random(i), problem.chain, style, 0.0) == solve(problem.chain, style)
        noisy = solve_noisily(Random(i), problem.chain, "careful", 1.0)
        assert verify(problem.chain.to_json(), noisy).reasoning < 1.0
        assert all(0 <= int(word) <= LARGEST for word in noisy.split() if word.isdigit())


def test_noise_is_the_rate_of_wrong_first_steps() -> None:
    chain = Chain(20, (("+", 4), ("-", 3)))
    texts = [solve_noisily(Random(i), chain, "careful", 0.25) for i in range(2000)]
    wrong = sum(not text.startswith("20 + 4 = 24 ;") for text in texts) / 2000
    assert wrong == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("text", "reasoning", "sound"),
    [
        ("7 + 5 = 12 ; 12 - 3 = 9 ; #### 9", 1.0, True),
        ("7+5=12\n12-3=9\n#### 9", 1.0, True),
        ("so 12 ; 7 + 5 = 12 ; 12 - 3 = 9 ; #### 9", 1.0, True),
        ("7 + 5 = 12 ; 12 - 3 = 9 ; #### 8", 1.0, False),
        ("7 + 5 = 12 ; 12 - 3 = 9 ;", 1.0, False),
        ("7 + 5 = 12 ; 12 - 3 = 9 ; #### 9 #### 9", 1.0, False),
        ("7 + 5 = 12 ; 2 + 2 = 5 ; 12 - 3 = 9 ; #### 9", 1.0, False),
        ("7 + 5 = 12 ; 2 + 2 = 4 ; 12 - 3 = 9 ; #### 9", 1.0, True),
        ("7 + 5 = 13 ; 13 - 3 = 10 ; #### 10", 0.0, False),
        ("12 - 3 = 9 ; #### 9", 0.5, False),
        ("12 - 3 = 9 ; 7 + 5 = 12 ; #### 9", 0.5, False),
        ("7 - 3 = 4 ; 4 + 5 = 9 ; #### 9", 0.0, False),
        ("7 + 5 = 12 - 3 = 9 ; #### 9", 0.0, False),
        ("12 ; 9 ; #### 9", 0.0, False),
        ("#### 9", 0.0, False),
        ("#### 9 ; 7 + 5 = 12 ; 12 - 3 = 9 ;", 0.0, False),
    ],
)
def test_verdicts(text: str, reasoning: float, sound: bool) -> None:
    assert verify(STORED, text) == Verdict(reasoning, sound)


def test_repeated_steps_count_as_often_as_they_are_required() -> None:
    chain = Chain(5, (("+", 3), ("-", 3), ("+", 3)))
    assert verify(chain.to_json(), solve(chain, "careful")) == Verdict(1.0, True)
    assert verify(chain.to_json(), "5 + 3 = 8 ; 8 - 3 = 5 ; #### 8").reasoning == pytest.approx(2 / 3)


def test_verifier_judges_garbage() -> None:
    rng, words = Random(0), [*tokenizer.vocabulary(), "=", "=", ";", "\n", "", "٣", "9" * 5000, "\x00"]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 30))) for _ in range(2000)]
    verdicts = [verify(STORED, text) for text in texts]
    assert all(0.0 <= verdict.reasoning <= 1.0 and not verdict.sound for verdict in verdicts)


def test_tokenizer_round_trips_without_unknown_words() -> None:
    built = tokenizer.build()
    for i, problem in enumerate(problems(200)):
        text = f"{problem.prompt} {solve_noisily(Random(i), problem.chain, get_args(Style)[i % 3], 0.3)}"
        ids = built(text)["input_ids"]
        assert built.decode(ids) == text
        assert built.unk_token_id not in ids
        assert len(ids) == len(text.split()) < tokenizer.LONGEST


def test_tokenizer_ids_and_unknown_words() -> None:
    built = tokenizer.build()
    assert (built.pad_token_id, built.eos_token_id, built.unk_token_id) == (0, 1, 2)
    assert built("zebra 7")["input_ids"] == [2, tokenizer.vocabulary()["7"]]
    assert built.get_vocab() == tokenizer.vocabulary()


def test_data_sets_have_no_chain_in_common() -> None:
    sets = write.data_sets(WorldData(train=400, validation=50, test=60))
    chains = [problem.chain for found in sets.values() for problem in found]
    assert {name: len(found) for name, found in sets.items()} == {
        "same": 60, "symbolic": 60, "longer": 60, "validation": 50, "train": 400,
    }  # fmt: skip
    assert len(set(chains)) == len(chains)


def test_tests_mirror_the_training_problems() -> None:
    sets = write.data_sets(WorldData(train=100, validation=20, test=40))
    assert {len(p.chain.ops) for p in sets["train"] + sets["same"]} == {2, 3, 4}
    assert {len(p.chain.ops) for p in sets["longer"]} == {5, 6}
    assert all(p.name in FAMILIAR.names and p.object in FAMILIAR.objects for p in sets["train"] + sets["longer"])
    for same, symbolic in zip(sets["same"], sets["symbolic"], strict=True):
        assert symbolic.phrases == same.phrases
        assert symbolic.story == same.story
        assert symbolic.name in HELD_OUT.names
        assert symbolic.object in HELD_OUT.objects


def test_files_are_equal_for_equal_seeds_and_sound(tmp_path: Path) -> None:
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        params = json.dumps({"seed": seed, "train": 30, "validation": 5, "test": 5})
        write.main(["--params", params, "--out", str(tmp_path / out)])
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {f"{n}.jsonl" for n in ("train", "validation", "same", "symbolic", "longer")}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()
        for line in (tmp_path / "a" / name).read_text().splitlines():
            row = json.loads(line)
            assert verify(row["chain"], row["solution"]) == Verdict(1.0, True)
            assert is_correct(row["solution"], row["answer"])
            assert row["prompt"] == f"{row['question']} answer :"
            assert row["id"].startswith(name.removesuffix("jsonl").rstrip(".") + "-")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ('{"trian": 3}', "train"),
        ('{"train": 0}', "train"),
        ('{"ops": [4, 2]}', "ranges"),
        ('{"ops": [2, 4], "longer": [4, 6]}', "longer"),
        ('{"train": 5000, "ops": [1, 1]}', "no new chain"),
        ('{"train": 5', "JSON"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path: Path, params: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        write.main(["--params", params, "--out", str(tmp_path)])
