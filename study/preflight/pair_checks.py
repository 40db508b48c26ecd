"""What can be wrong with a pair of models, found before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

from study.config import Pair
from study.preflight.facts import Facts
from study.preflight.findings import Finding, Prompts, folder_fault, licence
from study.vocabulary import differing
from training.vocabulary import renamed


def folder_findings(name: str, pair: Pair) -> list[Finding]:
    """Folders that cannot be used, as planning refuses them too; nothing else is known of such a pair."""
    found = []
    for role, source in (("student", pair.student), ("teacher", pair.teacher)):
        if source.pretrained is not None and (fault := folder_fault(source.pretrained)):
            found.append(Finding("refused", f"{name}: {role}", "model", fault))
    return found


def pair_findings(name: str, student: Facts, teacher: Facts, prompt: Prompts, response: int) -> Iterator[Finding]:
    """Everything that decides whether the pair's divergence means something and its models can be had.

    `response`: tokens of its longest response, in training or evaluation.
    """
    yield _vocabularies(name, student, teacher)
    yield from _widths(name, student, teacher)
    yield _template(name, student, teacher)
    yield _stops(name, student, teacher)
    yield _pads(name, student, teacher)
    if student.config or teacher.config:
        text = (
            f"{prompt.longest:,} tokens at the longest ({prompt.training:,} in training), {prompt.mean:,.0f} on average"
        )
        yield Finding("note", name, "prompts", f"{text}: {prompt.source}")
    for role, model in (("student", student), ("teacher", teacher)):
        yield from _reshaped(name, role, model)
        yield from _context(f"{name}: {role}", model, response, prompt)
        yield licence(f"{name}: {role}", model)
    if student.name == teacher.name and student.source not in {"made here", "its package"}:
        yield Finding("warning", name, "models", "student and teacher are the same model: their divergence starts at 0")


def _vocabularies(name: str, student: Facts, teacher: Facts) -> Finding:
    what = "token ids"
    ours, theirs = student.vocabulary, teacher.vocabulary
    if ours and theirs:
        clashes = differing(ours, theirs)
        if clashes:
            number, mine, other = clashes[0]
            return Finding(
                "refused", name, what,
                f"{len(clashes)} ids mean different tokens (id {number}: {mine!r} and {other!r}), so a divergence "
                "over ids would compare unlike things; choose a pair with one tokenizer"
            )  # fmt: skip
        names = renamed(ours.ids, theirs.ids)
        unused = f"; {names} control tokens differ, which prompts must not use" if names else ""
        return Finding(
            "ok", name, what, f"the same {min(len(ours.ids), len(theirs.ids)):,} tokens on both sides{unused}"
        )
    if not student.family or not teacher.family:
        return Finding(
            "warning", name, what, "not checked: a tokenizer is out of reach; training checks before its first step"
        )
    if student.family != teacher.family:
        return Finding(
            "refused", name, what,
            f"tokenizers of {student.family} and {teacher.family}: the same id means different tokens, so a divergence "
            "over ids would compare unlike things; choose a pair with one tokenizer"
        )  # fmt: skip
    if {student.source, teacher.source} & {"as published", "unknown"}:
        return Finding(
            "note", name, what, f"one tokenizer ({student.family}) as published, not checked: files out of reach"
        )
    return Finding("ok", name, what, f"one tokenizer ({student.family})")


def _widths(name: str, student: Facts, teacher: Facts) -> Iterator[Finding]:
    if student.config is None or teacher.config is None:
        return
    ours, theirs = student.config.vocab_size, teacher.config.vocab_size
    width = min(ours, theirs)
    text = f"{ours:,} wide" if ours == theirs else f"{ours:,} and {theirs:,} wide: cut to {width:,} and renormalised"
    known = student.vocabulary or teacher.vocabulary
    beyond = [t for t, i in known.ids.items() if i >= width and t not in known.special] if known else []
    if beyond:
        yield Finding("refused", name, "logits", f"{text}, but {len(beyond)} tokens lie beyond, {beyond[0]!r} first")
    elif ours > theirs:
        drawn = "training draws no id that only the student has, an evaluation that does is refused"
        yield Finding("warning", name, "logits", f"{text}; {drawn}")
    else:
        yield Finding("ok", name, "logits", text)


def _template(name: str, student: Facts, teacher: Facts) -> Finding:
    if student.template is None:
        return Finding("warning", name, "chat template", "not known: the student's tokenizer is out of reach")
    if student.template and student.template_text and teacher.template_text not in {"", student.template_text}:
        text = "they differ: training and every policy use the student's, the teacher's own row its own"
        return Finding("note", name, "chat template", text)
    if student.template:
        return Finding("ok", name, "chat template", "the student's, for both")
    if teacher.template:
        text = "the student has none: both see plain text, though the teacher was taught in its template"
        return Finding("warning", name, "chat template", f"{text}; its own row uses it")
    return Finding("ok", name, "chat template", "none: both see plain text")


def _stops(name: str, student: Facts, teacher: Facts) -> Finding:
    ours, theirs = set(student.stops), set(teacher.stops)
    if not ours or not theirs:
        return Finding("warning", name, "end of response", "not known: no generation_config.json or EOS token in reach")
    shown = f"student {_plain(ours)}, teacher {_plain(theirs)}"
    if ours >= theirs:
        return Finding("ok", name, "end of response", shown)
    return Finding("note", name, "end of response", f"{shown}: the student is taught to stop at the teacher's too")


def _pads(name: str, student: Facts, teacher: Facts) -> Finding:
    """What fills rows up. Responses are told from padding by their length, so that an end may serve."""
    text = "; ".join(f"{role}: {_pad(model)}" for role, model in (("student", student), ("teacher", teacher)))
    known = student.pad is not None and teacher.pad is not None
    return Finding(("ok" if known else "note"), name, "pad token", text)


def _pad(model: Facts) -> str:
    if model.pad is None:
        return "not known"
    if not model.pad:
        return f"none, so EOS{f' ({model.eos})' if model.eos else ''} fills up, masked by position"
    number = model.vocabulary.ids.get(model.pad) if model.vocabulary else None
    if model.pad == model.eos or model.pad in model.stops or number in model.stops:
        return f"{model.pad}, which also ends a response, masked by position"
    return f"{model.pad}, its own"


def _plain(stops: set[int | str]) -> str:
    return " or ".join(str(stop) for stop in sorted(stops, key=str))


def _reshaped(name: str, role: str, model: Facts) -> Iterator[Finding]:
    if model.reshaping:
        text = f"'{model.reshaping}' changes what the output layer gives, from which divergences are computed"
        yield Finding("refused", f"{name}: {role}", "output layer", f"{text}; choose a model without it")


def _context(subject: str, model: Facts, response: int, prompt: Prompts) -> Iterator[Finding]:
    if model.config is None:
        return
    held, needed = model.config.max_position_embeddings, prompt.longest + response
    text = f"{held:,} tokens, {needed:,} needed ({prompt.longest:,} for a prompt)"
    if held >= needed:
        yield Finding("ok", subject, "context length", text)
    elif held < prompt.counted + response:
        yield Finding("refused", subject, "context length", text)
    else:  # it may do
        yield Finding("warning", subject, "context length", f"{text}, of which {prompt.counted:,} are counted")
