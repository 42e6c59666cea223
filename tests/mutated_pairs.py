r"""Pairs of answers of which it is known by construction whether they are the same.

A value is drawn, written in one of its forms as the gold, and in another as the answer; or one
number in it is changed first, by as little as can be, and then the two differ.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from ssgr.grading.workers import judge_pairs


class Pair(NamedTuple):
    """A gold, an answer, and whether they are the same."""

    kind: str
    gold: str
    answer: str
    same: bool


Numbers = list[int]
Write = Callable[[Numbers, Random], str]


class Kind(NamedTuple):
    """Draws the numbers that make a value, and writes them in one of several forms."""

    draw: Callable[[Random], Numbers]
    forms: list[Write]


def _power(base: int, exponent: int, rng: Random) -> str:
    forms = (rf"{base}^{{-{exponent}}}", rf"\frac{{1}}{{{base}^{{{exponent}}}}}",
             rf"\left(\frac{{1}}{{{base}}}\right)^{{{exponent}}}")  # fmt: skip
    return rng.choice(forms)


KINDS: dict[str, Kind] = {
    "fraction": Kind(
        lambda r: [r.randint(1, 10**6), 2 * r.randint(1, 500) + 1],
        [
            lambda n, r: rf"\frac{{{n[0]}}}{{{n[1]}}}",
            lambda n, r: f"{3 * n[0]}/{3 * n[1]}",
            lambda n, r: rf"\dfrac{{{n[0] + n[1]}}}{{{n[1]}}} - 1",
        ],
    ),
    "power": Kind(
        lambda r: [r.choice([2, 3, 5, 7, 10]), r.randint(3, 400)],
        [lambda n, r: _power(n[0], n[1], r)],
    ),
    "one less a power": Kind(
        lambda r: [r.choice([2, 3, 5, 7]), r.randint(3, 400)],
        [
            lambda n, r: f"1-{_power(n[0], n[1], r)}",
            lambda n, r: rf"\frac{{{n[0]}^{{{n[1]}}}-1}}{{{n[0]}^{{{n[1]}}}}}",
        ],
    ),
    "surd": Kind(
        lambda r: [r.randint(2, 90), r.choice([2, 3, 5, 6, 7, 10, 11, 13]), r.randint(1, 99)],
        [
            lambda n, r: rf"{n[2]}+{n[0]}\sqrt{{{n[1]}}}",
            lambda n, r: rf"{n[0]} \sqrt {{{n[1]}}} + {n[2]}",
            lambda n, r: rf"\sqrt{{{n[0] * n[0] * n[1]}}}+{n[2]}",
        ],
    ),
    "surd and a power": Kind(
        lambda r: [r.choice([2, 3, 5, 7]), r.randint(20, 120)],
        [
            lambda n, r: rf"\sqrt{{{n[0]}}}+10^{{-{n[1]}}}",
            lambda n, r: rf"\frac{{1}}{{10^{{{n[1]}}}}}+\sqrt{{{n[0]}}}",
        ],
    ),
    "pi": Kind(
        lambda r: [r.randint(1, 999), r.randint(2, 99)],
        [
            lambda n, r: rf"\frac{{{n[0]}\pi}}{{{n[1]}}}",
            lambda n, r: rf"\frac{{{n[0]}}}{{{n[1]}}}\pi",
            lambda n, r: rf"{n[0]}\pi/{n[1]}",
        ],
    ),
    "mixed number": Kind(
        lambda r: [r.randint(1, 99), r.randint(1, 6), r.choice([7, 9, 11])],
        [
            lambda n, r: rf"{n[0]}\frac{{{n[1]}}}{{{n[2]}}}\pi",
            lambda n, r: rf"\frac{{{n[0] * n[2] + n[1]}\pi}}{{{n[2]}}}",
        ],
    ),
    "thousands": Kind(
        lambda r: [r.randint(1000, 999999)],
        [lambda n, r: rf"{n[0]:,}\sqrt{{2}}", lambda n, r: rf"{n[0]}\sqrt{{2}}"],
    ),
    "logarithm": Kind(
        lambda r: [r.choice([2, 3, 5]), r.randint(1, 9), r.choice([7, 11, 13, 17])],
        [
            lambda n, r: rf"\log_{{{n[0]}}} {n[2]}+{n[1]}",
            lambda n, r: rf"\log_{{{n[0]}}}{{{n[2] * n[0] ** n[1]}}}",
        ],
    ),
    "factorial": Kind(
        lambda r: [r.randint(4, 60)],
        [
            lambda n, r: rf"\frac{{1}}{{{n[0]}!}}",
            lambda n, r: rf"\frac{{1}}{{{n[0]} \cdot {n[0] - 1}!}}",
        ],
    ),
    "binomial": Kind(
        lambda r: [r.randint(6, 40), r.randint(2, 4), r.randint(2, 9)],
        [
            lambda n, r: rf"{n[2]}\binom{{{n[0]}}}{{{n[1]}}}",
            lambda n, r: rf"\binom{{{n[0]}}}{{{n[0] - n[1]}}} \cdot {n[2]}",
        ],
    ),
    "factor": Kind(
        lambda r: [r.randint(1, 99), r.choice([2, 3, 7]), r.randint(2, 200)],
        [
            lambda n, r: rf"\frac{{{n[0]}x}}{{{n[1]}^{{{n[2]}}}}}+y",
            lambda n, r: rf"y+{n[0]} \cdot {n[1]}^{{-{n[2]}}}x",
        ],
    ),
    "interval": Kind(
        lambda r: [r.choice([2, 3, 5]), r.randint(10, 200), r.randint(1, 9)],
        [lambda n, r: rf"[{_power(n[0], n[1], r)}, {n[2]})"],
    ),
    "pair": Kind(
        lambda r: [r.choice([2, 3, 5]), r.randint(10, 200), r.randint(1, 9)],
        [
            lambda n, r: rf"({_power(n[0], n[1], r)}, \sqrt{{{n[2]}}})",
            lambda n, r: rf"\left({_power(n[0], n[1], r)},\sqrt{{{n[2]}}}\right)",
        ],
    ),
    "matrix": Kind(
        lambda r: [r.choice([2, 3, 5]), r.randint(10, 200), r.randint(1, 9)],
        [
            lambda n, r: (
                rf"\begin{{pmatrix}} {_power(n[0], n[1], r)} & 0 \\ {n[2]} & 1 \end{{pmatrix}}"
            )
        ],
    ),
    "set": Kind(
        lambda r: [r.randint(1, 9), r.randint(10, 19), r.randint(20, 29)],
        [
            lambda n, r: rf"\{{\sqrt{{{n[0]}}}, {n[1]}, {n[2]}\}}",
            lambda n, r: rf"\{{{n[2]}, {n[1]}, \sqrt{{{n[0]}}}\}}",
        ],
    ),
    "names": Kind(
        lambda r: [r.randint(1, 99), r.randint(100, 199)],
        [
            lambda n, r: f"x={n[0]}, y={n[1]}",
            lambda n, r: f"y = {n[1]}, x = {n[0]}",
            lambda n, r: f"(x, y) = ({n[0]}, {n[1]})",
        ],
    ),
    "degrees": Kind(
        lambda r: [r.randint(2, 179)],
        [
            lambda n, r: rf"{n[0]}^{{\circ}}",
            lambda n, r: rf"{n[0]}^\circ",
            lambda n, r: f"{n[0]} degrees",
        ],
    ),
}
UNITS = (("cm", "m"), ("km", "m"), ("kg", "g"), ("hours", "minutes"), ("cents", "dollars"))
"""Units that a number may have, and others of the same kind that it then has not."""


def pairs(count: int, seed: int = 0) -> Iterator[Pair]:
    """Yield so many pairs, half of them of different values."""
    rng = Random(seed)
    names = [*KINDS, "unit", "order of names"]
    for index in range(count):
        kind, same = names[index % len(names)], rng.random() < 0.5
        if kind == "unit":
            unit, other = rng.choice(UNITS)[:: rng.choice((1, -1))]
            value = rng.randint(2, 999)
            answer = rf"{value}\,\mathrm{{{unit if same else other}}}"
            yield Pair(kind, rf"{value} \text{{ {unit}}}", answer, same)
        elif kind == "order of names":
            one, two = rng.sample(range(1, 99), 2)
            x, y = rng.choice(("xy", "ab", "mn"))
            answer = f"({one}, {two})" if same else f"({two}, {one})"
            yield Pair(kind, f"{x}={one}, {y}={two}", answer, same)
        else:
            yield _of_kind(kind, same, rng)


def _of_kind(kind: str, same: bool, rng: Random) -> Pair:
    draw, forms = KINDS[kind]
    numbers = draw(rng)
    changed = list(numbers)
    if not same:
        place = rng.randrange(len(numbers))
        changed[place] += rng.choice((1, 2, 10)) if kind != "fraction" or not place else 2
        if changed == numbers or _may_be_equal(kind, numbers, changed):
            return _of_kind(kind, same, rng)
    gold, answer = rng.choice(forms)(numbers, rng), rng.choice(forms)(changed, rng)
    return Pair(kind, gold, answer, same)


def _may_be_equal(kind: str, one: Numbers, other: Numbers) -> bool:
    """Whether a changed number may leave the value as it is."""
    if kind == "fraction":
        return one[0] * other[1] == one[1] * other[0]
    if kind == "surd":
        return one[2] == other[2] and one[0] ** 2 * one[1] == other[0] ** 2 * other[1]
    if kind == "pi":
        return one[0] * other[1] == one[1] * other[0]
    if kind == "mixed number":
        first, second = ((n[0] * n[2] + n[1], n[2]) for n in (one, other))
        return first[0] * second[1] == first[1] * second[0]
    if kind == "logarithm":
        return one[0] ** one[1] * one[2] == other[0] ** other[1] * other[2]
    if kind == "binomial":
        return one[1] != other[1]
    return False


def judged(count: int, seed: int = 0) -> tuple[list[Pair], list[Pair]]:
    """Judge so many pairs; return the false accepts and the false rejects."""
    made = list(pairs(count, seed))
    verdicts = judge_pairs({(pair.gold, pair.answer) for pair in made})
    wrong = [
        pair
        for pair in made
        if (verdicts[pair.gold, pair.answer].verdict == "correct") != pair.same
    ]
    return [pair for pair in wrong if not pair.same], [pair for pair in wrong if pair.same]


if __name__ == "__main__":  # python tests/mutated_pairs.py: all ten thousand
    accepted, refused = judged(10_000)
    print(
        f"{len(accepted)} false accepts, {len(refused)} false rejects",
        *accepted,
        *refused,
        sep="\n",
    )
