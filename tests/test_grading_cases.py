"""Own cases in the formats of the mathematical benchmarks, judged by the default conventions.

``grading_cases.tsv`` holds what is expected of each gold and answer: numbers, fractions, radicals,
units, percent, degrees, lists, tuples, intervals, inequalities, matrices, equations, words.
"""

import csv
from pathlib import Path

import pytest

from mutated_pairs import judged
from ssgr.grading import Conventions, judge
from ssgr.grading.bounds import Bounds, condition, parse_bounds
from ssgr.grading.names import parse_named
from ssgr.grading.rewriting import for_parser, with_case
from ssgr.grading.workers import judge_pairs


def cases() -> list[tuple[str, str, bool]]:
    with Path(__file__).with_name("grading_cases.tsv").open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert next(rows) == ["expected", "gold", "answer"]
        return [(gold, answer, {"equal": True, "not": False}[said]) for said, gold, answer in rows]


def test_cases() -> None:
    expected = {(gold, answer): same for gold, answer, same in cases()}
    assert len(expected) == len(cases()) > 900
    verdicts = judge_pairs(expected, workers=2)
    found = {pair: verdicts[pair].verdict for pair in expected}
    assert found == {pair: "correct" if same else "wrong" for pair, same in expected.items()}


def test_what_is_not_equal_is_not_equal_turned_around() -> None:
    pairs = [
        (answer, gold)
        for gold, answer, same in cases()
        # a gold that names its values has their order, one without names may have none
        if not same and not (parse_named(gold) and not parse_named(answer))
    ]
    verdicts = judge_pairs(pairs, workers=2)
    assert {pair for pair in pairs if verdicts[pair].verdict == "correct"} == set()


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("[3,5)", (None, "3", "5", True, False)),
        ("]3,5[", (None, "3", "5", False, False)),
        (r"5 \ge x > 3", ("x", "3", "5", False, True)),
        (r"x \ge 3 \text{ and } x < 5", ("x", "3", "5", True, False)),
        (r"x < 5 \land 3 \leqslant x", ("x", "3", "5", True, False)),
        (r"\{t \in \mathbb{R} \mid t > 2\}", ("t", "2", r"\infty", False, False)),
        ("|x| < 3", ("x", "-(3)", "3", False, False)),
        ("x < 5 and y > 3", None),
        ("x < 5 and x < 3", None),
        ("3 < x > 5", None),
        ("a < b", None),
        ("3 < 5", None),
        ("(1,2,3)", None),
        ("x = 3", None),
    ],
)
def test_parse_bounds(text: str, bounds: tuple[str | None, str, str, bool, bool] | None) -> None:
    assert parse_bounds(text) == (None if bounds is None else Bounds(*bounds))


def test_conditions_and_what_the_parser_reads() -> None:
    assert condition(r"|x| \ge 2") == r"x \le -(2) \text{ or } x \ge 2"
    assert condition(r"\{1, 2\}") == r"\{1, 2\}"
    assert for_parser(r"\binom52 + {n \choose 2}") == r"\binom{5}{2} + \binom{n}{2}"
    assert for_parser(r"\sin 30^\circ") == r"\sin {(30 \cdot \frac{\pi}{180})}"
    assert for_parser(r"30^\circ") == r"30^\circ"
    assert with_case("R-r", "r") == (r"\zeta -r", "r")
    assert with_case("R", "r") == ("R", "r")
    assert with_case(r"\Rightarrow R r", r"\text{R}") == (r"\Rightarrow \zeta  r", r"\text{R}")


def test_relations_and_intervals_are_told_apart_if_the_conventions_say_so() -> None:
    strict = Conventions(relation_as_interval=False)
    assert judge("[3,5]", r"x \ge 3 \text{ and } x \le 5", strict).verdict == "wrong"
    assert judge(r"3 \le x \le 5", r"x \ge 3 \text{ and } x \le 5", strict).verdict == "correct"


def test_mutated_pairs() -> None:
    """The truth is known by construction; `python tests/mutated_pairs.py` judges 10,000."""
    accepted, refused = judged(1200)
    assert not accepted
    assert not refused
