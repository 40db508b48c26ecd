"""What vLLM is asked for, and what becomes of its answers: against a stand-in (the real one: tests/full)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from safetensors.torch import save_file

from evaluation.generate import main
from evaluation.vllm_lm import VllmLM, unserved
from study.plan import make_plan
from tests.unit.tiny_models import tiny_policy, tiny_world
from tests.unit.vllm_standin import OTHER_STOP, vllm  # noqa: F401 (a fixture)
from training.data import derive_seed
from training.errors import UserError
from training.model_folder import BUDGET
from training.models import load_policy, load_tokenizer
from training.stops import declared_stops, stop_ids


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny policy that declares a second token as an end."""
    folder = tiny_policy(tmp_path_factory.mktemp("vllm") / "policy", seed=0)
    settings = folder / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"eos_token_id": [1, OTHER_STOP]}))
    return folder


def request(task: str, place: int, prompt: str, sampled: bool = True) -> Instance:
    settings: dict[str, Any] = {"do_sample": sampled, "max_gen_toks": 12}
    return Instance("generate_until", {}, (prompt, settings | ({"temperature": 1.0} if sampled else {})), 0,
                    (task, place, 1))  # fmt: skip


@pytest.mark.usefixtures("vllm")
def test_the_whole_distribution_is_asked_for_and_nothing_else_of_vllm(policy: Path) -> None:
    lm = VllmLM(str(policy), batch=4, seed=3, dtype="bfloat16")
    chosen = ("dtype", "max_num_seqs", "trust_remote_code", "skip_tokenizer_init", "generation_config")
    assert [lm.served.llm.settings[key] for key in chosen] == ["bfloat16", 4, False, True, "vllm"]
    lm.generate_until([request("a_sampled", 0, "Ann has"), request("a_sampled", 0, "Ann has")])
    first, second = map(vars, lm.served.llm.asked)
    assert first | {"seed": 0} == {
        "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_tokens": 12, "detokenize": False,
        "stop_token_ids": [1, OTHER_STOP], "seed": 0,
    }  # fmt: skip
    assert [first["seed"], second["seed"]] == [derive_seed(3, "evaluation", "a_sampled", place) for place in (0, 1)]
    lm.generate_until([request("a_greedy", 0, "Ann has", sampled=False)])
    assert (lm.served.llm.asked[-1].temperature, lm.served.llm.asked[-1].seed) == (0.0, None)


@pytest.mark.usefixtures("vllm")
def test_the_very_tokens_are_kept_in_request_order(policy: Path) -> None:
    lm = VllmLM(str(policy))
    texts = lm.generate_until([request("a_sampled", 0, "Ann has 3"), request("a_sampled", 1, "3 pens")])
    ids = [lm.served.tokenizer(text)["input_ids"][::-1] for text in ("Ann has 3", "3 pens")]
    assert [sample.tokens for sample in lm.samples] == [[*ids[0], OTHER_STOP], ids[1]]
    assert [sample.finished for sample in lm.samples] == [True, False]
    assert texts == lm.served.tokenizer.batch_decode([sample.tokens for sample in lm.samples], skip_special_tokens=True)


def test_a_policy_ends_where_transformers_ends_it(policy: Path, tmp_path: Path) -> None:
    plain = tiny_policy(tmp_path / "policy", seed=0)
    (plain / "generation_config.json").unlink()
    for folder, expected in ((policy, [1, OTHER_STOP]), (plain, [1])):
        tokenizer = load_tokenizer(folder)
        assert declared_stops(str(folder), tokenizer) == stop_ids(load_policy(folder), tokenizer) == expected


@pytest.mark.usefixtures("vllm")
def test_an_untrained_student_ends_at_the_teachers_ends_too(policy: Path) -> None:
    assert VllmLM(str(policy), ends=[4]).served.sampling(5, None).stop_token_ids == [1, 4, OTHER_STOP]


@pytest.mark.usefixtures("vllm")
def test_a_response_beyond_the_context_is_refused(policy: Path) -> None:
    with pytest.raises(UserError, match=r"needs 21 tokens .* a context of 20; lower evaluate\.max_new_tokens"):
        VllmLM(str(policy)).generate_until([request("a_sampled", 0, " ".join(["pens"] * 9))])


@pytest.mark.usefixtures("vllm")
def test_a_policy_that_vllm_cannot_load_is_one_sentence(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**settings: Any) -> None:
        raise ValueError("no room\nfor the cache")

    monkeypatch.setattr(sys.modules["vllm"], "LLM", refuse)
    with pytest.raises(UserError, match=r"vLLM cannot load '.*': no room for the cache; set evaluate.engine"):
        VllmLM(str(policy))


def test_without_vllm_one_sentence_says_what_to_do(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"cannot be imported here .*--use-conda.* VLLM_PYTHON .*environment-vllm\.yml"):
        unserved(str(policy))


@pytest.mark.usefixtures("vllm")
def test_an_unknown_architecture_is_left_to_transformers(policy: Path, tmp_path: Path) -> None:
    assert unserved(str(policy)) is None
    config = json.loads((policy / "config.json").read_text()) | {"architectures": ["Strange"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert unserved(str(tmp_path)) == "vLLM has no model Strange"


@pytest.mark.usefixtures("vllm")
def test_a_policy_that_reads_its_budget_is_left_to_transformers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, saute = tiny_policy(tmp_path / "teacher", seed=1), tiny_policy(tmp_path / "policy", seed=0)
    facts = {"facts": json.dumps({"d": 0.2, "reading": "mean", "teacher": str(teacher)})}
    save_file({"vector": torch.zeros(16)}, saute / BUDGET, facts)
    settings = {"tests": ["same"], "prompts": 2, "samples": 1, "max_new_tokens": 4}
    for engine in ("vllm", "transformers"):
        main(["--params", json.dumps(settings | {"engine": engine}), "--data", str(tiny_world(tmp_path / "world")),
              "--policy", str(saute), "--out", str(tmp_path / engine / "samples.jsonl")])  # fmt: skip
    said = [line for line in capsys.readouterr().out.splitlines() if "budget" in line]
    assert said == [f"{saute}: it reads its budget at every token, which vLLM cannot tell it; "
                    "transformers generates its responses"]  # fmt: skip
    one, two = ((tmp_path / engine / "samples.jsonl").read_bytes() for engine in ("vllm", "transformers"))
    assert one == two


def test_the_default_engine_and_controls_leave_no_trace_in_ids() -> None:
    plan = make_plan("smoke")
    runs = {run.method: run.id for run in plan.runs.values()}
    assert all("engine" not in plan.evaluation(run)[1] for run in plan.runs)
    before = {method: plan.evaluation(run)[0] for method, run in runs.items()}
    changed = plan.size.evaluate.model_copy(update={"engine": "vllm"})
    plan.size = plan.size.model_copy(update={"evaluate": changed})
    assert plan.evaluation(runs["cmdp"])[1]["engine"] == "vllm"
    assert plan.evaluation(runs["cmdp"])[0] != before["cmdp"]
    assert plan.evaluation(runs["answer_key"])[0] == before["answer_key"]
