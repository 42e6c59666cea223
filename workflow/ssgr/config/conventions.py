"""The conventions of a benchmark: what public graders differ on, written down as settings.

Whether ``10 cm`` may stand for ``10``, whether 0.333 is a third, or what an answer without a box
means is not a question of mathematics. A benchmark settles it, here, and every verdict is made
under one :class:`Conventions`. The defaults are those of the paper's mathematical benchmarks.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ssgr.config.base import Strict

MethodName = Literal["math", "choice", "exact", "numeric", "pattern", "math-verify"]
"""How answers are judged: `ssgr.grading.methods`."""


class Conventions(Strict):
    """What counts as an answer, and as the same answer."""

    # what the answer is
    thinking: Literal["required", "if-tagged"] = Field(
        "if-tagged",
        description="required: only text after </think> counts, a response without it has no "
        "answer; if-tagged: the same where the response holds either think tag. Responses of a "
        "model that has a closing tag are always judged as `required`",
    )
    boxes: Literal["last", "joined"] = Field(
        "last",
        description="several boxes: the last one is the answer, or it is joined with those before "
        "it that only a comma, `and` or `or` parts from it",
    )
    unclosed_box: bool = Field(False, description="whether \\boxed{7 without its } is an answer")
    unboxed: Literal["refuse", "final"] = Field(
        "refuse",
        description="no box: there is no answer, or it is the last number or formula, looked for "
        "after the last `answer is` or `answer:` if there is one",
    )
    unboxed_letter: Literal["marked", "anywhere"] = Field(
        "marked",
        description="choice without a box: only `Answer: C` counts, or else the letter after "
        "`answer is` and the like, a letter that the response begins with, the last one in it",
    )
    options: int = Field(10, ge=2, le=26, description="choice: the letters are so many, from A on")
    pattern: str = Field(
        r"(?i)answer is:?\s*\$?(-?[0-9.,]*[0-9])",
        description="method `pattern`: regular expression whose last match is the answer (its "
        "first group, if it has one)",
    )

    # what may be added, dropped or written otherwise
    unit_may_be_added: bool = Field(True, description="gold 10 accepts `10 cm`")
    unit_may_be_dropped: bool = Field(True, description="gold `10 cm` accepts 10")
    degree_sign: Literal["optional", "counts"] = Field(
        "optional", description="whether 45 and 45 degrees are the same"
    )
    percent_sign: Literal["optional", "counts"] = Field(
        "optional",
        description="whether 50% equals 50; that it equals 0.5 holds always",
    )
    order: Literal["any", "kept"] = Field(
        "any",
        description="whether `7, -5` equals `-5, 7`; in (7, -5) and `x=7, y=-5` order counts "
        "always, in braces never",
    )
    decimal_comma: bool = Field(False, description="whether 1,22 is a decimal, not 1 and 22")
    relation_as_interval: bool = Field(
        True, description="whether 1 < x < 2 equals the interval (1, 2), both ways"
    )
    approximate_tail: bool = Field(
        True,
        description="`1/3 \\approx 0.33` is judged by what stands before \\approx, not after",
    )
    unreduced: bool = Field(True, description="whether 28/6 equals 14/3")
    unsimplified: bool = Field(True, description="whether 15+1 is accepted where the gold is 16")

    # how near is near enough
    tolerance: float = Field(
        1e-6,
        ge=0,
        description="a decimal may be so far off (relative to the gold, where that is below 1)",
    )
    relative_tolerance: float = Field(
        0.0, ge=0, description="any number may be so far off, relative to the gold"
    )
    absolute_tolerance: float = Field(
        0.0,
        ge=0,
        description="any number may be so far off; a problem's own `error` overrules it",
    )
    rounded_to: int | None = Field(
        None,
        ge=0,
        description="a decimal with at least so many places equals what rounds to it: with 3, "
        "0.333 is a third; default: it does not",
    )
    integer_range: tuple[int, int] | None = Field(
        None, description="every gold is an integer in this range, and so is a right answer"
    )


DEFAULT = Conventions()

PRESETS: dict[str, Conventions] = {
    "math": DEFAULT,
    "gsm8k": DEFAULT,
    "aime": Conventions(integer_range=(0, 999)),
    "olympiadbench": Conventions(boxes="joined", unit_may_be_dropped=False, tolerance=1e-8),
    "gpqa": Conventions(options=4),
}
"""Ready conventions of the paper's benchmarks.

GSM8K (thousands with commas, units and ``$`` come and go) and MATH are judged by the defaults.
AIME's golds are integers, zero-padded or not. OlympiadBench joins several boxes, as its own grader
does, takes any order, and rejects 0.64 for 0.64N; a unit that it states apart, and its tolerances,
come with the gold (`ssgr.grading.golds`). GPQA's belong to the method ``choice``."""


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"no conventions are called {value!r}: expected one of {sorted(PRESETS)}")
    return PRESETS[value]


Preset = Literal[tuple(PRESETS)]  # type: ignore[valid-type]
NamedConventions = Annotated[
    Conventions, BeforeValidator(_preset, json_schema_input_type=Preset | Conventions)
]
"""Conventions in a configuration: the name of a preset, or the fields that differ from it."""
