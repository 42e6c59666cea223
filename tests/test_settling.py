"""Early stop: when a prefix of a problem's samples decides what is selected, by brute force."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import polars as pl
import pytest

from conftest import graded_pool
from ssgr.config import Filters
from ssgr.selection.early_stop import Demand, Needs, Outcome, joined, needs, outcomes, settled
from ssgr.selection.length_rules import AMONG, FIRST, LENGTH_RULES

CORRECT, MISFIT = Outcome("correct", True), Outcome("correct", False)
WRONG, SPOILT, LATE = Outcome("wrong", True), Outcome("wrong", False), Outcome("timed-out", True)
KINDS = {"C": CORRECT, "c": MISFIT, "W": WRONG, "w": SPOILT, "T": LATE, "?": None}


def spelled(text: str) -> list[Outcome | None]:
    """Outcomes of a problem: C correct, W wrong, lower case: misfits; T timed out, ? unknown."""
    return [KINDS[letter] for letter in text]


@pytest.mark.parametrize(
    ("tau", "length", "drawn", "prefix"),
    [
        # section 4: c > 0.75 is certain with the 13th correct of 16
        ("0.75", "median", "C" * 13 + "???", 13),
        ("0.75", "median", "W" + "C" * 13 + "??", 14),
        ("0.75", "median", "C" * 12 + "????", 13),  # the 13th may settle it
        ("0.75", "median", "C" * 12 + "WWW?", 16),
        ("0.75", "median", "C" * 12 + "WWWW", 16),  # kept: every response is looked at
        ("0.75", "median", "?" * 16, 13),  # what may be drawn at once
        ("0.75", "median", "?W??" + "?" * 12, 14),  # the unknown may all be correct
        ("0.75", "median", "W???" * 4, 16),  # 12 at most: kept for certain
        ("0.75", "shortest", "c" * 13 + "???", 13),  # misfits count in c
        ("1.00", "median", "?" * 16, 16),
        ("0.00", "longest", "WWC?", 3),
        # a band with a low bound: also discarded once too many are wrong
        ("0.50..0.99", "median", "WWW?", 3),
        ("0.50..0.99", "median", "TTT?", 3),  # timed out: not correct
        ("0.50..0.99", "median", "WW??", 3),
        ("0.50..0.99", "median", "CCC?", 4),
        ("0.50..0.99", "median", "?" * 16, 9),
        # the first that is fit, once its problem is sure to be kept
        ("1.00", "first", "????", 1),
        ("1.00", "first", "C???", 1),
        ("1.00", "first", "Wc??", 3),
        ("1.00", "first", "WcTw", 4),
        ("0.75", "first", "C???", 2),  # kept if the next is wrong
        ("0.75", "first", "CW??", 2),
        ("0.75", "first", "CCCC", 4),
        ("0.75", "first", "CCCW", 4),
        ("0.75", "first", "cccC", 4),
        ("0.50", "first", "CCC?", 3),
        ("0.50..1.00", "first", "CW??", 3),
        ("0.50..1.00", "first", "CC??", 2),
        ("1.00", "first-wrong", "CCW?", 3),
        ("1.00", "first-wrong", "TwW?", 3),  # neither a misfit nor a time-out is a wrong response
        ("1.00", "first-wrong", "TTTT", 4),
        ("0.50", "first-wrong", "WCC?", 4),
        ("0.50", "first-wrong", "WCW?", 3),
    ],
)
def test_closed_forms(tau: str, length: str, drawn: str, prefix: int) -> None:
    assert Demand(tau=tau, length=length).prefix(spelled(drawn)) == prefix


TAUS = ("0.00", "0.50", "0.75", "1.00", "0.50..0.99", "0.34..0.67", "0.75..1.00", "1.00..1.00")
LETTERS = "CcWT"


def looked_at(demand: Demand, drawn: str) -> object:
    """What a selection makes of a problem whose n responses are all known.

    None if its ratio is discarded. A rule that takes the first candidate looks at that one, or
    at none; any other rule may look at every response.
    """
    low, high = demand.band
    correct = sum(letter in "Cc" for letter in drawn)
    if not low * len(drawn) - 1e-9 <= correct <= high * len(drawn) + 1e-9:
        return None
    if demand.length in FIRST:
        return "first", drawn.find("C" if AMONG[demand.length] == "correct" else "W")
    return "all", drawn


@pytest.mark.parametrize("length", ["median", "first", "first-wrong"])
@pytest.mark.parametrize("tau", TAUS)
def test_the_prefix_is_the_shortest_that_settles(tau: str, length: str) -> None:
    """For up to 5 responses of 4 kinds: brute force over every completion of every prefix.

    With unknown samples among them it is the shortest over what those may turn out to be: so
    whatever they do, no sample below it is drawn in vain.
    """
    demand = Demand(tau=tau, length=length)

    @cache
    def endings(prefix: str, n: int) -> frozenset[object]:
        if len(prefix) == n:
            return frozenset([looked_at(demand, prefix)])
        return frozenset().union(*(endings(prefix + letter, n) for letter in LETTERS))

    @cache
    def shortest(drawn: str) -> int:
        if "?" in drawn:
            return min(shortest(drawn.replace("?", letter, 1)) for letter in LETTERS)
        n = len(drawn)
        return next(k for k in range(1, n + 1) if len(endings(drawn[:k], n)) == 1)

    for n in range(1, 6):
        for letters in product(LETTERS + "?", repeat=n):
            drawn = "".join(letters)
            assert demand.prefix(spelled(drawn)) == shortest(drawn), drawn


@pytest.mark.parametrize("length", ["median", "first", "first-wrong"])
@pytest.mark.parametrize("tau", ["0.50", "0.75", "0.34..0.67"])
def test_six_responses_of_three_kinds(tau: str, length: str) -> None:
    """The same for n = 6 by stepping through each order of arrival that asks in prefixes."""
    demand = Demand(tau=tau, length=length)
    for letters in product("CcW", repeat=6):
        whole = spelled("".join(letters))
        prefix, unknown = 0, [None] * 6
        while prefix < (prefix := demand.prefix([*whole[:prefix], *unknown[prefix:]])):
            assert prefix <= demand.prefix(whole)
        assert prefix == demand.prefix(whole)


def orders(n: int) -> Iterator[tuple[int, ...]]:
    """Which samples are known, growing one by one, in a few orders of arrival."""
    yield tuple(range(n))
    yield tuple(reversed(range(n)))
    yield tuple(sorted(range(n), key=lambda sample: (sample % 3, sample)))


@pytest.mark.parametrize("tau", ["0.75", "0.50..0.99", "1.00"])
@pytest.mark.parametrize("length", ["median", "first", "first-wrong"])
def test_what_is_certain_to_be_needed_only_grows(tau: str, length: str) -> None:
    demand = Demand(tau=tau, length=length)
    whole = spelled("CWcCTCwCCCcCWCCC")
    for order in orders(16):
        bounds = [
            demand.prefix([whole[s] if s in order[:known] else None for s in range(16)])
            for known in range(17)
        ]
        assert bounds == sorted(bounds)
        assert bounds[-1] == demand.prefix(whole)


def test_needs_are_spelled_so_that_equal_needs_are_equal() -> None:
    points = [("0.75", "median"), ("1.00", "first"), ("0.50", "longest"), ("0.75", "median")]
    asked = needs(points, Filters(), early_stop=True)
    assert asked == needs(list(reversed(points)), Filters(), early_stop=True)
    assert asked.demands == (
        Demand(tau="0.75", length="median"),  # the hull of all rules that look at everything
        Demand(tau="1.00", length="first"),
    )
    band = needs([("0.50..0.80", "random"), ("0.60..0.90", "shortest")], Filters(), True)
    assert band.demands == (Demand(tau="0.50..0.90", length="median"),)
    assert needs(points, Filters(), early_stop=False) == Needs(demands=None, filters=Filters())
    assert Needs.model_validate_json(asked.model_dump_json()) == asked


def test_needs_take_what_the_most_demanding_asks() -> None:
    asked = needs([("0.50", "median"), ("1.00", "first-wrong")], Filters(), True)
    assert asked.prefix(spelled("CCCCC")) == 5  # nothing wrong to find
    assert asked.prefix(spelled("CCCWC")) == 4  # the median is settled at 3
    assert asked.prefix(spelled("WCCCC")) == 4  # the first wrong is settled at 4, kept or not
    assert asked.prefix(spelled("CCWCC")) == 4
    assert asked.prefix(spelled("CCWWC")) == 5
    assert asked.prefix(spelled("?????")) == 3
    assert needs([], Filters(), early_stop=False).prefix(spelled("CCWC")) == 4


STRICT = Filters(max_rep_20=0.1)
EVERY = Needs(demands=None, filters=Filters())


def asking(*points: tuple[str, str], filters: Filters | None = None) -> Needs:
    return needs(points, filters or Filters(), early_stop=True)


@pytest.mark.parametrize(
    ("ours", "theirs", "covered"),
    [
        (asking(("0.50", "median")), asking(("0.75", "longest")), True),
        (asking(("0.75", "median")), asking(("0.50", "median")), False),
        (asking(("0.20..0.50", "median")), asking(("0.75", "median")), True),
        (asking(("0.50", "median")), asking(("0.20..0.75", "median")), False),
        (asking(("1.00", "first")), asking(("1.00", "first"), ("0.75", "median")), True),
        (asking(("1.00", "first")), asking(("1.00", "first-wrong")), False),
        (asking(("1.00", "first"), ("0.75", "median")), asking(("1.00", "first")), False),
        (asking(("0.75", "first")), asking(("0.75", "median")), True),  # looks at less
        (asking(("1.00", "first")), asking(("0.75", "median")), False),
        (asking(("1.00", "first")), EVERY, True),
        (EVERY, asking(("1.00", "median")), True),  # which draws all of them
        (EVERY, asking(("0.99", "median")), False),
        (asking(("1.00", "first-wrong")), asking(("1.00", "median")), True),
        (EVERY, EVERY, True),
        # what is fit decides which comes first, but not how many are correct
        (asking(("1.00", "first"), filters=STRICT), asking(("1.00", "first")), False),
        (asking(("0.75", "median"), filters=STRICT), asking(("0.75", "median")), True),
    ],
)
def test_covered_by(ours: Needs, theirs: Needs, covered: bool) -> None:
    assert ours.covered_by(theirs) is covered


@pytest.mark.parametrize("letters", ["CcWT"])
def test_what_covers_draws_at_least_as_much(letters: str) -> None:
    """`covered_by` promises: a pool stopped for the one holds all that the other looks at."""
    points = [(tau, length) for tau in TAUS for length in ("median", "first", "first-wrong")]
    sets = [asking(point) for point in points] + [asking(("0.50", "median"), ("1.00", "first"))]
    drawn = [spelled("".join(kinds)) for kinds in product(letters, repeat=4)]
    prefixes = [[asked.prefix(outcome) for outcome in drawn] for asked in sets]
    pairs = [(i, j) for i in range(len(sets)) for j in range(len(sets))]
    covered = [(i, j) for i, j in pairs if i != j and sets[i].covered_by(sets[j])]
    assert covered
    for ours, theirs in covered:
        assert all(a <= b for a, b in zip(prefixes[ours], prefixes[theirs], strict=True))


def test_joined_parts_settle_what_each_settles() -> None:
    first = asking(("0.50", "median"), ("1.00", "first"))
    more = asking(("0.75", "median"), ("1.00", "first"), filters=STRICT)
    both = joined([first, more], Filters())
    assert first.covered_by(both) and asking(("0.75", "median")).covered_by(both)
    assert not more.covered_by(both)  # its first is another first
    assert more.covered_by(joined([first, more], STRICT))
    assert joined([first, EVERY], STRICT) == Needs(demands=None, filters=STRICT)
    assert not asking(("0.75", "median")).covered_by(joined([], Filters()))


def test_every_rule_that_is_not_of_the_first_is_covered_alike() -> None:
    """A new length rule looks at every response unless it says that it takes the first."""
    for length in LENGTH_RULES.keys() - FIRST:
        assert Demand(tau="0.75", length=length).prefix(spelled("CCC?")) == 4
        assert asking(("0.75", length)) == asking(("0.75", "median"))


def rows(pool: pl.DataFrame) -> list[tuple[str, int]]:
    return pool.select("problem_id", "sample").sort("problem_id", "sample").rows()


def graded(**problems: str) -> pl.DataFrame:
    """Grades of problems spelled as above; a misfit repeats itself."""
    table = graded_pool(
        {key: [(9, kind in "Cc") for kind in text] for key, text in problems.items()}
    )
    kinds: Sequence[str] = [kind for text in problems.values() for kind in text]
    return table.with_columns(
        verdict=pl.Series(["timed-out" if kind == "T" else None for kind in kinds]).fill_null(
            table["verdict"]
        ),
        rep_20=pl.Series([0.9 if kind.islower() else 0.0 for kind in kinds]),
    )


def test_outcomes_and_their_settled_rows() -> None:
    table = graded(a="CCcC", b="WCTw", c="CW", d="WWWW")
    known = outcomes(table, Filters(), 4)
    assert known["a"] == [CORRECT, CORRECT, MISFIT, CORRECT]
    assert known["b"] == [WRONG, CORRECT, LATE, SPOILT]
    assert known["c"] == [CORRECT, WRONG, None, None]
    lenient = outcomes(table, Filters(max_rep_20=1), 4)
    assert lenient["a"] == [CORRECT] * 4

    def of(tau: str, length: str) -> list[tuple[str, int]]:
        return rows(settled(table, Demand(tau=tau, length=length), Filters(), 4))

    # c was stopped early and is not settled for the median: left out, not half looked at
    assert of("0.50", "median") == [
        *(("a", sample) for sample in range(3)),
        *(("b", sample) for sample in range(4)),
        *(("d", sample) for sample in range(4)),
    ]
    assert of("1.00", "first") == [
        *[("a", 0), ("b", 0), ("b", 1), ("c", 0)],
        *(("d", sample) for sample in range(4)),
    ]


def test_settled_of_no_grades_is_no_grades() -> None:
    empty = graded(a="C").clear()
    assert settled(empty, Demand(tau="0.75", length="median"), Filters(), 4).is_empty()


def test_a_gap_in_the_drawn_prefix_leaves_the_problem_out() -> None:
    table = graded(a="WCCC").filter(pl.col("sample") != 1)
    assert settled(table, Demand(tau="1.00", length="first"), Filters(), 4).is_empty()
