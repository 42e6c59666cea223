"""Grading: the answer that counts, and the ladder of methods that judges it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssgr.config.conventions import MethodName
from ssgr.errors import ConfigError
from ssgr.grading import METHODS, Conventions, judge, judge_response
from ssgr.grading.boxes import last_box
from ssgr.grading.extraction import after_thinking, choice_letter
from ssgr.grading.judge import extract, judge_quickly
from ssgr.grading.notation import normalise, spelling
from ssgr.grading.numbers import parse_number
from ssgr.grading.verdict import VerdictName
from ssgr.storage.tables import VERDICTS

# --- the answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{41}, no: \boxed{42}", "42"),
        (r"$\fbox{7}$", "7"),
        (r"\boxed 2$.", "2"),
        (r"\boxed \frac{1}{2}.", r"\frac{1}{2}"),
        (r"\boxed {\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\\boxed{5}", "5"),
        (r"\boxed{1 \\{2}}", r"1 \\{2}"),
        (r"\\boxed{\\{1\\}}", r"\\{1\\}"),
        (r"\boxed{\boxed{3}}", "{3}"),
        (r"an open { and \boxed{7}", "7"),
        (r"\boxed{8} and a stray }", "8"),
        (r"\boxed{13", None),
        (r"first \boxed{12}, then \boxed{13", "12"),
        (r"\boxed{3} \boxed{}", None),
        ("the answer is 42", None),
        (r"\boxedness{4}", None),
        (r"\beginboxed{8}", "8"),
        # a box that is only named, and what wraps an answer, are no answer
        (r"\boxed{5\pi}. The answer stands inside \boxed as requested.", r"5\pi"),
        (r"\boxed{8} (I was told to use \boxed for it)", "8"),
        (r"\boxed{8}, written with the \boxed{} command.", "8"),
        ("\\boxed{8} is given in `\\boxed{}` format", "8"),
        (r"\boxed{8} is given in the form \boxed{...}.", "8"),
        (r"\boxed{8} as \boxed{\text{your answer}} says", "8"),
        ("\\boxed{8}, put in `\\boxed`.", "8"),
        (r"\boxed{8}. A \boxed expression holds it.", "8"),
        (r"first \boxed 8, then the rest: \boxed it is", "8"),
        (r"\boxed{8} because \boxed, as asked, was wanted", "8"),
        (r"\boxed{8} and \boxed a result", "8"),
        (r"\boxed{8} stands in \boxed\{\}, as told", "8"),
        (r"\boxed\{8\}", r"\{8\}"),
        (r"so \boxed A", "A"),
        (r"so \boxed a", "a"),
        (r"so \boxed Yes", "Yes"),
        (r"I cannot use \boxed here", None),
        (r"an empty \boxed{}", None),
        (r"\boxed{8}, \boxed{9}", "9"),
        (r"\boxed{8}. No: \boxed{}", None),
        (r"\boxed{answer}", "answer"),
        (r"\boxed{**n = 4**}", "n = 4"),
        (r"\boxed{__-2__}", "-2"),
        (r"\boxed{_6_}", "6"),
        (r"\boxed{***\frac25***}", r"\frac25"),
        (r"\boxed{*2*3*}", "*2*3*"),
        (r"\boxed{x_1}", "x_1"),
        (r"\boxed{**2** or **3**}", "**2** or **3**"),
        (r"\boxed{\begin{gathered}\sqrt2\end{gathered}}", r"\sqrt2"),
        (r"\boxed{$\begin{align*}k&=11\end{align*}$}", "k=11"),
        (r"\boxed{\begin{array}{r} 31 \\ \end{array}}", "31"),
        (r"\boxed{\begin{split}n&=2\cdot3\\&=6\end{split}}", r"n=2\cdot3 =6"),
        (r"\boxed{\begin{array}{ll}3&4\end{array}}", r"\begin{array}{ll}3&4\end{array}"),
        (r"\boxed{\displaystyle\begin{eqnarray*}z&=&9\end{eqnarray*}}", "z=9"),
        (r"\boxed{\begin{alignedat}{1}{9}\end{alignedat}}", "{9}"),
        (r"\boxed{\begin{array}{@{}l@{}}9\end{array}}", "9"),
        (r"\boxed{**9**.}", "9"),
        (r"\boxed{\begin{aligned}9&5\end{aligned}}", r"\begin{aligned}9&5\end{aligned}"),
        (r"\boxed{\begin{aligned}&9\\\end{aligned}}", "9"),
        (r"\boxed{\begin{align}t&\approx9\end{align}}", r"t\approx9"),
        (r"\boxed{\begin{bmatrix}3\end{bmatrix}}", r"\begin{bmatrix}3\end{bmatrix}"),
        (r"\boxed{\begin{aligned}a&=3\\b&=4\end{aligned}}",
         r"\begin{aligned}a&=3\\b&=4\end{aligned}"),
    ],
)  # fmt: skip
def test_last_box(text: str, box: str | None) -> None:
    assert last_box(text) == box


def test_only_text_after_the_last_closing_tag_counts() -> None:
    assert after_thinking("a</think>b</think>c", "</think>") == "c"
    assert after_thinking("still thinking", "</think>") is None
    assert after_thinking("no thinking here", None) == "no thinking here"
    assert extract(r"<think>\boxed{1}</think>\boxed{2}") == "2"
    assert extract(r"<think>\boxed{1}") is None
    assert extract(r"\boxed{1}</think> done") is None
    assert extract(r"[/t] \boxed{9}", think_close="[/t]") == "9"
    assert extract(r"\boxed{1}", think_close="") == "1"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"\boxed{C}", "C"),
        (r"\boxed{\text{(b)}}", "B"),
        (r"\boxed{\textbf{D}}", "D"),
        (r"\boxed{C) 12 m}", "C"),
        (r"Answer: A, no: \boxed{D}", "D"),
        ("Answer: C", "C"),
        ("**Answer:** $B$", "B"),
        ("answer : a\nAnswer: B", "B"),
        (r"\boxed{12} Answer: B", "B"),
        ("Answer: I think so", None),
        ("Answer: Both", None),
        ("C", None),
        (r"\boxed{Cat}", None),
    ],
)
def test_choice_letter(text: str, letter: str | None) -> None:
    assert choice_letter(text) == letter


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("\uff14\uff12", "42"),
        ("4\u200b2", "42"),
        ("\u22125", "-5"),
        ("\u00bd", r"\frac{1}{2}"),
        ("3\u00bd", r"3\frac{1}{2}"),
        (r"27\,648", "27648"),
        ("10{,}000", "10000"),
        (r"2,\!600", "2600"),
        (r"\$10", "10"),
        ("$$ 42. $$", "42"),
        (r"\(x\)", "x"),
        (r"1,\,2", "1, 2"),
        ("(100,200)", "(100,200)"),
        (r"\\sqrt{5}", r"\sqrt{5}"),
        (r"so \boxed{3}", "3"),
        ("185\\", "185"),
        ("**5**", "5"),
        ("3\N{SQUARE ROOT}2", r"3\sqrt{2}"),
        ("x\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}", "x^{12}"),
        ("\N{GREEK SMALL LETTER PI}/2", r"\pi /2"),
        ("28 percent", r"28\%"),
        (r"45^{\circ}", r"45^\circ"),
        (r"T_{\mathrm{s}}", "T_{s}"),
        (r"R_{\odot}^2", "R_{odot}^2"),
    ],
)
def test_normalise(answer: str, normal: str) -> None:
    assert normalise(answer) == normal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is __58__.", "58"),
        ("The answer is __$y^2$__", "y^2"),
        ("Final answer: **\\frac{3}{8}**.", r"\frac{3}{8}"),
        ("The result is ***-4***!", "-4"),
        ("I did not use \\boxed here. The answer is 19.", "19"),
        ("$a_1 + b_1 = 2_3$", "a_1 + b_1 = 2_3"),
    ],
)
def test_emphasis_around_an_answer_in_prose(text: str, found: str) -> None:
    assert extract(text, think_close="", conventions=Conventions(unboxed="final")) == found


def test_spelling_ignores_layout_only() -> None:
    assert spelling(r"\left( 1, \dfrac{1}{2} \right)") == spelling(r"(1,\frac{1}{2})")
    assert spelling(r"\text{ Even }") == "Even"
    assert spelling("1   1/2") == "1 1/2"
    assert spelling("1 1/2") != spelling("11/2")


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1,250.5", Fraction(-2501, 2)),
        ("1 000", Fraction(1000)),
        ("028", Fraction(28)),
        (".4", Fraction(2, 5)),
        ("3/4", Fraction(3, 4)),
        ("11/2", Fraction(11, 2)),
        ("1 1/2", Fraction(3, 2)),
        (r"-2\frac58", Fraction(-21, 8)),
        (r"\frac{-1}{2}", Fraction(-1, 2)),
        (r"\dfrac{1}{3}", Fraction(1, 3)),
        (r"1.5 \times 10^3", Fraction(1500)),
        (r"2 \cdot 10^{-2}", Fraction(1, 50)),
        ("1.5e3", Fraction(1500)),
        (r"\text{25}", Fraction(25)),
    ],
)
def test_parse_number(text: str, value: Fraction) -> None:
    number = parse_number(text)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    "text", ["", "-", ".", "1/0", "x", "1,22", "0,111", "12:00", "2e", "9" * 99]
)
def test_not_a_plain_number(text: str) -> None:
    assert parse_number(text) is None


@given(st.integers(), st.integers())
def test_integers_are_equal_only_if_they_are_the_same(gold: int, answer: int) -> None:
    near = gold + (answer % 3) - 1
    for other in (answer, near):
        verdict = judge_quickly(str(gold), f"{other:,}")
        if verdict is not None:  # None: too long for this step
            assert (verdict.verdict == "correct") == (gold == other)


@given(st.integers(-999, 999), st.integers(1, 999))
def test_a_fraction_equals_itself_however_it_is_written(top: int, bottom: int) -> None:
    sign = "-" if top < 0 else ""
    forms = [
        f"{top}/{bottom}",
        rf"{sign}\frac{{{abs(top)}}}{{{bottom}}}",
        f"{3 * top}/{3 * bottom}",
    ]
    for form in forms:
        verdict = judge_quickly(forms[0], form)
        assert verdict is not None and verdict.verdict == "correct"
    other = judge_quickly(forms[0], f"{top + 1}/{bottom}")
    assert other is not None and other.verdict == "wrong"


# --- the ladder ---------------------------------------------------------------------------------


LADDER: list[tuple[str, str | None, VerdictName, str]] = [
    ("42", "42", "correct", "exact"),
    ("$42$", r"\(42\)", "correct", "exact"),
    ("Even", r"\text{Even}", "correct", "exact"),
    (r"\frac{1}{2}", r"\dfrac{1}{2}", "correct", "exact"),
    ("42", "42.0", "correct", "numeric"),
    ("1/3", "0.333333", "correct", "numeric"),
    ("1/3", "0.3333", "wrong", "numeric"),
    ("10000000", "10000001", "wrong", "numeric"),
    ("127", "127.001", "wrong", "numeric"),
    ("5", "-5", "wrong", "numeric"),
    (r"3\sqrt{13}", "3", "wrong", "math-verify"),
    ("27648", r"27\,648", "correct", "exact"),
    ("27648", "675", "wrong", "numeric"),
    (r"74^\circ", "74\N{DEGREE SIGN}", "correct", "exact"),
    (r"2^{10}", "1024", "correct", "math-verify"),
    ("4000", "x = 4000", "correct", "numeric"),
    ("10", r"10 \text{ cm}", "correct", "numeric"),
    (r"10 \text{ cm}", "10 m", "wrong", "numeric"),
    ("5", "5m", "wrong", "math-verify"),
    ("1011_2", "1011_3", "wrong", "numeric"),
    (r"6:00 \text{ p.m.}", r"6:00 \text{ a.m.}", "wrong", "math-verify"),
    (r"40\%", "0.4", "correct", "numeric"),
    ("-5,7", "7, -5", "correct", "numeric"),
    ("(1,2),(3,4)", "(4,3), (1,2)", "wrong", "math-verify"),
    (r"\frac{1}{2}", r"\begin{pmatrix}\frac{1}{2}", "wrong", "math-verify"),
    (r"\frac{1}{2}", r"\le \frac{1}{2} \foo 3", "wrong", "math-verify"),
    (r"(-\infty,-1)\cup(2,\infty)", r"x>2 \text{ and } x<-1", "wrong", "math-verify"),
    (r"\frac{43}{48}", r"43/48 \approx 0.896", "correct", "numeric"),
    ("1", "9" * 5001, "wrong", "size"),
    ("9" * 5001, "9" * 5001, "correct", "exact"),
    ("1", "{" * 31 + "1" + "}" * 31, "wrong", "size"),
    ("(100,200)", "100200", "wrong", "math-verify"),
    ("(1,2)", "(2,1)", "wrong", "numeric"),
    ("[0,1)", "[0,9)", "wrong", "numeric"),
    (r"\sqrt{2}", "}{", "wrong", "math-verify"),
    ("42", None, "no-answer", "extraction"),
    ("42", " ", "no-answer", "extraction"),
    ("$ $", "42", "unparsable-gold", "exact"),
]


@pytest.mark.parametrize(("gold", "answer", "verdict", "method"), LADDER)
def test_ladder(gold: str, answer: str | None, verdict: str, method: str) -> None:
    judged = judge(gold, answer)
    assert (judged.verdict, judged.method) == (verdict, method)
    assert judged.extracted == answer
    assert judged.milliseconds >= 0


def test_judge_response() -> None:
    assert judge_response("42", r"\boxed{41}</think>So \boxed{42}.").verdict == "correct"
    assert judge_response("42", r"\boxed{42}</think>So \boxed{41}.").verdict == "wrong"
    assert judge_response("42", r"<think>so \boxed{42}").verdict == "no-answer"
    assert judge_response("42", r"so \boxed{42}").verdict == "correct"
    required = Conventions(thinking="required")
    assert judge_response("42", r"so \boxed{42}", required).verdict == "no-answer"
    assert judge_response("42", r"so \boxed{42}", required, think_close=None).verdict == "correct"
    assert judge_response("C", "</think>Answer: C", method="choice").verdict == "correct"


ALONE: list[tuple[str, str, str, str, str]] = [
    ("exact", "1/2", r"$1/2$", "correct", "exact"),
    ("exact", "1/2", "0.5", "wrong", "exact"),
    ("numeric", "1/2", "0.5", "correct", "numeric"),
    ("numeric", "x+1", "1+x", "wrong", "numeric"),
    ("math-verify", "1/2", "0.5", "correct", "math-verify"),
    ("math-verify", "1/2", "1/2", "correct", "math-verify"),
    ("pattern", "1,000", "$1000.", "correct", "pattern"),
    ("pattern", "Even", "even", "correct", "pattern"),
    ("pattern", "1/2", "0.5", "wrong", "pattern"),
    ("choice", "(C)", "C", "correct", "choice"),
    ("choice", "C", r"\text{(D)}", "wrong", "choice"),
    ("choice", "12", "C", "unparsable-gold", "choice"),
]


@pytest.mark.parametrize(("method", "gold", "answer", "verdict", "decided"), ALONE)
def test_each_method_alone(method: str, gold: str, answer: str, verdict: str, decided: str) -> None:
    judged = judge(gold, answer, method=method)
    assert (judged.verdict, judged.method) == (verdict, decided)
    assert judge(gold, None, method=method).verdict == "no-answer"


def test_methods_are_those_of_the_configuration() -> None:
    assert set(get_args(MethodName)) == set(METHODS) == {method for method, *_ in ALONE} | {"math"}


def test_judge_works_in_threads_and_again() -> None:
    with ThreadPoolExecutor(2) as threads:
        verdicts = threads.map(judge, ["x+1", "x+2"] * 3, ["1+x"] * 6)
        assert [verdict.verdict for verdict in verdicts] == ["correct", "wrong"] * 3


def test_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'maths'.*choice.*math"):
        judge("1", "1", method="maths")


def test_verdicts_are_those_of_the_table() -> None:
    assert get_args(VerdictName) == VERDICTS


@given(st.text(alphabet=st.sampled_from("\\{}$ ,.0123x/boxedfrac()[]\u00bd\uff11\n")))
def test_any_text_can_be_looked_at(text: str) -> None:
    box = last_box(text)
    assert box is None or box.strip() == box != ""
    choice_letter(text)
    verdict = judge_quickly(text, text)
    assert verdict is not None
    assert verdict.verdict in ("correct", "no-answer", "unparsable-gold")


def test_importing_grading_stays_light() -> None:
    code = (
        "import sys, ssgr.grading;"
        "print({'sympy', 'math_verify', 'torch', 'polars', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
