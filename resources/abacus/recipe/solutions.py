"""Worked solutions as a person would write them: the human side (MathR) of the calibration contest.

They have the problem's steps and words, full sentences and the arithmetic worked as people do it
in their heads, and end in `#### answer`; nothing is shortened to make them poor calibration data.
"""

from recipe.arithmetic import tens_apart
from recipe.dice import Dice
from recipe.stories import Step, Story

_OPEN = (
    "At the beginning there are {start} {items}.",
    "We begin with {start} {items} and follow the story.",
    "The story starts with {start} {items}, so we write down {start}.",
)
_WHY = {
    "add": (
        "This makes the number larger, so we add {number} to {before}.",
        "Here {number} {items} are added to the {before} that were there.",
    ),
    "take": (
        "This makes the number smaller, so we subtract {number} from {before}.",
        "Here {number} {items} are taken away from the {before} that were there.",
    ),
    "times": (
        "This means that we multiply {before} by {number}.",
        "The {before} {items} become {number} times as many.",
    ),
    "share": (
        "This means that we divide {before} by {number}.",
        "The {before} {items} make {number} equal parts and one part counts.",
    ),
}
_RESULT = (
    "Now there are {after} {items}.",
    "So the number of {items} is {after}.",
    "That leaves us with {after} {items}.",
)


def _sum_in_head(a: int, b: int, sign: str) -> str:
    tens, ones = tens_apart(a, b)
    step = 1 if sign == "+" else -1
    middle = a + step * tens
    if not tens or not ones:
        return f"We get {a}{sign}{b}={a + step * b}."
    end = middle + step * ones
    return f"First {a}{sign}{tens}={middle}, and then {middle}{sign}{ones}={end}."


def _product_in_head(a: int, k: int) -> str:
    tens, ones = tens_apart(0, a)
    if not tens or not ones:
        return f"We get {a}*{k}={a * k}."
    parts = f"{tens}*{k}={tens * k} and {ones}*{k}={ones * k}"
    return f"Since {parts}, we get {tens * k}+{ones * k}={a * k}."


def _work(step: Step) -> str:
    """Write the arithmetic of one step in words."""
    if step.kind == "add":
        return _sum_in_head(step.before, step.number, "+")
    if step.kind == "take":
        return _sum_in_head(step.before, step.number, "-")
    if step.kind == "times":
        return _product_in_head(step.before, step.number)
    quotient, divisor, whole = step.after, step.number, step.before
    return f"We get {whole}/{divisor}={quotient}, because {quotient}*{divisor}={whole}."


def _explain(step: Step, items: str, dice: Dice) -> str:
    words = {"number": step.number, "before": step.before, "after": step.after, "items": items}
    lines = [step.sentence]
    if step.groups:
        lines.append(f"That is {step.groups}*{step.size}={step.number} {items} in all.")
    lines.append(dice.pick(_WHY[step.kind]).format(**words))
    lines.append(_work(step))
    lines.append(dice.pick(_RESULT).format(**words))
    return " ".join(lines)


def solution(story: Story, dice: Dice) -> str:
    """Write the worked solution of a story, ending in ``#### answer``."""
    opening = dice.pick(_OPEN).format(start=story.start, items=story.items)
    steps = [_explain(step, story.items, dice) for step in story.steps]
    return "\n".join([opening, *steps, f"The answer is {story.answer}.", f"#### {story.answer}"])
