"""What can be known of a model without loading it: from its folder, from the hub, or as published.

Files are looked for in the folder, then in the hub's cache, then on the hub where it answers. Only small ones are ever
fetched. A model whose files are out of reach falls back on `sources/architectures.yaml`; `source` says which it was.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sources.architectures import Config, published
from sources.packages import weights
from sources.rows import endpoint
from study.config import SMOLLM2, ModelSource
from study.vocabulary import Vocabulary, made_here, read_vocabulary
from training.errors import UserError
from training.schema import parse

PATIENCE_S = 5.0
SMOLLM2_END = "<|im_end|>"  # also pads, by the package's file
RESHAPING = ("final_logit_softcapping", "logit_scale", "logits_scaling")  # of Gemma, Cohere and Granite


@dataclass(frozen=True)
class Facts:
    """A model as far as it is known; None or "" where it is not."""

    name: str
    source: str
    config: Config | None = None
    vocabulary: Vocabulary | None = None
    family: str = ""
    template: bool | None = None
    stops: tuple[int | str, ...] = ()
    license: str = ""
    gated: bool | None = None
    trouble: str = ""
    reshaping: str = ""  # the setting that caps or scales what the output layer gives
    template_text: str = ""
    pad: str | None = None  # "" where the tokenizer has none
    eos: str = ""
    tokenizer: Path | None = None  # its tokenizer.json


def facts(source: ModelSource) -> Facts:
    """Facts of a pair's student or teacher."""
    if source.smollm2 is not None:
        known = replace(
            _published(SMOLLM2), name="SmolLM2-135M-Instruct (package)", source="its package", trouble=_lacking()
        )
        assert known.config is not None
        layers = known.config.num_hidden_layers - len(set(source.smollm2.drop))
        cut = known.config.model_copy(update={"num_hidden_layers": layers})
        return replace(known, config=cut, pad=SMOLLM2_END, eos=SMOLLM2_END)
    if source.pretrained is not None:
        return pretrained_facts(source.pretrained)
    family = made_here(source)
    shape = published()[source.shadow.of] if source.shadow else None
    return Facts(
        f"shadow of {source.shadow.of}" if source.shadow else "world model", "made here", family=family or "",
        template=shape.template if shape else False, license="made here", gated=False,
        stops=tuple(shape.stops) if shape else ("<eos>",), pad="<pad>" if source.world else None,
    )  # fmt: skip


def _lacking() -> str:
    """Which of SmolLM2's packages is not installed here, with the remedy; "" where the weights are."""
    try:
        weights()
    except UserError as error:
        return str(error)
    return ""


def pretrained_facts(name: str) -> Facts:
    """Facts of a model by its folder or hub name."""
    if Path(name).is_dir():
        return _read(name, Facts(name, "folder", license="not stated in a folder", gated=False))
    known = _published(name)
    if not _reachable():
        found = _read(name, known)
        return replace(found, trouble=_offline(found))
    return _read(name, _asked(name, known))


def _published(name: str) -> Facts:
    known = published().get(name)
    if known is None:
        return Facts(name, "unknown")
    return Facts(
        name, "as published", known.config, None, known.family, known.template, tuple(known.stops), known.license,
        known.gated,
    )  # fmt: skip


@cache
def _reachable() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "") in {"1", "ON", "YES", "TRUE"}:
        return False
    try:
        with urllib.request.urlopen(f"{endpoint()}/api/models?limit=1", timeout=PATIENCE_S):
            return True
    except OSError:
        return False


def _offline(found: Facts) -> str:
    left = "its licence and gate" if found.vocabulary else "its files, licence and gate"
    return f"{endpoint()} is out of reach: {left} could not be checked"


def _asked(name: str, known: Facts) -> Facts:
    """Licence and gate as the hub states them now; `trouble` where the model cannot be read with this login."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name)
    except OSError as error:
        return replace(known, trouble=f"the hub does not give it ({str(error).splitlines()[0]})")
    card: dict[str, Any] = info.card_data.to_dict() if info.card_data else {}
    licence = str(card.get("license_name") or card.get("license") or known.license)
    trouble = "" if _file(name, "config.json") else f"gated: accept its licence at {endpoint()}/{name} and log in"
    return replace(known, source="hub", license=licence, gated=bool(info.gated), trouble=trouble)


def _file(name: str, file: str) -> Path | None:
    """A small file of a model, or None where it has none or it cannot be had."""
    if Path(name).is_dir():
        local = Path(name) / file
        return local if local.is_file() else None
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(name, file)
    if isinstance(cached, str):
        return Path(cached)
    if not _reachable():
        return None
    try:
        return Path(hf_hub_download(name, file))
    except OSError:
        return None


def _json(name: str, file: str) -> dict[str, Any]:
    path = _file(name, file)
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); restore the model's file") from error
    return content if isinstance(content, dict) else {}


def _read(name: str, known: Facts) -> Facts:
    """What the model's own files say, over what was known."""
    config, settings = _json(name, "config.json"), _json(name, "tokenizer_config.json")
    if not config:
        return known
    stops = _json(name, "generation_config.json").get("eos_token_id") or config.get("eos_token_id")
    tokenizer, template = _file(name, "tokenizer.json"), _template(name, settings)
    tokens = _json(name, "special_tokens_map.json") | settings
    text = config.get("text_config", config)
    vocabulary, eos = read_vocabulary(tokenizer) if tokenizer else None, _token(tokens, "eos_token")
    ends = [*(stops if isinstance(stops, list) else [stops]), vocabulary.ids.get(eos) if vocabulary else None]
    return replace(
        known,
        reshaping=next((setting for setting in RESHAPING if text.get(setting) not in (None, 1.0)), ""),
        source="folder" if Path(name).is_dir() else f"hub{'' if _reachable() else ', from the cache'}",
        config=_shape(text, config, name) or known.config,
        vocabulary=vocabulary,
        tokenizer=tokenizer,
        template=bool(template),
        template_text=template,
        pad=_token(tokens, "pad_token") if settings else None,
        eos=eos,
        stops=tuple(sorted({end for end in ends if end is not None})),  # as training.stops.stop_ids
    )


def _template(name: str, settings: Mapping[str, Any]) -> str:
    """The chat template's text: of its own file, which transformers prefers, else of the tokenizer's settings."""
    own = _file(name, "chat_template.jinja")
    if own is not None:
        return own.read_text(encoding="utf-8")
    given = settings.get("chat_template") or ""
    return given if isinstance(given, str) else json.dumps(given)  # several by name: only compared


def _token(tokens: Mapping[str, Any], key: str) -> str:
    """A control token's text, which may be wrapped with how it is stripped."""
    given = tokens.get(key)
    return str(given.get("content") or "" if isinstance(given, dict) else given or "")


def _shape(text: dict[str, Any], whole: dict[str, Any], name: str) -> Config | None:
    """The fields of a config.json that count; None for an architecture with other ones."""
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    values = {key: text[key] for key in Config.model_fields if key in text}
    values |= {
        "model_type": whole.get("model_type", ""),
        "rope_theta": rope.get("rope_theta", text.get("rope_theta", 0.0)),
    }
    values |= {"rope_scaling": rope or None}
    values.setdefault("tie_word_embeddings", bool(whole.get("tie_word_embeddings", False)))
    needed = {key for key, entry in Config.model_fields.items() if entry.is_required()}
    return parse(Config, values, f"{name}: config.json") if needed <= values.keys() else None
