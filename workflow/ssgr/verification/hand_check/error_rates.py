"""What the labels say: error rates with exact intervals, and cases for the grader's tests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ssgr.config import Strict
from ssgr.errors import TableError
from ssgr.verification.hand_check.intervals import Count, Rate, rate
from ssgr.verification.hand_check.sample import ACCEPTED, REJECTED, Cell, Item, Sample, side

Answer = Literal["right", "wrong", "unsure"]


class Label(Strict):
    """A person's label of one verdict; ``number`` counts the page's verdicts from 1."""

    number: int
    problem_id: str
    sample: int
    label: Answer


class Labels(Strict):
    """The file that the page's button downloads."""

    sample_digest: str
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Row:
    """One line of the result: a group of verdicts, its counts summed over strata, its rate."""

    group: str
    counts: Count
    rate: Rate


def read_labels(path: Path, sample: Sample) -> dict[int, Answer]:
    """Return the labels of a sample, by the place of their verdict in it (from 0).

    A verdict that was passed over before the last labelled one counts as unsure: what a person
    passes over is not a random part of the sample.

    Raises:
        TableError: the file is no file of labels, or its labels are of another sample.
    """
    try:
        labels = Labels.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise TableError(
            f"{path} is no file of labels as the page's button downloads it: {error}"
        ) from error
    if labels.sample_digest != sample.digest:
        raise TableError(
            f"{path} labels the sample {labels.sample_digest}, the page shows {sample.digest}: "
            "they do not belong together. Name the page that the labels were made on."
        )
    shown = {(i, item.problem_id, item.sample) for i, item in enumerate(sample.items, 1)}
    given: dict[int, Answer] = {}
    for label in labels.labels:
        if (label.number, label.problem_id, label.sample) not in shown:
            raise TableError(
                f"{path}: label {label.number} names sample {label.sample} of {label.problem_id}, "
                "which is not that verdict of the page: the file was edited"
            )
        if label.number - 1 in given:
            raise TableError(f"{path} labels verdict {label.number} twice: keep one")
        given[label.number - 1] = label.label
    return {place: given.get(place, "unsure") for place in range(max(given, default=-1) + 1)}


def rates(sample: Sample, labels: Mapping[int, Answer]) -> list[Row]:
    """Return the error rate of all verdicts, of either side, of each verdict and each method."""
    groups: dict[str, list[Cell]] = {"all": list(sample.population)}
    for name, what in ((ACCEPTED, "false accepts"), (REJECTED, "false rejects")):
        groups[f"{name} ({what})"] = [c for c in sample.population if side(c.verdict) == name]
    for cell in sample.population:
        groups.setdefault(f"verdict {cell.verdict}", []).append(cell)
    for cell in sorted(sample.population, key=lambda cell: cell.method):
        groups.setdefault(f"method {cell.method}", []).append(cell)
    return [_row(sample, labels, name, cells) for name, cells in groups.items() if cells]


def interval_note(sample: Sample) -> str:
    """Return in words how the intervals were made."""
    exact = "Exact (Clopper-Pearson) 95 % intervals, whichever way the unsure ones fall."
    if len(sample.strata()) == 1:
        return exact
    return (
        f"{exact} What spans accepted and rejected answers weighs each side by its share; its "
        "interval is conservative, from both sides' exact ones at 97.5 %."
    )


def _row(sample: Sample, labels: Mapping[int, Answer], group: str, cells: Sequence[Cell]) -> Row:
    """Count the labels of these cells' verdicts, stratum by stratum."""
    names = {(cell.verdict, cell.method) for cell in cells}
    inside = [(sample.items[place], label) for place, label in labels.items()]
    inside = [(item, label) for item, label in inside if (item.verdict, item.method) in names]
    counts = []
    for stratum in sample.strata():
        given = [label for item, label in inside if sample.stratum(item.verdict) == stratum]
        there = sum(cell.count for cell in cells if sample.stratum(cell.verdict) == stratum)
        counts.append(Count(there, len(given), given.count("wrong"), given.count("unsure")))
    total = Count(*(sum(column) for column in zip(*map(astuple, counts), strict=True)))
    return Row(group, total, rate(counts))


def cases(sample: Sample, labels: Mapping[int, Answer]) -> list[str]:
    """Return the verdicts that are wrong as JSON lines for a test of the grader.

    Each has ``gold``, ``answer`` and whether it is ``expected`` to be accepted. Where no answer was
    found, the end of the ``response`` stands in its place.
    """
    wrong = [sample.items[place] for place, label in labels.items() if label == "wrong"]
    return [json.dumps(_case(item), ensure_ascii=False) for item in wrong]


def _case(item: Item) -> dict[str, object]:
    given = {"answer": item.answer}
    if item.answer is None:
        given = {"response": item.before + item.marked + item.after}
    return {"gold": item.gold, **given, "expected": side(item.verdict) == REJECTED}
