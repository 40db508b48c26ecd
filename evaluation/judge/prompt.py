"""The judge's prompt, and the verdict in its reply.

The answers of policies are untrusted text. What is guaranteed: an answer cannot end its own fence (the fence is
named after a hash of the texts between the fences, and occurs in none of them), it cannot open a turn of the
conversation (the control tokens of chat templates are broken up), and a verdict is read from the judge's reply
only. Whether a judge nevertheless heeds an answer that instructs it is a property of that judge: it is measured.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from string import Template

TEMPLATE = Template(Path(__file__).with_name("prompt.md").read_text(encoding="utf-8"))
# Where control tokens begin: <|im_end|>, </s>, <<SYS>>, <think>, <｜User｜> (full-width bars), <0x0A>, [INST], [/INST],
# [control_8].
CONTROL = re.compile(r"<(?=[A-Za-z/|｜<!_]|0x[0-9A-Fa-f]+>)|\[(?=/?[A-Za-z_]\w*\])")
VERDICT = re.compile(r"Verdict:\s*(?:[Aa]nswer )?(A|B|[Tt]ie)")
MARKUP = re.compile(r"[*_`#>]")  # of a line in bold, quoted or in a heading


def judge_prompt(question: str, first: str, second: str) -> str:
    """The text given to the judge; `first` is called answer A, `second` answer B."""
    data = [inert(text) for text in (question, first, second)]
    return TEMPLATE.substitute(fence=fence(data), question=data[0], first=data[1], second=data[2])


def inert(text: str) -> str:
    """The text with a space inside everything that a chat template could take for a control token."""
    return CONTROL.sub(lambda found: found[0] + " ", text)


def fence(data: list[str]) -> str:
    """A line's beginning that occurs in none of the texts: it holds a hash of them all."""
    nonce = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:12]
    while any(nonce in text for text in data):
        nonce = hashlib.sha256(nonce.encode()).hexdigest()[:12]
    return f"=== {nonce}"


def verdict(reply: str) -> str | None:
    """A, B or tie; None unless exactly one line is a verdict and it is the last. Thinking does not count, and a reply
    that never came to the end of its thinking holds none.
    """
    said = reply.rpartition("</think>")[2]
    if "<think>" in said:
        return None
    lines = [MARKUP.sub("", line).strip(". ") for line in said.splitlines()]
    lines = [line for line in lines if line]
    found = [match[1].replace("Tie", "tie") for line in lines if (match := VERDICT.fullmatch(line))]
    return found[0] if len(found) == 1 and VERDICT.fullmatch(lines[-1]) else None
