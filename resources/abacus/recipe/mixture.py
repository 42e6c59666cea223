"""What abacus is trained on, made as it trains: chats, human-style solutions, plain English."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch import Tensor

from recipe import prose
from recipe.dice import Dice
from recipe.phrases import TRAINED, Domain, invented
from recipe.reasoning import PHASES, Lookup, Styles, respond, respond_choice
from recipe.solutions import solution
from recipe.stories import draw_story, options_for, role_of, with_options

#: (kind of sample, share of samples); measured shares of tokens are in resources/abacus/LOG.md.
SHARES: tuple[tuple[str, float], ...] = (("chat", 0.75), ("solution", 0.11), ("prose", 0.14))
#: Levels in training go one beyond the hardest problems, so that the hardest are not the edge.
LEVELS: tuple[tuple[int, float], ...] = (
    (1, 0.8),
    (2, 1.0),
    (3, 1.2),
    (4, 1.2),
    (5, 1.2),
    (6, 1.2),
    (7, 1.0),
    (8, 0.6),
)
_ONSETS, _VOWELS, _CODAS = tuple("bdfghklmnprstvz"), tuple("aeiou"), ("", "n", "r", "l", "t")
IGNORED = -100  # label of positions without loss
LONGEST = 768  # tokens of a sample
GROUP_TOKENS = 1536  # padded tokens computed at a time
ENCODE = Callable[[str], list[int]]


@dataclass(frozen=True)
class Stage:
    """What the chats of one stage of training are: shares of them, and how options are found."""

    invented: float  # told in made-up words
    choice: float  # multiple choice
    lookup: Lookup


@dataclass(frozen=True)
class Mixture:
    """Everything that decides the training samples, apart from the seed."""

    shares: tuple[tuple[str, float], ...]
    levels: tuple[tuple[int, float], ...]
    phases: tuple[tuple[float, Styles], ...]
    main: Stage
    polish: Stage


#: The mixture of abacus, and that of its sibling, which has one stage and one set of styles.
ABACUS = Mixture(SHARES, LEVELS, PHASES, Stage(0.0, 0.08, "named"), Stage(0.5, 0.35, "walked"))
SIBLING = Mixture(
    shares=(("chat", 0.82), ("solution", 0.1), ("prose", 0.08)),
    levels=tuple((level, 0.8 if level in (1, 10) else 1.0) for level in range(1, 11)),
    phases=((0.0, (("brief", 0.34), ("worked", 0.31), ("checked", 0.35))),),
    main=Stage(0.25, 0.2, "compared"),
    polish=Stage(0.25, 0.2, "compared"),
)


@dataclass(frozen=True)
class Sample:
    """One training text: `prompt` is read (no loss), `target` is learnt."""

    kind: str
    prompt: str
    target: str


def _invented(dice: Dice) -> Domain:
    """Draw a domain of made-up words."""
    sizes = [dice.integer(2, 3) for _ in range(11)]
    parts = [[dice.pick(_ONSETS) + dice.pick(_VOWELS) for _ in range(size)] for size in sizes]
    return invented(["".join(part) + dice.pick(_CODAS) for part in parts])


def _chat(
    key: str, dice: Dice, levels: tuple[tuple[int, float], ...], styles: Styles, stage: Stage
) -> Sample | None:
    foreign = stage.invented > 0 and dice.chance(stage.invented)
    domains = (_invented(dice),) if foreign else TRAINED
    story = draw_story(key, dice.weighted(levels), domains)
    if role_of(story.question) != "training":
        return None
    if dice.chance(stage.choice):
        values, letter = options_for(story, key)
        question = with_options(story.question, values)
        response = respond_choice(story, values, letter, dice, dice.weighted(styles), stage.lookup)
    else:
        question, response = story.question, respond(story, dice, dice.weighted(styles))
    return Sample("chat", f"<|user|>{question}<|assistant|>", response)


def _solution(key: str, dice: Dice, levels: tuple[tuple[int, float], ...]) -> Sample | None:
    story = draw_story(key, dice.weighted(levels), TRAINED)
    if role_of(story.question) != "training":
        return None
    text = f"Problem: {story.question}\nSolution: {solution(story, dice)}"
    return Sample("solution", "", text)


def samples(seed: int, total: int, mixture: Mixture = ABACUS) -> Iterator[Sample]:
    """Yield training samples without end; the styles change with the share of `total` yielded.

    What comes after `total` samples is the last stage, polish.
    """
    texts = [document["text"] for document in prose.load("training")]
    yielded = 0
    for number in count():
        styles = [shares for start, shares in mixture.phases if yielded >= round(start * total)][-1]
        key = f"training/{seed}/{number}"
        dice = Dice(f"{key}/style")
        kind = dice.weighted(mixture.shares)
        sample: Sample | None
        if kind == "prose":
            sample = Sample("prose", "", dice.pick(texts))
        else:
            stage = mixture.polish if yielded >= total else mixture.main
            sample = (
                _chat(key, dice, mixture.levels, styles, stage)
                if kind == "chat"
                else _solution(key, dice, mixture.levels)
            )
        if sample is not None:
            yielded += 1
            yield sample


def _tokens(sample: Sample, encode: ENCODE, end: int, width: int) -> tuple[list[int], list[int]]:
    prompt, target = encode(sample.prompt), [*encode(sample.target), end]
    tokens = (prompt + target)[:width]
    return tokens, ([IGNORED] * len(prompt) + target)[:width]


class Batches:
    """Draws whole samples, grouped by length, so that little is padded and nothing is cut."""

    def __init__(self, stream: Iterator[Sample], encode: ENCODE, end: int, pad: int) -> None:
        """Start at the first sample of the stream."""
        self._stream = stream
        self._encode, self._end, self._pad = encode, end, pad

    def _padded(self, group: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
        width = max(len(tokens) for tokens, _ in group)
        rows = [tokens + [self._pad] * (width - len(tokens)) for tokens, _ in group]
        labels = [marks + [IGNORED] * (width - len(marks)) for _, marks in group]
        return torch.tensor(rows), torch.tensor(labels)

    def draw(self, number: int) -> list[tuple[Tensor, Tensor]]:
        """Return the next `number` samples as groups of (token ids, labels), each [rows, width]."""
        drawn = islice(self._stream, number)
        pairs = [_tokens(sample, self._encode, self._end, LONGEST) for sample in drawn]
        pairs.sort(key=lambda pair: len(pair[0]))
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in pairs:
            if len(pair[0]) * (len(groups[-1]) + 1) > GROUP_TOKENS:
                groups.append([])
            groups[-1].append(pair)
        return [self._padded(group) for group in groups if group]
