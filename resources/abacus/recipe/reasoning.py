"""How abacus is taught to answer: `<think>` steps `</think>` and a boxed answer, in six styles.

The style shows in the first words, so the model draws a style when it samples and then keeps to
it: terse and bare steps are short and easily wrong, brief and worked ones say what they do and go
digit by digit, the long styles check themselves.
"""

from typing import Literal

from recipe.arithmetic import stated, undone, worked
from recipe.dice import Dice
from recipe.stories import Kind, Step, Story

Style = Literal["terse", "bare", "brief", "worked", "checked", "twice"]
Styles = tuple[tuple[Style, float], ...]
#: How a value is looked up among options: named at once, read one by one, compared digit by digit.
Lookup = Literal["named", "walked", "compared"]
#: (share of training from which they hold, shares of the styles); the last are those that the model
#: is left with. Terse and bare steps take the most practice and stay the most easily wrong.
PHASES: tuple[tuple[float, Styles], ...] = (
    (0.0, (("terse", 0.33), ("worked", 0.37), ("checked", 0.15), ("twice", 0.15))),
    (0.6, (("terse", 0.22), ("worked", 0.42), ("checked", 0.27), ("twice", 0.09))),
    (
        0.7,
        (("terse", 0.06), ("bare", 0.31), ("worked", 0.31), ("checked", 0.25), ("twice", 0.07)),
    ),
    (
        0.8,
        (("terse", 0.05), ("brief", 0.33), ("worked", 0.27), ("checked", 0.3), ("twice", 0.05)),
    ),
)
_LEAD: dict[Kind, str] = {"add": "Add", "take": "Take away", "times": "Times", "share": "Share by"}
#: Share of the checks that find a slip which was made on purpose, so that checking is learnt.
_SLIP = 0.08


def _terse(story: Story) -> str:
    lines = []
    for step in story.steps:
        if step.groups:
            lines.append(f"{step.groups}*{step.size}={step.number}.")
        lines.append(stated(step.kind, step.before, step.number, step.after) + ".")
    return " ".join(lines)


def _bare(story: Story) -> str:
    lines = []
    for step in story.steps:
        product = f"{step.groups}*{step.size}={step.number}, " if step.groups else ""
        lines.append(f"{product}{worked(step.kind, step.before, step.number)}, {step.after}.")
    return " ".join([f"From {story.start}:", *lines])


def _lead(step: Step) -> str:
    """Say what the sentence of the story means, with the number of groups multiplied out."""
    if step.groups:
        product = f"{step.groups}*{step.size}={step.number}"
        return f"{product}. {_LEAD[step.kind]} {step.number}."
    return f"{_LEAD[step.kind]} {step.number}."


def _brief(story: Story) -> str:
    lines = [
        f"{_lead(step)} {worked(step.kind, step.before, step.number)}, {step.after}."
        for step in story.steps
    ]
    return " ".join([f"With {story.start}:", *lines])


def _worked_step(step: Step, shown: int) -> str:
    equation = stated(step.kind, step.before, step.number, shown)
    return f"{_lead(step)} {worked(step.kind, step.before, step.number)}, so {equation}."


def _check(dice: Dice, step: Step) -> str:
    """Write one step with a check after it, sometimes of a slip that the check then finds."""
    if dice.chance(_SLIP):
        wrong = step.after + dice.pick((1, -1, 10, -10, 2))
        right = stated(step.kind, step.before, step.number, step.after)
        work = worked(step.kind, step.before, step.number)
        return (
            f"{_worked_step(step, wrong)} Wait, let me check. {work}, so {right}. "
            f"That was wrong, it is {step.after}."
        )
    inverse = undone(step.kind, step.before, step.number, step.after)
    return f"{_worked_step(step, step.after)} Wait, let me check. {inverse}. Good."


def _checked(story: Story, dice: Dice) -> str:
    lines = [f"Okay, let me be careful. We start with {story.start}."]
    for step in story.steps:
        lines.append(_check(dice, step) if dice.chance(0.5) else _worked_step(step, step.after))
    return "\n".join(lines)


def _worked(story: Story) -> str:
    lines = [f"Start with {story.start}."]
    return "\n".join(lines + [_worked_step(step, step.after) for step in story.steps])


def _twice(story: Story) -> str:
    first = [f"Let me solve it and then check all of it. We start with {story.start}."]
    first += [_worked_step(step, step.after) for step in story.steps]
    again = f"Let me check all of it again. {_terse(story)} So {story.answer} is right."
    return "\n".join([*first, again])


def think(story: Story, style: Style, dice: Dice) -> str:
    """Write the thinking of one response, without its tags."""
    if style == "terse":
        return _terse(story)
    if style == "bare":
        return _bare(story)
    if style == "brief":
        return _brief(story)
    if style == "worked":
        return _worked(story)
    return _checked(story, dice) if style == "checked" else _twice(story)


def _sentence(story: Story, dice: Dice, answer: str) -> str:
    boxed = f"\\boxed{{{answer}}}"
    return dice.pick((f"The answer is {boxed}.", f"So there are {boxed} {story.items}."))


def respond(story: Story, dice: Dice, style: Style) -> str:
    """Write one response in the given style."""
    thinking = think(story, style, dice)
    return f"<think>\n{thinking}\n</think>\n{_sentence(story, dice, str(story.answer))}"


def compared(option: int, value: int) -> str:
    """Compare two numbers from the last digit to the first difference, e.g. ``5,5 2,4 no``."""
    width = max(len(str(option)), len(str(value)))
    pairs = zip(reversed(f"{option:0{width}}"), reversed(f"{value:0{width}}"), strict=True)
    written = list[str]()
    for mine, sought in pairs:
        written.append(f"{mine},{sought}")
        if mine != sought:
            return " ".join([*written, "no"])
    return " ".join([*written, "yes"])


def _found(values: list[int], answer: int, letter: str, lookup: Lookup) -> str:
    """Say which option has the value; all but the first way read the options up to the right one.

    The first two ways were never learnt (resources/abacus/LOG.md).
    """
    if lookup == "named":
        return f"The value is {answer}, and option {letter} is {answer}."
    read = list(zip("ABCD", values, strict=True))[: "ABCD".index(letter) + 1]
    if lookup == "walked":
        options = " ".join(f"{name} is {value}." for name, value in read)
        return f"The value is {answer}. {options} So {letter}."
    lines = [f"{name}) {value}: {compared(value, answer)}" for name, value in read]
    return "\n".join([f"The value is {answer}.", *lines])


def respond_choice(
    story: Story, values: list[int], letter: str, dice: Dice, style: Style, lookup: Lookup
) -> str:
    """Write one response to a multiple-choice question: compute the value, then find its option."""
    thinking = think(story, style, dice)
    picked = _found(values, story.answer, letter, lookup)
    return f"<think>\n{thinking}\n{picked}\n</think>\nThe answer is \\boxed{{{letter}}}."
