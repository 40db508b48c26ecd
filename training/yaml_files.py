"""Reading YAML without surprises: no code, no key given twice, and `1e-4` is a number.

PyYAML's safe loader makes no objects and runs no code, but lets the last of two equal keys win in silence and, after
YAML 1.1, reads `1e-4` as a text. Both are undone here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from training.errors import UserError


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key.value}' is given twice",
                                                        key.start_mark)  # fmt: skip
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # a number with an exponent but without a point or a sign, as YAML 1.2 has it
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path, where: str = "") -> Any:
    """The content of a YAML file; `UserError` names the file (as `where`), the place and the fault."""
    name = where or str(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); restore the file or correct the path") from error
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{name} is no readable YAML: {place}{error.problem or error.context}; correct it") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{name} is no readable YAML: {' '.join(str(error).split())}; correct it") from error
