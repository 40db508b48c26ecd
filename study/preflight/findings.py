"""What preflight says, line by line, and what several of its checks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from study.preflight.facts import Facts
from training.errors import UserError
from training.model_folder import check_model

Level = Literal["ok", "note", "warning", "refused"]


@dataclass(frozen=True)
class Prompts:
    """Tokens of a pair's prompts, chat template included: the longest of all and in training, the mean, and whence.

    `counted`: how many of the longest one's are no allowance, but counted by the tokenizer.
    """

    longest: int
    training: int
    mean: float
    source: str
    counted: int = 0


@dataclass(frozen=True)
class Finding:
    """One line of the table: how grave, about whom, what was looked at, what was found."""

    level: Level
    subject: str
    what: str
    found: str


def folder_fault(name: str) -> str:
    """What is wrong with a model folder or hub name; "" where nothing is."""
    try:
        check_model(name)
    except UserError as error:
        return str(error)
    return ""


def licence(subject: str, model: Facts) -> Finding:
    """Under what terms a model can be had."""
    gate = {True: ", gated: accept its licence on the hub and log in", False: "", None: ", gate not known"}
    text = f"{model.name} ({model.source}): {model.license or 'not known'}{gate[model.gated]}"
    if model.trouble:
        return Finding("warning", subject, "licence, gate", f"{text}; {model.trouble}")
    return Finding(("note" if model.gated else "ok"), subject, "licence, gate", text)
