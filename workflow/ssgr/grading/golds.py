"""Reference answers that are more than a text: several answers, a unit, a tolerance of their own.

OlympiadBench gives each problem a list ``final_answer``, a ``unit`` and an ``error``. A gold may
carry them as JSON: a list of texts, or an object with these three keys.
"""

import json
from functools import lru_cache
from typing import Any

from ssgr.config.conventions import Conventions
from ssgr.grading.prose import final_expression


def read_gold(gold: str, conventions: Conventions) -> tuple[str, Conventions]:
    """Return the gold as one text, and the conventions that hold for this problem.

    The texts of a list are joined by commas. ``error`` (``1e-1``, or several of which the largest
    counts) is the absolute tolerance of the problem. A unit that stands apart was told in the
    question, so an answer may leave it out. Of a gold that is a worked solution, the
    formula or number after its last "answer is" is the gold.
    """
    fields = _fields(gold)
    if fields is None:
        in_prose = "answer is" in gold and "boxed" not in gold
        return (final_expression(gold) or gold) if in_prose else gold, conventions
    text = ", ".join(fields["final_answer"])
    if unit := str(fields.get("unit") or "").strip(" $"):
        text += f"\\text{{ {unit}}}" if unit[0].isalpha() else unit  # `cm`, or `^\circ`
        conventions = conventions.model_copy(update={"unit_may_be_dropped": True})
    if error := fields.get("error"):
        conventions = conventions.model_copy(update={"absolute_tolerance": error})
    return text, conventions


@lru_cache(maxsize=8192)
def _fields(gold: str) -> dict[str, Any] | None:
    if not gold.startswith(('["', '{"')):
        return None
    try:
        value = json.loads(gold)
        if isinstance(value, dict) and value.get("error"):
            value["error"] = max(float(part) for part in str(value["error"]).split(","))
    except ValueError:  # not of this form: then it is the gold as it stands
        return None
    fields = {"final_answer": value} if isinstance(value, list) else value
    answers = fields.get("final_answer")
    if isinstance(answers, str):
        answers = [answers]
        fields = {**fields, "final_answer": answers}
    is_list = isinstance(answers, list) and all(isinstance(answer, str) for answer in answers)
    return fields if is_list and answers else None
