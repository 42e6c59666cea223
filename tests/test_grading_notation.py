"""Spellings: names, signs, brackets, units and words, each by the function that reads it."""

import random
from collections.abc import Callable

import pytest

from ssgr.config.conventions import DEFAULT
from ssgr.grading.bounds import closed_infinities, with_round_brackets
from ssgr.grading.names import Named, parse_named, with_equals_signs, with_tuples
from ssgr.grading.notation import read
from ssgr.grading.quantities import Quantity, parse_quantity
from ssgr.grading.units import canonical
from ssgr.grading.words import is_word, with_names
from ssgr.grading.workers import judge_pairs


@pytest.mark.parametrize(
    ("function", "text", "result"),
    [
        (with_equals_signs, r"r\approx6.1", "r=6.1"),
        (with_equals_signs, r"a\approx1, b \approx 2", "a=1, b= 2"),
        (with_equals_signs, r"\pi\approx3", r"\pi\approx3"),
        (with_equals_signs, "9=k", "k=9"),
        (with_equals_signs, "3, 9=k", "3, 9=k"),
        (with_equals_signs, "x=y", "x=y"),
        (with_equals_signs, "T(8,9)", "T=(8,9)"),
        (with_equals_signs, "g(8,9)", "g(8,9)"),
        (with_equals_signs, "T(8)", "T(8)"),
        (with_tuples, r"(8,\pm9)", "(8,9),(8,-9)"),
        (with_tuples, r"(\pm8,\mp9)", "(8,-9),(-8,9)"),
        (with_tuples, r"f(8,\pm9)", r"f(8,\pm9)"),
        (with_tuples, r"8(1\pm9)", r"8(1\pm9)"),
        (with_round_brackets, r"\left]8,9\right]", r"\left(8,9\right]"),
        (with_round_brackets, "[8,9[", "[8,9)"),
        (with_round_brackets, r"]0,1[\cup]8,9]", r"(0,1)\cup(8,9]"),
        (with_round_brackets, r"\sqrt[3]{8},[9]", r"\sqrt[3]{8},[9]"),
        (canonical, r"\mathrm{m\,s^{-2}}".replace(r"\,", " "), "m / s^2"),
        (canonical, "square feet", "ft^2"),
        (canonical, r"\text{J/(kg K)}", "J / K kg"),
        (canonical, "dollars per hour", "$ / h"),
        (canonical, "and", None),
    ],
)
def test_spelling(function: Callable[[str], object], text: str, result: object) -> None:
    assert function(text) == result


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (r"b = 8 \text{ and } a = 9", Named(("b", "a"), (("8", "9"),))),
        ("(b, a) = (8, 9)", Named(("b", "a"), (("8", "9"),))),
        ("(b,a)=(8,9),(6,7)", Named(("b", "a"), (("8", "9"), ("6", "7")))),
        (r"b=8,a=9\text{ or }a=6,b=7", Named(("b", "a"), (("8", "9"), ("7", "6")))),
        ("b=8,b=9,a=7", Named(("b", "b", "a"), (("8", "9", "7"),))),
        ("b=8, b=9", None),
        ("b+a=8, b-a=9", Named(("b+a", "b-a"), (("8", "9"),))),
        ("b = a = 8", Named(("b", "a"), (("8", "8"),))),
        (r"b=8, a=\pm9", Named(("b", "a"), (("8", "9"), ("8", "-9")))),
        ("8, 9", None),
    ],
)
def test_named_values(text: str, named: Named | None) -> None:
    assert parse_named(text) == named


@pytest.mark.parametrize(
    ("answer", "quantity"),
    [
        (r"\$8.50", Quantity("8.50", currency="$")),
        (r"-\$8", Quantity("-8", currency="$")),
        ("c=€8", Quantity("c=8", currency="€")),
        ("8¢", Quantity("8", currency="cent")),
        (r"8\text{ dollars per day}", Quantity("8", "$ / day", currency="$")),
        (r"\$8, \$9", Quantity(r"\$8, \$9")),
        (r"8^{\circ}\mathrm{C}", Quantity("8", "degC")),
        (r"\frac{8}{9}\text{ degrees Fahrenheit}", Quantity(r"\frac{8}{9}", "degF")),
        (r"1.01_{\text{two}}", Quantity("1.01", "base 2")),
        (r"(11) \text{ in base } 8", Quantity("11", "base 8")),
        ("x_2", Quantity("x_2")),
    ],
)
def test_quantity(answer: str, quantity: Quantity) -> None:
    assert parse_quantity(read(answer, DEFAULT)) == quantity


def test_words_and_products() -> None:
    assert all(map(is_word, ("stop", "Pots", "night", "rhyme", "on")))
    assert not any(map(is_word, ("ab", "xyz", "abcd", "mgh", "sin", "lnx", "def")))
    assert with_names("stop", "s t o p") == ("stop", "s t o p")
    assert with_names("Stop", "pots") == (r"\text{stop}", r"\text{pots}")
    assert with_names("2 base+1", "abc+1") == (r"2 \text{base}+1", "abc+1")
    assert closed_infinities(r"[-\infty,2)\cup(3,\infty]") == {"above", "below"}


# --- pairs whose truth is known by how they are made ----------------------------------------------

VALUES = (
    "7",
    "-2",
    r"\frac{5}{8}",
    "0.25",
    r"\sqrt{11}",
    r"2\pi",
    "x+1",
    r"2^{10}",
    r"-\frac{1}{3}",
)
NAMES = ("x y", "x y z", "a b c", "m n", r"\alpha \beta", "AB BC", "f(1) f(2)")
UNITS = (
    (r"%s\text{ cm}", "%s centimeters"),
    (r"%s\text{ m/s}", r"%s\ \mathrm{m\,s^{-1}}"),
    (r"%s\text{ m}^2", r"%s\text{ square meters}"),
    (r"%s\text{ kJ}", r"%s\ \mathrm{kJ}"),
    (r"\$%s", r"%s\text{ dollars}"),
    ("%s¢", r"%s\text{ cents}"),
    ("€%s", r"%s\text{ euros}"),
    (r"%s^\circ C", r"%s\text{ degrees Celsius}"),
    (r"%s^{\circ}\mathrm{F}", r"%s\text{ Fahrenheit}"),
)
ENDS = {
    r"\left%s%s,%s\right%s": ("([", ")]"),
    r"\bigl%s%s,%s\bigr%s": ("([", ")]"),
    "%s%s,%s%s": ("][", "[]"),
}
Case = tuple[str, str, bool]


def named_case(rng: random.Random) -> Case:
    names = rng.choice(NAMES).split()
    values = rng.sample(VALUES, len(names))
    given = rng.sample(values, len(values))
    gold = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
    pairs = [f"{name} = {value}" for name, value in zip(names, given, strict=True)]
    answers = (", ".join(given), f"({','.join(given)})", "; ".join(pairs[::-1]))
    return gold, rng.choice(answers), given == values


def unit_case(rng: random.Random) -> Case:
    values = ("7.5", "120", r"\frac{3}{4}", "2")
    gold, answer = (rng.choice(values), rng.choice(UNITS)), (rng.choice(values), rng.choice(UNITS))
    return (*(rng.choice(unit) % value for value, unit in (gold, answer)), gold == answer)


def interval_case(rng: random.Random) -> Case:
    ends = [(rng.random() < 0.5, rng.random() < 0.5) for _ in range(2)]
    written = []
    for lower, upper in ends:
        form, (left, right) = rng.choice(list(ENDS.items()))
        written.append(form % (left[lower], "-3", r"\frac12", right[upper]))
    return written[0], written[1], ends[0] == ends[1]


def word_case(rng: random.Random) -> Case:
    word = rng.choice(("stop", "night", "integral", "decreasing", "scalene", "east"))
    other = rng.choice((word, "".join(rng.sample(word, len(word)))))
    forms = ("%s", r"\text{%s}", r"\textbf{ %s}")
    return rng.choice(forms) % word, rng.choice(forms) % other.capitalize(), word == other


def test_made_pairs() -> None:
    """The same was done with 10,000 pairs."""
    rng = random.Random(15)
    makers = (named_case, unit_case, interval_case, word_case)
    made = [rng.choice(makers)(rng) for _ in range(400)]
    expected = {(gold, answer): same for gold, answer, same in made}
    verdicts = judge_pairs(expected, workers=2)
    found = {pair: verdicts[pair].verdict == "correct" for pair in expected}
    assert {pair for pair in expected if found[pair] != expected[pair]} == set()
    assert 50 < sum(expected.values()) < 300
