"""Word problems: a story around a chain of small additions and subtractions.

A problem is a *plot* (which story, which events, in which order), a *cast* (a name, an object) and a
*chain* (the numbers). GSM-Symbolic keeps the plot of a problem and samples cast and numbers anew;
`retell` does the same here. Every number of a problem, results included, lies in 0..LARGEST, so that
each is one token.
"""

from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

LARGEST = 60
LARGEST_STEP = 6
STARTS = (3, 20)
SIGNS = ("+", "-")
PROMPT = "{question} answer :"


class Cast(NamedTuple):
    """Names and objects that problems are told with."""

    names: tuple[str, ...]
    objects: tuple[str, ...]


FAMILIAR = Cast(
    ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Iris", "Jon", "Kim", "Leo"),
    ("pens", "books", "coins", "apples", "shells", "cards", "stones", "eggs", "plums", "keys", "cups", "hats"),
)
HELD_OUT = Cast(
    ("Mia", "Ned", "Olga", "Paul", "Rosa", "Sam"),
    ("stamps", "nuts", "rings", "figs", "bells", "kites"),
)
EVERYONE = Cast(FAMILIAR.names + HELD_OUT.names, FAMILIAR.objects + HELD_OUT.objects)


@dataclass(frozen=True)
class Story:
    """Sentences with the fields {name}, {object}, {n}; one phrase per event, by its sign."""

    opening: str
    closing: str
    events: dict[str, tuple[str, ...]]


STORIES = (
    Story(
        "{name} has {n} {object} ,",
        "how many now ?",
        {"+": ("finds {n} ,", "gets {n} ,", "wins {n} ,"), "-": ("loses {n} ,", "gives {n} ,", "drops {n} ,")},
    ),
    Story(
        "{name} stocks {n} {object} .",
        "what is left ?",
        {"+": ("buys {n} .", "orders {n} .", "makes {n} ."), "-": ("sells {n} .", "breaks {n} .", "lends {n} .")},
    ),
    Story(
        "{n} {object} , {name} 's ;",
        "how many remain ?",
        {"+": ("add {n} ;", "plus {n} ;", "bring {n} ;"), "-": ("take {n} ;", "minus {n} ;", "remove {n} ;")},
    ),
)


@dataclass(frozen=True)
class Chain:
    """A start and signed steps; `totals` are the running results, one per step."""

    start: int
    ops: tuple[tuple[str, int], ...]

    @property
    def totals(self) -> list[int]:
        """Running results after each step, length = number of steps."""
        results, total = [], self.start
        for sign, n in self.ops:
            total += n if sign == "+" else -n
            results.append(total)
        return results

    @property
    def answer(self) -> int:
        """The last running result."""
        return self.totals[-1]

    def to_json(self) -> dict[str, Any]:
        """The form stored in the data files."""
        return {"start": self.start, "ops": [[sign, n] for sign, n in self.ops]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Chain":
        """Inverse of `to_json`."""
        return cls(int(stored["start"]), tuple((str(sign), int(n)) for sign, n in stored["ops"]))


@dataclass(frozen=True)
class Problem:
    """One word problem; `phrases` holds (sign, index of the phrase) for each event."""

    story: int
    phrases: tuple[tuple[str, int], ...]
    name: str
    object: str
    chain: Chain

    @property
    def question(self) -> str:
        """The story as text, words separated by single spaces."""
        story, cast = STORIES[self.story], {"name": self.name, "object": self.object}
        parts = [story.opening.format(n=self.chain.start, **cast)]
        for (sign, phrase), (_, n) in zip(self.phrases, self.chain.ops, strict=True):
            parts.append(story.events[sign][phrase].format(n=n, **cast))
        return " ".join([*parts, story.closing.format(**cast)])

    @property
    def prompt(self) -> str:
        """The exact text a model sees."""
        return PROMPT.format(question=self.question)


def sample_chain(rng: Random, signs: list[str]) -> Chain:
    """A chain with these signs, uniform over those whose results all lie in 0..LARGEST (by rejection)."""
    while True:
        ops = tuple((sign, rng.randint(1, LARGEST_STEP)) for sign in signs)
        chain = Chain(rng.randint(*STARTS), ops)
        totals = chain.totals
        if min(totals) >= 0 and max(totals) <= LARGEST:
            return chain


def sample_problem(rng: Random, ops: tuple[int, int], cast: Cast) -> Problem:
    """A problem with a number of steps uniform in ops[0]..ops[1] and a name and object of `cast`."""
    story = rng.randrange(len(STORIES))
    signs = [rng.choice(SIGNS) for _ in range(rng.randint(*ops))]
    phrases = tuple((sign, rng.randrange(len(STORIES[story].events[sign]))) for sign in signs)
    return Problem(story, phrases, rng.choice(cast.names), rng.choice(cast.objects), sample_chain(rng, signs))


def retell(rng: Random, problem: Problem, cast: Cast) -> Problem:
    """The same plot with a new name, object and numbers, as GSM-Symbolic does with GSM8K."""
    chain = sample_chain(rng, [sign for sign, _ in problem.phrases])
    return Problem(problem.story, problem.phrases, rng.choice(cast.names), rng.choice(cast.objects), chain)


def words() -> list[str]:
    """Every word that problems can contain, numbers last, without repetition."""
    texts = [PROMPT.replace("{question}", "")]
    for story in STORIES:
        texts += [story.opening, story.closing, *(p for sign in SIGNS for p in story.events[sign])]
    plain = [word for text in texts for word in text.split() if not word.startswith("{")]
    return list(dict.fromkeys([*plain, *EVERYONE.names, *EVERYONE.objects, *map(str, range(LARGEST + 1))]))
