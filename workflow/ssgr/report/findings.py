"""Which of the paper's findings show here: its differences between averages beside ours.

The paper compares averages of pass@1 and gives no error. Where two of its averages lie a point or
more apart, that is taken as something it found; less would be lost in the error of any such run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from ssgr.config.labels import setting_name
from ssgr.report.appearance import AVERAGE
from ssgr.report.tables.figure import Exhibit

CLAIM = 1.0
"""Points by which two published averages differ when they are said to."""
PLACE = ("model", "pruner", "sparsity")


class Verdict(StrEnum):
    """What becomes of a published difference; only the first is a finding that shows."""

    SHOWS = "shows"
    SAME_WAY = "does not show: the same way, but within chance"
    OTHER_WAY = "does not show: the other way, within chance"
    REVERSED = "is reversed"


@dataclass(frozen=True)
class Finding:
    """A difference between averages that the paper reports, in points, and the same here.

    ``higher`` and ``lower`` are labels by the published numbers, so that ``published`` > 0;
    ``here`` is our number for the same difference, between ``low`` and ``high``. ``experiments``
    show it.
    """

    experiments: tuple[str, ...]
    model: str
    setting: str
    higher: str
    lower: str
    published: float
    here: float
    low: float
    high: float
    verdict: Verdict

    @property
    def pair(self) -> tuple[str, str, str, str]:
        """What is compared, whichever experiment does it."""
        return (self.model, self.setting, self.higher, self.lower)


def findings(exhibits: Sequence[Exhibit]) -> list[Finding]:
    """Return every difference that the paper reports between what is compared here, once.

    A comparison that several experiments make counts once, as the first of them has it.
    """
    found: dict[tuple[str, str, str, str], Finding] = {}
    for exhibit in exhibits:
        for one in _of_experiment(exhibit):
            first = found.get(one.pair)
            if first is None:
                found[one.pair] = one
            else:
                named = (*first.experiments, *one.experiments)
                found[one.pair] = _again(first, tuple(dict.fromkeys(named)))
    return list(found.values())


def _again(finding: Finding, experiments: tuple[str, ...]) -> Finding:
    return Finding(**{**vars(finding), "experiments": experiments})


def _of_experiment(exhibit: Exhibit) -> list[Finding]:
    rows = overall(exhibit.cells)
    published = {_place(row, row["label"]): row["published"] for row in rows}
    found = []
    for row in rows:
        reference = published.get(_place(row, row["against"] or ""))
        if None in (row["difference_low"], row["published"], reference):
            continue
        gap = row["published"] - reference
        if round(abs(gap), 6) >= CLAIM:  # 1.4 - 0.4 is a little less
            found.append(_finding(exhibit.name, row, gap))
    return found


def overall(cells: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a Cells table with the accuracy over all benchmarks.

    That is AVG, or the only benchmark's where there is a single one.
    """
    scored = cells.filter(pl.col("measure").cast(pl.String) == "pass@1")
    average = scored.filter(benchmark=AVERAGE)
    if average.is_empty() and scored["benchmark"].n_unique() == 1:
        average = scored
    return average.to_dicts()


def _place(row: dict[str, Any], label: str) -> tuple[str, ...]:
    return (*(row[key] for key in PLACE), label)


def _finding(name: str, row: dict[str, Any], gap: float) -> Finding:
    here, ends = row["difference"], (row["difference_low"], row["difference_high"])
    labels = (row["label"], row["against"])
    if gap < 0:
        here, ends, labels = -here, (-ends[1], -ends[0]), labels[::-1]
    return Finding(
        experiments=(name,),
        model=row["model"],
        setting=setting_name(row["pruner"], row["sparsity"]),
        higher=labels[0],
        lower=labels[1],
        published=abs(gap),
        here=here,
        low=ends[0],
        high=ends[1],
        verdict=_verdict(here, is_real=row["mark"] == "*"),
    )


def _verdict(here: float, *, is_real: bool) -> Verdict:
    if is_real:
        return Verdict.SHOWS if here > 0 else Verdict.REVERSED
    return Verdict.SAME_WAY if here > 0 else Verdict.OTHER_WAY


def summary(found: Sequence[Finding], method: str | None = None) -> list[str]:
    """Say in plain words how much of the paper shows here; nothing if nothing is published.

    Args:
        found: as of ``findings``.
        method: label of the kind of calibration that is proposed; how often it comes out above
            each other one is said by name.
    """
    if not found:
        return []
    return [*_counted(found), *_of_method(found, method)]


def _counted(found: Sequence[Finding]) -> list[str]:
    if len(found) == 1:
        return [
            "The one difference of a point or more that the paper reports between the averages "
            f"compared here {found[0].verdict}."
        ]
    shows, weak, other, turned = (
        sum(one.verdict == verdict for one in found)
        for verdict in (Verdict.SHOWS, Verdict.SAME_WAY, Verdict.OTHER_WAY, Verdict.REVERSED)
    )
    sentences = [
        f"Of the {len(found)} differences of a point or more that the paper reports between the "
        f"averages compared here, {_verb(shows, 'shows', 'show')}: the same way, and more than "
        "chance explains."
    ]
    if weak + other:
        sentences.append(
            f"{_verb(weak + other, 'does', 'do')} not show: {_verb(weak, 'goes', 'go')} the same "
            f"way and {other} the other way, within chance."
        )
    if turned:
        sentences.append(f"{_verb(turned, 'is', 'are')} reversed, more than chance explains.")
    return sentences


def _verb(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _of_method(found: Sequence[Finding], method: str | None) -> list[str]:
    """How often the method shows above each rival, of the settings in which the paper has it so."""
    rivals = dict.fromkeys(one.lower for one in found if one.higher == method)
    clauses = []
    for rival in rivals:
        own = [one for one in found if (one.higher, one.lower) == (method, rival)]
        shown = sum(one.verdict == Verdict.SHOWS for one in own)
        settings = "settings" if len(own) > 1 else "setting"
        clauses.append(f"above {rival} in {shown} of {len(own)} {settings}")
    return [f"Beyond chance, {method} is {', '.join(clauses)}."] if clauses else []
