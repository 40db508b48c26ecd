"""When two vocabularies agree: the same id is the same token wherever a text may hold it. Loads no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

Clash = tuple[int, str | None, str | None]  # id, the student's token, the teacher's token


def clashes(
    ours: Mapping[str, int], theirs: Mapping[str, int], special: Collection[str], used: Collection[int] = ()
) -> list[Clash]:
    """Ids whose meaning differs, in order of id; empty where a divergence of the two models means something.

    A control token (`special`, of either model) may be missing or have another name on the other side, as in
    Llama 3.2 with and without vision, unless its id is `used` by prompts or ends responses.
    """
    return [clash for clash in _differences(ours, theirs) if clash[0] in used or not _controls(clash, special)]


def renamed(ours: Mapping[str, int], theirs: Mapping[str, int]) -> int:
    """Number of ids whose tokens differ at all."""
    return sum(1 for _ in _differences(ours, theirs))


def _differences(ours: Mapping[str, int], theirs: Mapping[str, int]) -> Iterator[Clash]:
    if ours == theirs:
        return
    mine, other = ({number: token for token, number in ids.items()} for ids in (ours, theirs))
    for number in sorted(mine.keys() | other.keys()):
        if mine.get(number) != other.get(number):
            yield number, mine.get(number), other.get(number)


def _controls(clash: Clash, special: Collection[str]) -> bool:
    return all(token is None or token in special for token in clash[1:])
