"""Every key of a size's file with its default and meaning, as docs/config.md shows them.

python -m study.keys > docs/config.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sources.catalogue import CATALOGUE
from study.config import Size
from study.devices import DEVICES
from training.folders import Setting, find_folders

HEAD = """# Keys of a size

A size is one file, `config/<size>.yaml`. These are all of its keys; an unknown one is refused with the nearest match.
This page is printed by `python -m study.keys`, from the definitions that the files are checked against.
"""
METHODS = """## Settings of the methods

Below `methods:`, by folder; a folder that is not listed has none. A list is a grid of runs. Every method also takes
`lr` (the learning rate, in place of `train.lr`) and `threshold` (a constraint of its own, as above).
"""
PROBLEMS = """## Published problems

What `problems.train` and `problems.tests` may name. A file is looked for below `data.root`, as its authors publish it;
without `data.root` the rows come from the hub, or are generated.
"""
CARDS = """## Cards

What `device` may name, and `DEVICE=` of preflight.
"""
BOUNDS = {"minimum": "≥ {:g}", "exclusiveMinimum": "> {:g}", "maximum": "≤ {:g}", "exclusiveMaximum": "< {:g}"}
NAMED = {"boolean": "`true`, `false`", "integer": "integer", "number": "number", "string": "text", "object": "mapping"}


def page() -> str:
    """The whole page as Markdown."""
    schema = Size.model_json_schema(by_alias=True)
    sections = [_section(name, model, schema["$defs"]) for name, model in _models(schema)]
    return "\n".join([HEAD, *sections, _methods(), _problems(), _cards()])


def _models(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The file itself and every mapping below it, each where it is first named."""
    waiting, seen = [("Size", schema)], {"Size"}
    while waiting:
        name, model = waiting.pop(0)
        yield name, model
        fresh = [found for found in dict.fromkeys(_named(model["properties"])) if found not in seen]
        seen.update(fresh)
        waiting[:0] = [(found, schema["$defs"][found]) for found in fresh]


def _named(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        if "$ref" in content:
            yield content["$ref"].rsplit("/", 1)[1]
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from _named(value)


def _section(name: str, model: dict[str, Any], models: dict[str, Any]) -> str:
    required = model.get("required", ())
    rows = [
        (f"`{key}`", _kind(field), "required" if key in required else _shown(field), _meaning(field, models))
        for key, field in model["properties"].items()
    ]
    return f"## {name}\n\n{' '.join(model['description'].split())}\n\n" + _table("key, value, default, meaning", rows)


def _meaning(field: dict[str, Any], models: dict[str, Any]) -> str:
    """What a key is for: its description, else the first sentence of the mapping that it takes."""
    if "$ref" not in field or "description" in field:
        return field.get("description", "")
    first: str = models[field["$ref"].rsplit("/", 1)[1]]["description"].split(".")[0]
    return " ".join(first.split())


def _shown(field: dict[str, Any]) -> str:
    """The default of a key; nothing where it is empty, or said by the key's own section."""
    return "" if "$ref" in field else _plain(field.get("default"))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(of)}" for key, of in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]" if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _kind(field: dict[str, Any]) -> str:
    """What a value may be."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_kind(choice) for choice in field["anyOf"] if choice.get("type") != "null")
    if "enum" in field:
        return _either(field["enum"])
    if "prefixItems" in field:
        return f"[least, most] of {_kind(field['prefixItems'][0])}"
    if "items" in field:
        return f"list of {_kind(field['items'])}"
    inside = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    if isinstance(inside[0], dict):
        return f"by name: {_kind(inside[0])}"
    bounds = [text.format(field[bound]) for bound, text in BOUNDS.items() if bound in field]
    return ", ".join([NAMED[field["type"]], *bounds])


def _methods() -> str:
    rows = [
        (f"`{name}`", f"`{key}`", _allowed(setting), _plain(setting.default), setting.help)
        for name, folder in sorted(find_folders().items())
        for key, setting in folder.declares.settings.items()
    ]
    return f"{METHODS}\n" + _table("method, key, value, default, meaning", rows)


def _allowed(setting: Setting) -> str:
    if setting.choices is not None:
        return _either(setting.choices)
    if isinstance(setting.default, bool):
        return NAMED["boolean"]
    bounds = (("≥ {:g}", setting.min), ("≤ {:g}", setting.max), ("< {:g}", setting.below))
    return ", ".join([NAMED["number"], *(text.format(value) for text, value in bounds if value is not None)])


def _problems() -> str:
    rows = []
    for name, data in CATALOGUE.items():
        files = dict.fromkeys(split.file for split in data.splits.values())
        trained = "no" if data.evaluate_only else "yes" if "train" in data.splits else "no training split"
        rows.append(
            (
                f"`{name}`",
                data.hub or ("generated by reasoning-gym" if data.generated else "none: files alone"),
                ", ".join(map("`{}`".format, files)),
                trained,
            )
        )
    return f"{PROBLEMS}\n" + _table("name, hub, files below `data.root`, to train on", rows)


def _cards() -> str:
    return f"{CARDS}\n" + _table("name, card", [(f"`{name}`", card.title) for name, card in DEVICES.items()])


def _either(choices: Iterable[Any]) -> str:
    return ", ".join(f"`{choice}`" for choice in choices)


def _table(heads: str, rows: Iterable[Sequence[str]]) -> str:
    columns = heads.split(", ")
    lines: list[Sequence[str]] = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
