"""Whether this processor computes in bfloat16, or only imitates it. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from study.config import ModelSource, Size
from study.machine import processor

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # instruction sets of x86 and, the last, of ARM


def slow_bfloat16(size: Size) -> str | None:
    """One sentence where jobs on this CPU would compute in bfloat16 without its instructions; None otherwise.

    None as well where the instruction sets are not known (off Linux).
    """
    sets, keys = processor()[1], list(dict.fromkeys(_bfloat16_keys(size)))
    if not keys or not sets or BFLOAT16.intersection(sets):
        return None
    return (
        "this processor has no bfloat16 instructions, so products are emulated, 5 to 40 times slower than float32; set "
        f"dtype: float32 in {', '.join(keys)}"
    )


def _bfloat16_keys(size: Size) -> Iterator[str]:
    """Keys of the config under which a CPU would compute in bfloat16, given or by default."""
    for name, pair in size.pairs.items():
        train = size.train_of(name)
        for key in ("dtype", "teacher_dtype"):
            if getattr(train, key) == "bfloat16":
                of = f"pairs.{name}.train" if key in pair.train else "train"
                yield of if key == "dtype" else f"{of} (teacher_dtype)"
        for role, source in (("teacher", pair.teacher), ("student", pair.student)):
            if _tuned_in_bfloat16(source):
                yield f"pairs.{name}.{role}.smollm2"
    if size.evaluate.dtype == "bfloat16":
        yield "evaluate"
    for name, judge in size.judges.items():
        if judge.local is not None and judge.local.dtype == "bfloat16":
            yield f"judges.{name}.local"


def _tuned_in_bfloat16(source: ModelSource) -> bool:
    return source.smollm2 is not None and source.smollm2.dtype == "bfloat16" and source.smollm2.sft_steps > 0
