"""How much memory and time a size takes, before anything is spent: formulas, with what they assume.

Memory counts what is held at once. Time is a roofline: arithmetic at a share of the card's peak, decoding bound by
reading the weights or by starting kernels. The constants are stated, not measured; where runs of the size have
finished, `study.preflight` puts their measured seconds in the place of the training's.
"""

from __future__ import annotations

from sources.architectures import Config
from sources.settings import SmolModel
from study.config import Evaluation
from study.devices import Device
from training.settings import TrainSettings

PROMPT = 300  # tokens of a prompt, chat template included: an allowance where the problems cannot be read
UTILISATION = 0.4  # of the card's peak in forward and backward passes
BANDWIDTH_SHARE = 0.6  # of the memory bandwidth while decoding
LAYER_S = 0.9e-3  # seconds that transformers needs to start the kernels of one layer, per decoded token
RESERVE = 1.5e9  # bytes of CUDA context and fragments
LOGIT_ROWS = 512  # tokens whose logits exist at a time, of student and teacher (training.chunks.LEAST_ROWS)
LOGITS = 2**24  # logits up to which all exist at once (training.chunks.TILE); in a tile they are never so many
LOGIT_COPIES = 10  # float32 tensors of that size in a forward and backward pass of a divergence
CORE = 5e10  # float32 operations a second that one core with AVX2 does in a product (measured)
SCORED = 4096  # padded tokens in a pass of the scores (evaluation.score)
HOUR = 3600.0


def bytes_per(dtype: str) -> int:
    """Bytes of one number."""
    return {"int8": 1, "bfloat16": 2}.get(dtype, 4)


def training_memory(student: Config, teacher: Config, train: TrainSettings, prompt: int = PROMPT) -> dict[str, float]:
    """Bytes by part on one card at the peak of a run: backward pass, optimiser's step, generation or monitor.

    `prompt`: tokens of the longest one, to which its update's others are padded.

    Several processes share the rows; each holds both models and the optimiser whole. A teacher in int8 is reckoned at
    a byte a weight, its output layer and embedding, which stay in `dtype`, apart.

    AdamW keeps two float32 moments and, under bfloat16, a float32 copy of the weights; for its step the gradients
    become float32 copies, which are given up after it. The monitor's prompts are answered and measured all at once.
    """
    weight, count = bytes_per(train.dtype), student.parameters()
    half = train.dtype == "bfloat16"
    kept: dict[str, float] = {
        "student": weight * count, "optimiser": (12 if half else 8) * count, "teacher": teacher_bytes(teacher, train),
    }  # fmt: skip
    questions, length = train.questions // train.processes, prompt + train.max_new_tokens
    rows, group = questions * train.samples, train.samples * length
    micro = min(train.micro_questions or questions, questions) * group
    micro = min(micro, max(train.micro_tokens or micro, group))
    own = 0 if half else 4 * count  # float32 gradients stay until the next update
    outer = (4 + weight) * student.vocab_size * student.hidden_size  # sum of its gradient, and a tile's part
    tile = 2 * weight * max(LOGITS, LOGIT_ROWS * student.vocab_size)
    stages: list[dict[str, float]] = [
        {"gradients": weight * count, "activations": activations(student, micro, train),
         "logits": tile + 4 * LOGIT_COPIES * LOGITS + outer},
        {"gradients": 4 * count},
        {"gradients": own, "cache": weight * cache_numbers(student) * rows * length},
        {"gradients": own, "monitor": monitor_bytes(student, teacher, train.monitor_prompts * length, weight)},
    ]  # fmt: skip
    peak = max(range(len(stages)), key=lambda number: sum(stages[number].values()))
    return {**kept, **stages[peak], "reserve": RESERVE}


def teacher_bytes(teacher: Config, train: TrainSettings) -> float:
    """Bytes of the teacher's weights in training."""
    weight, count = bytes_per(train.teacher_dtype or train.dtype), teacher.parameters()
    if train.teacher_dtype != "int8":
        return weight * count
    outer = teacher.vocab_size * teacher.hidden_size * (1 if teacher.tie_word_embeddings else 2)
    return weight * (count - outer) + bytes_per(train.dtype) * outer


def activations(config: Config, tokens: int, train: TrainSettings) -> float:
    """Bytes that a forward pass keeps: all of each layer, or its input and one layer with gradient checkpointing."""
    width = bytes_per(train.dtype)
    layer = layer_bytes(config, tokens, width)
    if not train.gradient_checkpointing:
        return config.num_hidden_layers * layer
    return config.num_hidden_layers * width * tokens * config.hidden_size + layer


def layer_bytes(config: Config, tokens: int, width: int) -> float:
    """Bytes of what one layer computes: per token 13 values of the hidden width and 4 of the intermediate one.

    As counted in bfloat16: 12 of the hidden width, since RMSNorm keeps float32 copies, and one for the attention mask,
    which has as many as the padded text is long. Attention is not materialised. In float32 it is 2 less.
    """
    return width * tokens * (13 * config.hidden_size + 4 * config.intermediate_size)


def reading_bytes(config: Config, tokens: int, width: int) -> float:
    """Bytes of one layer while tokens are read without gradient: 4 values of the hidden width, 3 of the other."""
    return width * tokens * (4 * config.hidden_size + 3 * config.intermediate_size)


def monitor_bytes(student: Config, teacher: Config, tokens: int, width: int) -> float:
    """Bytes while validation prompts are answered, or later, when both models read the answers."""
    scored = max(reading_bytes(model, tokens, width) for model in (student, teacher))
    return max(width * cache_numbers(student) * tokens, scored + 4 * LOGIT_COPIES * LOGITS)


def cache_numbers(config: Config) -> int:
    """Keys and values that one token leaves in the cache."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_width


def decoding_s(config: Config, rows: int, device: Device, weight: int) -> float:
    """Seconds for one token of each of `rows` responses."""
    reading = weight * config.parameters() / (BANDWIDTH_SHARE * device.bandwidth)
    arithmetic = 2 * config.parameters() * rows / (UTILISATION * device.peak)
    return max(reading, arithmetic, LAYER_S * config.num_hidden_layers)


def generation_memory(config: Config, rows: int, length: int, dtype: str, prompt: int) -> dict[str, float]:
    """Bytes by part while `rows` prompts of `prompt` tokens are read, or later, with responses grown to `length`."""
    weight = bytes_per(dtype)
    token = weight * cache_numbers(config) * rows
    held = {"weights": weight * config.parameters(), "logits": 8.0 * rows * config.vocab_size, "reserve": RESERVE}
    stages: list[dict[str, float]] = [
        {"cache": token * prompt, "activations": reading_bytes(config, rows * prompt, weight)},
        {"cache": token * length},
    ]
    return held | max(stages, key=lambda stage: sum(stage.values()))


def evaluation_memory(
    student: Config, teacher: Config, evaluate: Evaluation, prompt: int
) -> dict[str, dict[str, float]]:
    """Bytes by part of generating with the policy, with the teacher, and of scoring one against the other.

    Scores hold both models in `evaluate.dtype`. vLLM sizes its cache by what is free, so one row is reckoned.
    """
    weight, rows = bytes_per(evaluate.dtype), 1 if evaluate.engine == "vllm" else evaluate.batch
    length = prompt + evaluate.max_new_tokens
    found = {
        f"generate ({role})": generation_memory(model, rows, length, evaluate.dtype, prompt)
        for role, model in (("policy", student), ("teacher", teacher))
    }
    found["score"] = {
        "policy": weight * student.parameters(), "teacher": weight * teacher.parameters(),
        "activations": max(layer_bytes(model, max(SCORED, length), weight) for model in (student, teacher)),
        "logits": 4 * LOGIT_COPIES * LOGITS, "reserve": RESERVE,
    }  # fmt: skip
    return found


def fine_tuning_s(config: Config, recipe: SmolModel, prompt: float, device: Device) -> float:
    """Seconds of a fine-tuning on solutions of the longest length; at least what starting its kernels takes."""
    tokens = recipe.batch * (prompt + recipe.max_tokens)
    arithmetic = 6 * config.parameters() * tokens / (UTILISATION * device.peak)
    return recipe.sft_steps * max(arithmetic, 3 * LAYER_S * config.num_hidden_layers)


def update_s(
    student: Config, teacher: Config | None, train: TrainSettings, device: Device, prompt: float = PROMPT
) -> float:
    """Seconds of one update, every response at its longest; without a teacher its forward pass is left out.

    Processes work side by side; what they spend on telling each other gradients is left out.
    """
    rows = train.questions // train.processes * train.samples
    tokens = rows * (prompt + train.max_new_tokens)
    passes = (8 if train.gradient_checkpointing else 6) * student.parameters()
    passes += 2 * teacher.parameters() if teacher else 0
    generation = train.max_new_tokens * decoding_s(student, rows, device, bytes_per(train.dtype))
    return generation + passes * tokens / (UTILISATION * device.peak)


def generate_s(config: Config, tests: int, evaluate: Evaluation, device: Device) -> float:
    """Seconds to answer all test prompts, greedily and by sampling."""
    responses = tests * evaluate.prompts * (1 + evaluate.samples)
    batches = max(1.0, responses / evaluate.batch)
    return batches * evaluate.max_new_tokens * decoding_s(config, evaluate.batch, device, bytes_per(evaluate.dtype))


def score_s(
    student: Config, teacher: Config, tests: int, evaluate: Evaluation, device: Device, prompt: float = PROMPT
) -> float:
    """Seconds to measure the divergence of all responses."""
    tokens = tests * evaluate.prompts * (1 + evaluate.samples) * (prompt + evaluate.max_new_tokens)
    return 2 * (student.parameters() + teacher.parameters()) * tokens / (UTILISATION * device.peak)
