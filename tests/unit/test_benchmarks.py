"""The benchmarks: ratios and intervals by hand, both sides do the same work, the command writes its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import NAMES, PAGE, main
from benchmarks.divergence import SIDES, random_rollouts, sides
from benchmarks.page import Row, put, tables
from benchmarks.pairs import TINY, llama, problems
from benchmarks.parts import Bare, gpu_columns
from benchmarks.timing import Bench, Effort, alternate, ratio
from benchmarks.workflow import recorded, rows, training
from study.devices import DEVICES
from training.cost import Cost
from training.errors import UserError
from training.folders import find_folders
from training.prompt import encode
from training.rollout import generate
from world import tokenizer

BENCH = Bench(torch.device("cpu"), quick=True)


def test_the_interval_of_a_median_is_that_of_order_statistics() -> None:
    """Ten ratios 1..10: the 2nd to the 9th hold the median with 1 - 2 (1 + 10) / 2^10 (a table of the sign test)."""
    found = ratio([(float(i), 1.0) for i in range(1, 11)])
    assert (found.median, found.low, found.high, found.n) == (5.5, 2.0, 9.0, 10)
    assert found.level == pytest.approx(1 - 22 / 1024)


def test_few_rounds_give_their_range_at_the_level_it_has() -> None:
    found = ratio([(1.0, 2.0), (3.0, 2.0), (2.0, 2.0)])
    assert (found.median, found.low, found.high) == (1.0, 0.5, 1.5)
    assert found.level == pytest.approx(0.75)
    assert ratio([(1.0, 1.0)] * 6).level > 0.95, "six are enough"


def test_sides_alternate_and_the_first_rounds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(Bench, "effort", lambda self, worth: Effort(1, 2, 3, worth))
    found = alternate([lambda: order.append("a"), lambda: order.append("b")], BENCH, 1e9)
    assert order == ["a", "b"] * 4
    assert len(found) == 3, "at most so many, however much time is left"
    assert not Effort(1, 6, 40, 10.0).enough(5, 99.0), "never fewer than the least"
    assert Effort(1, 6, 40, 10.0).enough(6, 10.0)


@pytest.mark.parametrize(("target", "verdict"), [(4.0, "met"), (2.0, "undecided"), (0.5, "missed")])
def test_a_target_is_met_by_the_whole_interval(target: float, verdict: str) -> None:
    row = Row({"of": "this"}, [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)], target)
    assert row.cells() == {"of": "this", "ratio": "2.00 [1.00, 3.00]", "target": f"≤ {target:g}: {verdict}", "n": "3"}
    lines = tables([row, Row({"of": "that", "size": "8"}, [(1.0, 2.0)])]).splitlines()
    assert lines[0] == "| of | ratio | target | size | n |"
    assert lines[3] == "| that | 0.50 |  | 8 | 1 |"


def test_no_response_ends_early() -> None:
    words = tokenizer.build()
    prompts = [encode(words, problem["prompt"]) for problem in problems(64)]
    rollouts = generate(llama(TINY, BENCH, 1), words, prompts, TINY.length)
    assert (rollouts.lengths == TINY.length).all()
    assert not rollouts.finished.any()


def test_all_ways_of_the_divergence_give_one_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.chunks.TILE", 1)
    monkeypatch.setattr("training.chunks.LEAST_ROWS", 4)  # three tiles
    gradients = []
    for side in SIDES:
        ways = sides(3000, 2, 5, BENCH)
        getattr(ways, side)()
        gradients.append(torch.cat([p.grad.flatten() for p in ways.student.parameters() if p.grad is not None]))
    assert gradients[-1].abs().max() > 1e-8
    for ours in gradients[:-1]:
        torch.testing.assert_close(ours, gradients[-1], rtol=1e-3, atol=1e-8)
    assert random_rollouts(50, 2, 5, BENCH).lengths.tolist() == [5, 5]


@pytest.mark.parametrize(
    ("name", "parts"),
    [("cmdp", {"generate", "teacher", "student", "optimiser"}), ("grpo", {"generate", "student", "optimiser"}),
     ("seqkd", {"generate", "student", "optimiser"}), ("sft", {"student", "optimiser"})],
)  # fmt: skip
def test_a_bare_update_has_the_parts_of_its_method(name: str, parts: set[str]) -> None:
    folder = find_folders()[name]
    needs = folder.declares.needs
    method = folder.load()(folder.grid({}, name)[0], 0.2 if needs.threshold else None)
    bare = Bare(TINY, BENCH, 8, method, needs.teacher)
    before = bare.student.lm_head.weight.clone()
    bare.update()
    assert set(bare.spent) == parts
    assert not torch.equal(before, bare.student.lm_head.weight)
    assert (bare.sampler is bare.student) == (name != "seqkd")


def test_the_workflow_is_compared_with_its_jobs(tmp_path: Path) -> None:
    """Two jobs of 3 and 2 seconds, the first with two outputs; a wall time of 10."""
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "cost.json").write_text('{"wall_s": 1.5}')
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    log = "results/runs/one/train.log"
    for name, rule, place, start, end in (
        ("a", "train", [log], 10, 13), ("b", "train", [log], 10, 13), ("c", "score", ["x"], 13, 15),
        ("d", "all", [], None, None),
    ):  # fmt: skip
        record = {"rule": rule, "log": place, "starttime": start, "endtime": end}
        (metadata / name).write_text(json.dumps(record))
    done = recorded(metadata)
    trained = training(tmp_path / "runs", done)
    assert trained == [(3, 1.5)]
    assert [row.ratio.median for row in rows(done, 10.0, [(1.0, 10.0)], trained)][0::2] == [2.0, 0.1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_command_writes_results_and_its_part_of_the_page(dtype: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- trl cpu -->\nold\n<!-- end of trl cpu -->\nafter\n")
    main(["--quick", "--only", "trl", "--dtype", dtype, "--out", str(tmp_path / "out"), "--page", str(page)])
    measured = json.loads((tmp_path / "out" / "cpu" / "trl.json").read_text())
    assert [row["labels"]["ours / TRL"] for row in measured["rows"]] == [
        "grpo / GRPOTrainer",
        "gkd / DistillationTrainer",
    ]
    assert all(row["ratio"]["n"] == 2 and len(row["rounds"]) == 2 for row in measured["rows"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| gkd / DistillationTrainer | tiny | 8 |" in text


def test_the_share_of_a_cards_peak_is_of_bfloat16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.parts.find_device", lambda name, size: (DEVICES["h100_80gb"], "here"))
    cost = Cost(steps=2, tokens_generated=600, flops=2 * 0.25 * DEVICES["h100_80gb"].peak)
    half = gpu_columns(cost, 0.5, Bench(torch.device("cpu"), "bfloat16"))
    assert half == {"tokens/s": "600", "of the peak": "50.0%"}
    assert set(gpu_columns(cost, 0.5, Bench(torch.device("cpu")))) == {"tokens/s"}


def test_the_page_has_a_place_for_every_benchmark() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in NAMES:
        for device in ("cpu", "cuda"):
            assert text.count(f"<!-- {name} {device} -->") == text.count(f"<!-- end of {name} {device} -->") == 1


def test_mistakes_are_said_in_a_sentence(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(UserError, match="no place for 'trl cpu'"):
        put(page, "trl cpu", "text")
    with pytest.raises(UserError, match="no benchmark 'part'; did you mean 'parts'"):
        main(["--only", "part"])
    with pytest.raises(UserError, match="name another file with --page"):
        main(["--quick"])
