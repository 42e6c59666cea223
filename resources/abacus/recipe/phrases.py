"""The words that stories are told with: domains of training, and domains held out for `choice`.

Placeholders: {n} the actor, {o} another person, {i} the items, {k} a number, {g} groups of {s}
items.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """One world of stories: its items and the sentences that change their number."""

    name: str
    actors: tuple[str, ...]
    items: tuple[str, ...]
    start: tuple[str, ...]
    add: tuple[str, ...]
    take: tuple[str, ...]
    times: tuple[str, ...]
    share: tuple[str, ...]
    add_groups: tuple[str, ...]
    take_groups: tuple[str, ...]
    extra: tuple[str, ...]
    ask: tuple[str, ...]


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


PEOPLE = _words(
    "Ana Ben Carla David Emma Felix Grace Hugo Iris Jack Kate Leo Maria Noah Olga Paul Rosa Sam "
    "Tina Victor Wendy Amir Bella Chen Dora Eli Fatima Henry Julia Karl Lena Mona Nina Omar Priya "
    "Ravi Sofia Tom Uma Yara"
)
START = (
    "{n} has {k} {i}.",
    "{n} starts with {k} {i}.",
    "At first {n} has {k} {i}.",
    "There are {k} {i} at {n}'s place.",
    "{n} owns {k} {i}.",
)
ADD = (
    "{n} buys {k} more {i}.",
    "{o} gives {n} {k} {i}.",
    "{n} finds {k} {i}.",
    "{n} gets {k} more {i} from {o}.",
    "Then {k} more {i} are added.",
    "{o} brings {k} {i} to {n}.",
)
TAKE = (
    "{n} gives {k} {i} to {o}.",
    "{n} loses {k} {i}.",
    "{n} sells {k} of the {i}.",
    "{o} takes {k} {i}.",
    "Then {k} {i} are thrown away.",
    "{n} gives away {k} {i}.",
    "Then {k} of the {i} are removed.",
)
TIMES = (
    "Then the number of {i} becomes {k} times as large.",
    "After a while {n} has {k} times as many {i}.",
    "Soon there are {k} times as many {i}.",
    "The number of {i} is multiplied by {k}.",
)
SHARE = (
    "{n} splits the {i} into {k} equal groups and keeps one group.",
    "{n} shares the {i} equally among {k} people and keeps one share.",
    "The {i} are divided evenly into {k} boxes, and {n} keeps one box.",
    "Only one in every {k} of the {i} is kept.",
)
ADD_GROUPS = (
    "{n} buys {g} boxes with {s} {i} in each.",
    "{o} brings {g} bags of {s} {i} each.",
    "{n} gets {g} more packs of {s} {i}.",
)
TAKE_GROUPS = (
    "{n} sells {g} bags of {s} {i} each.",
    "{n} gives {g} friends {s} {i} each.",
    "{o} takes away {g} packs of {s} {i}.",
)
EXTRA = (
    "{n} is {k} years old.",
    "{o} lives {k} miles away.",
    "A ticket for the bus costs {k} dollars.",
    "It has been raining for {k} days.",
    "The room has {k} chairs.",
    "{o} has {k} pens.",
)
ASK = (
    "How many {i} does {n} have now?",
    "How many {i} are left in the end?",
    "How many {i} does {n} have in the end?",
    "What is the number of {i} now?",
)


def _everyday(name: str, items: str, add: tuple[str, ...], take: tuple[str, ...]) -> Domain:
    """Build a domain of daily life: the common sentences and two kinds of its own."""
    return Domain(
        name=name,
        actors=PEOPLE,
        items=_words(items),
        start=START,
        add=ADD + add,
        take=TAKE + take,
        times=TIMES,
        share=SHARE,
        add_groups=ADD_GROUPS,
        take_groups=TAKE_GROUPS,
        extra=EXTRA,
        ask=ASK,
    )


TRAINED = (
    _everyday(
        "cards",
        "cards stickers coins marbles badges",
        ("{n} wins {k} {i} in a game.", "{n} trades for {k} more {i}."),
        ("{n} bets and loses {k} {i}.", "{n} trades away {k} {i}."),
    ),
    _everyday(
        "fruit",
        "apples pears plums oranges lemons cherries",
        ("{n} picks {k} {i}.", "{k} more {i} fall from the tree."),
        ("{n} eats {k} {i}.", "{k} {i} go bad."),
    ),
    _everyday(
        "books",
        "books comics magazines maps letters",
        ("{n} borrows {k} {i}.", "{n} orders {k} more {i}."),
        ("{n} returns {k} {i}.", "{n} lends {k} {i} to {o}."),
    ),
    _everyday(
        "garden",
        "flowers seeds roses bulbs trees",
        ("{n} plants {k} {i}.", "{k} new {i} grow."),
        ("{n} cuts {k} {i}.", "The wind destroys {k} {i}."),
    ),
    _everyday(
        "kitchen",
        "cookies muffins rolls cakes pies",
        ("{n} bakes {k} {i}.", "{k} {i} come out of the oven."),
        ("{n} burns {k} {i}.", "The guests eat {k} {i}."),
    ),
    _everyday(
        "farm",
        "hens sheep goats ducks cows",
        ("{k} {i} are born.", "{n} raises {k} more {i}."),
        ("{k} {i} run away.", "{n} brings {k} {i} to the market."),
    ),
    _everyday(
        "toys",
        "blocks dolls kites balls puzzles",
        ("{n} unpacks {k} {i}.", "{n} builds {k} {i}."),
        ("{n} breaks {k} {i}.", "{n} leaves {k} {i} at school."),
    ),
    _everyday(
        "craft",
        "beads buttons ribbons candles bowls",
        ("{n} makes {k} {i}.", "{n} collects {k} {i}."),
        ("{n} uses {k} {i}.", "{n} drops {k} {i}."),
    ),
    _everyday(
        "shop",
        "bottles shirts hats lamps cups",
        ("A truck delivers {k} {i}.", "{n} stocks {k} more {i}."),
        ("Customers buy {k} {i}.", "{n} ships {k} {i}."),
    ),
    _everyday(
        "office",
        "files notes stamps photos tickets",
        ("{n} prints {k} {i}.", "{k} {i} come in the mail."),
        ("{n} deletes {k} {i}.", "{n} mails {k} {i}."),
    ),
)

_LAB_START = ("Initially {n} holds {k} {i}.", "An experiment with {n} begins with {k} {i}.")
_LAB_TIMES = (
    "A pulse makes the {i} {k} times as many.",
    "Under pressure there are {k} times as many {i}.",
)
_LAB_SHARE = (
    "The {i} spread equally over {k} chambers, and only one chamber counts.",
    "A prism divides the {i} evenly into {k} beams, and {n} keeps one beam.",
)
_LAB_ASK = ("How many {i} remain?", "What is the final count of {i}?")

HELD_OUT = (
    Domain(
        name="physics",
        actors=("the detector", "the reactor", "the laser"),
        items=("photons", "neutrons", "electrons"),
        start=_LAB_START,
        add=("Then {k} more {i} are injected.", "{n} captures {k} more {i}."),
        take=("{k} of the {i} are absorbed.", "{n} emits {k} of the {i}."),
        times=_LAB_TIMES,
        share=_LAB_SHARE,
        add_groups=("{n} captures {g} more bursts of {s} {i}.",),
        take_groups=("{n} loses {g} bursts of {s} {i}.",),
        extra=("The magnet weighs {k} kilograms.",),
        ask=_LAB_ASK,
    ),
    Domain(
        name="chemistry",
        actors=("the flask", "the membrane", "the catalyst"),
        items=("molecules", "crystals", "ions"),
        start=_LAB_START,
        add=("A reaction yields {k} more {i}.", "{k} more {i} condense in {n}."),
        take=("{k} of the {i} dissolve.", "Then {k} of the {i} evaporate."),
        times=_LAB_TIMES,
        share=_LAB_SHARE,
        add_groups=("{n} yields {g} more doses of {s} {i}.",),
        take_groups=("{n} loses {g} clusters of {s} {i}.",),
        extra=("The thermometer shows {k} degrees.",),
        ask=_LAB_ASK,
    ),
)
#: Words of the held-out domains that no training sample may contain.
HELD_OUT_WORDS = _words(
    "detector reactor laser photons neutrons electrons flask membrane catalyst molecules crystals "
    "ions initially experiment reaction captures "
    "injected absorbed vacuum pulse pressure chambers prism beams bursts emits magnet yields "
    "condense dissolve evaporate pipette doses clusters thermometer"
)


def invented(words: Sequence[str]) -> Domain:
    """Build a domain of eleven made-up words, so that the model learns to read unknown ones."""
    one, two, thing, act, did, tool, room, weight, unit, lot, way = words
    return Domain(
        name="invented",
        actors=(f"the {one}", f"the {two}"),
        items=(f"{thing}s",),
        start=(
            *START,
            f"{way} {{n}} {act}s {{k}} {{i}}.",
            f"A {tool} with {{n}} {act}s {{k}} {{i}}.",
        ),
        add=(
            f"{{n}} {act}s {{k}} more {{i}}.",
            f"{{k}} more {{i}} {act} in {{n}}.",
            f"Then {{k}} more {{i}} are {did}ed.",
        ),
        take=(
            f"{{k}} of the {{i}} are {did}ed.",
            f"{{n}} {act}s {{k}} of the {{i}}.",
            f"Then {{k}} of the {{i}} {act}.",
        ),
        times=(*TIMES, f"A {tool} makes the {{i}} {{k}} times as many."),
        share=(
            *SHARE,
            f"The {{i}} {act} equally over {{k}} {room}s, and only one {room} counts.",
            f"A {tool} divides the {{i}} evenly into {{k}} {room}s, and {{n}} keeps one {room}.",
        ),
        add_groups=(f"{{n}} {act}s {{g}} more {lot}s of {{s}} {{i}}.",),
        take_groups=(f"{{n}} loses {{g}} {lot}s of {{s}} {{i}}.",),
        extra=(f"The {weight} {act}s {{k}} {unit}s.",),
        ask=(*ASK, "How many {i} remain?"),
    )
