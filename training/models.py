"""Loading policies and tokenizers from ordinary Hugging Face folders (or names, where a hub is reachable)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from training.budget import Budget, saved
from training.errors import UserError
from training.model_folder import TokenizerRead, check_model
from training.prompt import encode
from training.vocabulary import clashes

UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, RuntimeError, SafetensorError,
              StrictDataclassError)  # fmt: skip
LONGEST = 200  # characters of a reason
# On Hopper torch 2.11 and later prefer cuDNN's attention. With a mask its backward pass gives NaN at some lengths
# (pytorch issue 196678), and it plans anew for every length that the cache grows to; the other kernels do neither.
torch.backends.cuda.enable_cudnn_sdp(False)


def default_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """Tokenizer with left padding; pad falls back to EOS where the model defines no pad token.

    Raises `UserError` where the folder or name holds no readable tokenizer.
    """
    check_model(str(path), weights=False)
    try:
        with TokenizerRead(path):
            tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except UNREADABLE as error:
        raise _unreadable("tokenizer", path, error) from error
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(path: str | Path, dtype: str = "float32", device: torch.device | None = None) -> PreTrainedModel:
    """A causal language model in eval mode (dropout off), from safetensors only.

    Of a model for text and images (Mllama) the text path is read. Raises `UserError` where the folder or name holds
    no readable model, or not all of its weights, or one whose logits are not what its output layer gives.
    """
    check_model(str(path), tokenizer=False)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=getattr(torch, dtype), trust_remote_code=False, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    except UNREADABLE as error:
        raise _unreadable("model", path, error) from error
    absent = sorted(report["missing_keys"])
    if absent:  # they would be random numbers
        raise UserError(f"'{path}' lacks {len(absent)} weights of its model, {absent[0]} first; restore the folder")
    model = model.to(device or default_device()).eval()
    model.generation_config = ends_alone(model.generation_config)
    _check_logits(model, path)
    _read_budget(model, Path(path), dtype)
    return model


def ends_alone(declared: GenerationConfig) -> GenerationConfig:
    """What a model's generation settings say of beginning, end and padding.

    transformers lets all others (min_p, suppressed tokens, beams ...) change what is sampled: another policy than the
    one whose probabilities are trained and measured.
    """
    kept = ("bos_token_id", "eos_token_id", "pad_token_id")
    return GenerationConfig(**{name: getattr(declared, name) for name in kept})


def head(model: PreTrainedModel) -> nn.Linear:
    """The output projection from hidden states to logits."""
    return model.get_output_embeddings()


def shared_width(*models: PreTrainedModel) -> int:
    """How many token ids all of these have; models of one family may pad their output to different widths."""
    return min(len(head(model).weight) for model in models)


def decoder(model: PreTrainedModel) -> nn.Module:
    """The layers below the output projection. Mllama's text model calls itself its decoder, and its layers `model`."""
    found = model.get_decoder()
    return model.model if found is model else found


@torch.no_grad()
def _check_logits(model: PreTrainedModel, path: str | Path) -> None:
    """Divergences are computed from hidden states, so nothing may follow the output layer (as Gemma 2's cap does)."""
    ids = torch.arange(2, device=model.device)[None]
    logits = model(input_ids=ids, use_cache=False).logits
    layer = head(model)
    if isinstance(layer, nn.Linear):
        expected = layer(decoder(model)(input_ids=ids, use_cache=False).last_hidden_state)
        if torch.allclose(logits.float(), expected.float(), rtol=0.01, atol=0.01):
            return
    raise UserError(
        f"the logits of '{path}' ({type(model).__name__}) are not what its output layer gives (they are capped or "
        "scaled, say), so its divergence would be another policy's; choose a model without that"
    )


def load_teacher(path: str | Path, dtype: str, compute: str) -> PreTrainedModel:
    """A teacher without gradients. `dtype` may be int8: 8-bit weights, arithmetic in `compute`.

    The weights are rounded by torchao, each output of a layer with a scale of its own. The output layer stays as it
    is: probabilities are most sensitive to it. Raises `UserError` as `load_policy`.
    """
    model = load_policy(path, compute if dtype == "int8" else dtype).requires_grad_(False)
    if dtype == "int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        output = head(model)
        quantize_(model, Int8WeightOnlyConfig(), lambda part, name: isinstance(part, nn.Linear) and part is not output)
    return model


def _read_budget(model: PreTrainedModel, path: Path, dtype: str) -> None:
    """Let a policy that was trained to read its budget read it; it cannot without its teacher."""
    try:
        found = saved(path)
    except UNREADABLE as error:
        raise _unreadable("budget", path, error) from error
    if found is None:
        return
    vector, d, reading, teacher = found
    try:
        held = load_policy(teacher, dtype, model.device).requires_grad_(False)
    except UserError as error:
        raise UserError(f"'{path}' reads its budget, so it needs its teacher at every token, but {error}") from error
    with torch.no_grad():
        Budget(model, held, d, reading).vector.copy_(vector)


@contextmanager
def recomputing(model: PreTrainedModel) -> Iterator[None]:
    """Within, a forward pass with gradient keeps the inputs of each layer only, where the model was set to do so.

    transformers asks a layer's `training` flag for it. The flag is set on the layers alone, so dropout below stays off,
    and only within: generation needs its cache.
    """
    wanted = model.is_activation_checkpointing and torch.is_grad_enabled()
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)] if wanted else []
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def _unreadable(what: str, path: str | Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
    return UserError(f"no {what} can be read from '{path}': {reason}; check the path or name")


def check_same_vocabulary(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> None:
    """Refuse a pair whose token ids mean different things: their divergence would be meaningless."""
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if ours == theirs:
        return
    special = {str(t) for tokenizer in (student, teacher) for t in tokenizer.added_tokens_decoder.values() if t.special}
    used = {*encode(student, "1"), student.eos_token_id}
    found = clashes(ours, theirs, special, used)
    if not found:
        return
    number, mine, other = found[0]
    raise UserError(
        f"teacher and student have different vocabularies ({len(theirs)} and {len(ours)} tokens; first difference: "
        f"id {number} is token {mine!r} of the student and {other!r} of the teacher); choose a pair that shares one "
        "tokenizer"
    )
