"""Generation through lm-eval: the trained sampler itself, exact tokens kept, the same bytes every time."""

import json

import pytest
import torch
from lm_eval.api.instance import Instance

from evaluation.generate import main
from evaluation.policy_lm import AlwaysWrongLM, AnswerKeyLM, PolicyLM, wrong_answer
from tests.unit.tiny_models import tiny_policy, tiny_world
from training.answers import extract, is_correct
from training.data import derive_seed
from training.errors import UserError
from training.models import load_policy, load_tokenizer
from training.prompt import encode
from training.rollout import generate

SETTINGS = {"tests": ["same", "longer"], "prompts": 5, "samples": 3, "batch": 4, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("generation")
    return tiny_world(root / "world"), tiny_policy(root / "policy", seed=0)


@pytest.fixture(scope="module")
def lm(folders):
    return PolicyLM(load_policy(folders[1]), load_tokenizer(folders[1]), batch=4, seed=0)


def run(folders, out, **changes):
    world, policy = folders
    params = json.dumps(SETTINGS | changes)
    main(["--params", params, "--data", str(world), "--policy", str(policy), "--out", str(out / "samples.jsonl")])
    return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]


def request(task, doc_id, prompt, sampled=True):
    settings = {"do_sample": sampled, "max_gen_toks": 12} | ({"temperature": 1.0} if sampled else {})
    doc = {"answer": "9", "solution": "3 + 6 = 9 ; #### 9"}
    return Instance("generate_until", doc, (prompt, settings), 0, (task, doc_id, 1))


def test_rows_cover_tests_decodings_prompts_and_samples(folders, tmp_path):
    rows = run(folders, tmp_path)
    keys = [(row["test"], row["decoding"], row["prompt_id"], row["sample"]) for row in rows]
    assert len(set(keys)) == len(keys) == 2 * 5 * (3 + 1)
    assert keys[:4] == [*[("same", "sampled", "same-0000", k) for k in range(3)], ("same", "sampled", "same-0001", 0)]
    assert rows[0]["chain"]["ops"]
    assert rows[0]["prompt"].startswith(rows[0]["question"])


def test_tokens_are_those_of_the_text_and_end_with_eos_when_finished(folders, tmp_path):
    tokenizer = load_tokenizer(folders[1])
    rows = run(folders, tmp_path)
    assert {row["finished"] for row in rows} == {True, False}
    for row in rows:
        assert tokenizer.decode(row["tokens"], skip_special_tokens=True) == row["response"]
        assert (row["tokens"][-1] == tokenizer.eos_token_id) == row["finished"]
        assert row["finished"] or len(row["tokens"]) == 12


def test_responses_end_at_another_models_ends_too(folders, tmp_path):
    """As those of an untrained student do at its teacher's."""
    teacher = tiny_policy(tmp_path / "teacher", seed=1)
    settings = json.loads((teacher / "generation_config.json").read_text())
    (teacher / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [1, *range(20, 60)]}))
    plain, rows = run(folders, tmp_path / "plain"), run(folders, tmp_path, ends_of=str(teacher))
    assert any(20 <= token < 60 for row in plain for token in row["tokens"][:-1])
    assert not any(20 <= token < 60 for row in rows for token in row["tokens"][:-1])
    assert {row["tokens"][-1] for row in rows if row["finished"]} & set(range(20, 60))


def test_the_same_call_gives_the_same_bytes(folders, tmp_path):
    run(folders, tmp_path / "one"), run(folders, tmp_path / "two")
    for name in ("samples.jsonl", "lm_eval.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_test_set_does_not_depend_on_what_is_evaluated_with_it(folders, tmp_path):
    together = [row for row in run(folders, tmp_path / "both") if row["test"] == "longer"]
    assert run(folders, tmp_path / "alone", tests=["longer"]) == together


def test_another_seed_gives_other_samples_and_the_same_greedy_responses(folders, tmp_path):
    zero, one = run(folders, tmp_path / "0"), run(folders, tmp_path / "1", seed=1)
    same = [a["tokens"] == b["tokens"] for a, b in zip(zero, one, strict=True)]
    assert all(equal for equal, row in zip(same, zero, strict=True) if row["decoding"] == "greedy")
    assert not all(same)


def test_lm_evals_own_score_is_that_of_the_kept_samples(folders, tmp_path):
    rows = run(folders, tmp_path, control="answer_key")
    summary = json.loads((tmp_path / "lm_eval.json").read_text())
    assert summary["versions"] == dict.fromkeys(summary["results"], 1.0)
    for task, result in summary["results"].items():
        test, decoding = task.split("_")
        kept = [is_correct(r["response"], r["answer"]) for r in rows if (r["test"], r["decoding"]) == (test, decoding)]
        assert result["exact_match,strict"] == sum(kept) / len(kept) == 1.0
        assert summary["n-samples"][task]["effective"] == 5


def test_the_always_wrong_control_is_well_formed_and_scores_nothing(folders, tmp_path):
    rows = run(folders, tmp_path, control="always_wrong")
    results = json.loads((tmp_path / "lm_eval.json").read_text())["results"].values()
    assert all(extract(row["response"]) is not None for row in rows)
    assert {(r["exact_match,strict"], r["extracted,strict"]) for r in results} == {(0.0, 1.0)}


def test_the_policy_samples_as_training_does(lm):
    prompts = ["Ann has 3 pens , how many now ? answer :"] * 4
    lm.generate_until([request("same_sampled", i, prompt) for i, prompt in enumerate(prompts)])
    torch.manual_seed(derive_seed(0, "evaluation", "same_sampled"))
    direct = generate(lm.model, lm.tokenizer, [encode(lm.tokenizer, prompt) for prompt in prompts], 12)
    expected = [row[keep].tolist() for row, keep in zip(direct.response, direct.mask, strict=True)]
    assert [sample.tokens for sample in lm.samples] == expected
    assert [sample.finished for sample in lm.samples] == direct.finished.tolist()


def test_responses_come_back_in_request_order_whatever_the_prompt_lengths(lm):
    prompts = [" ".join(["Ann"] * length) for length in (9, 2, 7, 3, 8, 1)]
    requests = [request("same_greedy", i, prompt, sampled=False) for i, prompt in enumerate(prompts)]
    forwards = lm.generate_until(requests)
    backwards = lm.generate_until(requests[::-1])
    assert forwards == backwards[::-1]
    assert len(set(forwards)) > 1


def test_each_task_is_reported_in_a_line(lm, capsys):
    lm.generate_until([request("a", 0, "Ann"), request("a", 0, "Ann"), request("b", 0, "Ann")])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("a: 2 responses to 1 prompts")
    assert first.endswith("(1 of 2)")
    assert second.startswith("b: 1 responses to 1 prompts")
    assert second.endswith("(2 of 2)")


def test_another_temperature_is_refused(lm):
    asked = request("same_sampled", 0, "Ann")
    asked.args[1]["temperature"] = 0.7
    with pytest.raises(ValueError, match=r"temperature 0\.7"):
        lm.generate_until([asked])


@pytest.mark.parametrize("control", [AnswerKeyLM, AlwaysWrongLM])
def test_controls_have_no_tokens_and_no_likelihoods(control):
    model = control()
    model.generate_until([request("same_sampled", 0, "Ann")])
    assert (model.samples[0].tokens, model.samples[0].finished) == ([], True)
    with pytest.raises(TypeError, match="generates only"):
        model.loglikelihood([])


@pytest.mark.parametrize("answer", ["9", "0", "-5", "1,000", "2.50", "12", "0.5", "\\frac{1}{2}", "x"])
def test_the_wrong_answer_is_never_right(answer):
    response = f"#### {wrong_answer(answer)}"
    assert extract(response) is not None
    assert not is_correct(response, answer)


def test_a_failed_run_gives_no_samples(folders, tmp_path, capsys):
    (tmp_path / "policy").mkdir()
    (tmp_path / "run.json").write_text('{"status": "failed", "why": "the loss is nan at step 3"}')
    rows = run((folders[0], tmp_path / "policy"), tmp_path)
    assert rows == []
    assert "the loss is nan at step 3" in capsys.readouterr().out


def test_a_policy_is_needed_unless_there_is_a_control(folders, tmp_path):
    with pytest.raises(UserError, match="--policy is missing"):
        main(["--params", json.dumps(SETTINGS), "--data", str(folders[0]), "--out", str(tmp_path / "s.jsonl")])


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ("{", "no JSON"),
        ('{"tests": ["same"], "promts": 3}', "unknown key 'promts'; did you mean 'prompts'"),
        ('{"tests": ["same"], "samples": 0}', "'samples' is 0"),
        ("nowhere.json", "neither JSON text nor a readable file"),
    ],
)
def test_wrong_params_are_one_sentence(folders, tmp_path, params, says):
    with pytest.raises(UserError, match=says):
        main(["--params", params, "--data", str(folders[0]), "--out", str(tmp_path / "samples.jsonl")])
    assert list(tmp_path.iterdir()) == []
