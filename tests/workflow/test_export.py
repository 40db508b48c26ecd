"""An exported student answers as it did in the study, with the teacher's folder gone (claim C5)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.workflow.conftest import run_in


def test_an_exported_student_needs_no_teacher(smoke: Path, tmp_path: Path) -> None:
    done = run_in(
        smoke, "make", "export", "SIZE=smoke", "METHOD=cmdp", f"OUT={tmp_path / 'out'}", "--assume-old=.venv/ready"
    )
    assert done.returncode == 0, done.stderr
    (run,) = (smoke / "results" / "runs").glob("micro-cmdp-*")
    models, away = smoke / "results" / "models", smoke / "results" / "away"
    models.rename(away)  # teacher and untrained student are gone
    try:
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", use_safetensors=True).eval()
    finally:
        away.rename(models)
    (samples,) = run.glob("eval-*/samples.jsonl")
    rows = [row for row in map(json.loads, samples.open(encoding="utf-8")) if row["decoding"] == "greedy"][:3]
    assert len(rows) == 3
    for row in rows:
        ids = torch.tensor([tokenizer(row["prompt"])["input_ids"]])
        said = model.generate(ids, max_new_tokens=len(row["tokens"]), do_sample=False)[0, ids.shape[1] :]
        assert said.tolist() == row["tokens"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert run.name in card
    assert "license: apache-2.0" in card
