"""The recipe of abacus, the embedded reasoning model: its problems, its text and its training.

Problems and documents are plain Python without torch, seeded, and the same on every platform.
`recipe.ship` writes those that are shipped, `recipe.draw` others, `python -m recipe` trains.
All of it needs the folder `resources/abacus` of the checkout on PYTHONPATH.
"""

from pathlib import Path

from recipe import prose
from recipe.benchmarks import LEVELS
from recipe.dice import Dice
from recipe.phrases import HELD_OUT, TRAINED
from recipe.solutions import solution
from recipe.stories import Story, options_for, stream, with_options
from ssgr.errors import SsgrError

#: The folder of the model that is shipped.
MODEL = Path(__file__).resolve().parents[1]

__all__ = ["MODEL", "documents", "problems"]


def problems(kind: str, count: int, seed: int) -> list[dict[str, str | None]]:
    """Draw `count` problems of one kind: stories (the source), easy, medium, hard, choice.

    Each has problem_id, question, solution (a person's, ending in ``#### answer``), answer,
    subject (the domain of the story) and level (number of operations). A longer draw begins with
    a shorter one.

    Raises:
        SsgrError: the kind is unknown or the count is negative.
    """
    if kind not in LEVELS or count < 0:
        raise SsgrError(
            f"abacus has no problems of kind {kind!r} and count {count}; kinds are "
            f"{', '.join(LEVELS)}, and the count is 0 or more"
        )
    role = LEVELS[kind].role
    domains = HELD_OUT if role == "choice" else TRAINED
    drawn: list[dict[str, str | None]] = []
    seen: set[str] = set()
    for key, story in stream(role, seed, LEVELS[kind].weights, domains):
        if len(drawn) == count:
            break
        if story.question in seen:
            continue
        seen.add(story.question)
        problem_id = f"{kind}-{seed}-{len(drawn):06d}"
        question, answer = story.question, str(story.answer)
        if role == "choice":
            values, answer = options_for(story, key)
            question = with_options(question, values)
        worked = solution(story, Dice(f"{key}/solution"))
        drawn.append(_row(problem_id, question, worked, answer, story))
    return drawn


def _row(
    problem_id: str, question: str, worked: str, answer: str, story: Story
) -> dict[str, str | None]:
    return {
        "problem_id": problem_id,
        "question": question,
        "solution": worked,
        "answer": answer,
        "subject": story.domain,
        "level": str(story.level),
    }


def documents(
    count: int, seed: int, path: Path = prose.PROSE, kind: str = "prose"
) -> list[dict[str, str]]:
    """Draw `count` plain-English documents (document_id, text) of a kind.

    ``prose`` was held out from training; ``prose-library`` and ``prose-language`` were not.

    Raises:
        SsgrError: there are fewer documents than asked for, or the file cannot be read.
    """
    return prose.documents(count, seed, path, kind)
