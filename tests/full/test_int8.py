"""A teacher with 8-bit weights, where torchao is installed (the extra `int8`)."""

from __future__ import annotations

from pathlib import Path

import torch

from tests import tiny
from tests.unit.tiny_models import tiny_policy
from training.batch import token_kl
from training.models import load_policy, load_teacher
from training.rollout import generate
from world.tokenizer import build


def test_a_teacher_in_int8_gives_almost_the_same_divergence(tmp_path: Path) -> None:
    folder, vocab = tiny_policy(tmp_path, seed=2, width=64), len(build())
    student, rolled = tiny.llama(1, vocab=vocab), tiny.rollouts([3, 3], [4, 6], vocab=vocab)
    for compute in ("float32", "bfloat16"):
        exact = token_kl(student, load_policy(folder, compute), rolled)["exact"]
        teacher = load_teacher(folder, "int8", compute)
        assert type(teacher.model.layers[0].mlp.up_proj.weight).__name__ == "Int8Tensor"
        assert type(teacher.get_output_embeddings().weight) is torch.nn.Parameter
        found = token_kl(student, teacher, rolled)["exact"]
        assert 0 < (found - exact).abs().sum() < 0.05 * exact.sum()
        torch.manual_seed(0)
        mixed = generate(student, build(), [[3, 4]], 4, teacher=teacher, teacher_mix=0.5)
        assert mixed.mask.any()
