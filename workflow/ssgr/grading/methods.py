"""The methods that judge an answer, each usable alone, and the ladder that combines them.

A step sees the gold and the answer and says "correct", "wrong", or None: it cannot tell. The
quick steps take microseconds whatever the input; only math-verify needs a child process.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ssgr.config.conventions import Conventions
from ssgr.errors import ConfigError
from ssgr.grading.extraction import boxed_answer, choice_letter, find_pattern
from ssgr.grading.names import same_point
from ssgr.grading.notation import read, spelling
from ssgr.grading.numbers import Number, equal_numbers, parse_number
from ssgr.grading.quantities import Quantity, compatible, parse_quantity
from ssgr.grading.structure import Parts, parse_parts, same_parts
from ssgr.grading.verdict import VerdictName

Step = Callable[[str, str, Conventions], VerdictName | None]


def exact(gold: str, answer: str, conventions: Conventions) -> VerdictName | None:
    """Correct if both are spelled alike, layout aside."""
    right = read(gold, conventions)
    if not _is_readable(right, conventions):
        return "unparsable-gold"
    return "correct" if spelling(right) == spelling(read(answer, conventions)) else None


def numeric(gold: str, answer: str, conventions: Conventions) -> VerdictName | None:
    """Decide if both are plain numbers, or lists or tuples of them, with or without units."""
    right, given = read(gold, conventions), read(answer, conventions)
    if not _is_readable(right, conventions):
        return "unparsable-gold"
    same = _same_quantities(right, given, conventions)
    if not same_point(right, given):
        return "wrong"
    if same is None and (parts := (parse_parts(right), parse_parts(given))) != (None, None):
        same = _same_lists(*parts, conventions)
    if same is None and not conventions.unsimplified and _number(right) and not _number(given):
        same = False
    return None if same is None else "correct" if same else "wrong"


def _is_readable(gold: str, conventions: Conventions) -> bool:
    """Whether a normalised gold is something, and in the range that the conventions name."""
    if conventions.integer_range is None:
        return bool(gold)
    number, (lowest, highest) = parse_number(gold), conventions.integer_range
    if number is None or number.value.denominator != 1:
        return False
    return lowest <= number.value <= highest


def _number(text: str) -> Number | None:
    return parse_number(parse_quantity(text).value)


def _same_quantities(gold: str, answer: str, conventions: Conventions) -> bool | None:
    """Compare two numbers with their units; None if either is something else."""
    one = parse_quantity(gold)
    if (right := parse_number(one.value)) is None:
        return None
    other = parse_quantity(answer)
    given = parse_number(other.value) or parse_number(other.value.rpartition("=")[2].strip())
    if given is None or not _is_assignment(other.value):
        return None
    return compatible(one, other, conventions) and _same_numbers(one, right, other, given,
                                                                 conventions)  # fmt: skip


def _is_assignment(text: str) -> bool:
    """Whether what stands before an equals sign, if there is one, is a single letter."""
    name, equals, _ = text.partition("=")
    return not equals or (len(name.strip()) == 1 and name.strip().isalpha())


def _same_numbers(
    one: Quantity, right: Number, other: Quantity, given: Number, conventions: Conventions
) -> bool:
    if one.percent == other.percent:
        return equal_numbers(right, given, conventions)
    first, second = (
        Number(number.value / 100, None if number.places is None else number.places + 2)
        if quantity.percent
        else number
        for quantity, number in ((one, right), (other, given))
    )
    bare = conventions.percent_sign == "optional" and equal_numbers(right, given, conventions)
    return bare or equal_numbers(first, second, conventions)


def _same_lists(gold: Parts | None, answer: Parts | None, conventions: Conventions) -> bool | None:
    """Compare lists, sets or tuples of numbers; None if either is something else."""
    if gold is None or answer is None or len(gold.parts) != len(answer.parts):
        return None
    lists = gold.opening in ("", "{") and answer.opening in ("", "{")
    brackets = (gold.opening, gold.closing) == (answer.opening, answer.closing)
    if not (lists or (brackets and gold.opening in ("(", "["))):
        return None
    if not all(_number(part) for part in (*gold.parts, *answer.parts)):
        return None
    ordered = not lists or (conventions.order == "kept" and gold.opening == answer.opening == "")
    return same_parts(
        gold.parts,
        answer.parts,
        lambda one, other: bool(_same_quantities(one, other, conventions)),
        ordered=ordered,
    )


def choice(gold: str, answer: str, conventions: Conventions) -> VerdictName | None:
    """Compare option letters."""
    right = _letter(gold, conventions)
    if right is None:
        return "unparsable-gold"
    return "correct" if right == _letter(answer, conventions) else "wrong"


def _letter(answer: str, conventions: Conventions) -> str | None:
    boxed = rf"\boxed{{{answer}}}"
    return choice_letter(answer, conventions) or choice_letter(boxed, conventions)


def pattern(gold: str, answer: str, conventions: Conventions) -> VerdictName | None:
    """Compare what the pattern found as lm-eval does: case, ``,``, ``$`` and a final dot aside."""
    if not gold.strip():
        return "unparsable-gold"
    return "correct" if _folded(gold) == _folded(answer) else "wrong"


def _folded(text: str) -> str:
    return text.lower().replace(",", "").replace("$", "").strip().removesuffix(".")


@dataclass(frozen=True)
class Method:
    """How answers are found (in the text after thinking) and judged.

    The first step that can tell decides; what is left open goes to math-verify, or is wrong.
    """

    extract: Callable[[str, Conventions], str | None]
    steps: dict[str, Step]
    math_verify: bool = False


METHODS: dict[str, Method] = {
    "math": Method(boxed_answer, {"exact": exact, "numeric": numeric}, math_verify=True),
    "choice": Method(choice_letter, {"choice": choice}),
    "exact": Method(boxed_answer, {"exact": exact}),
    "numeric": Method(boxed_answer, {"numeric": numeric}),
    "pattern": Method(find_pattern, {"pattern": pattern}),
    "math-verify": Method(boxed_answer, {}, math_verify=True),
}


def find_method(name: str) -> Method:
    """Look up a grading method.

    Raises:
        ConfigError: there is none of that name; lists the names.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown grading method {name!r}: expected one of {sorted(METHODS)}")
    return METHODS[name]
