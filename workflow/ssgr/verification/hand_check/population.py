"""The verdicts that may be drawn: of an evaluation's tables, or of parts of a pool.

All verdicts are looked at, but of the responses' texts only those that were drawn.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from ssgr.errors import PoolError, TableError
from ssgr.pool import receipts, store
from ssgr.pool.files import Folder, PartName, folders
from ssgr.pool.shards import Asked

KEY = ("problem_id", "sample")
COLUMNS = (*KEY, "extracted", "verdict", "method")


@dataclass(frozen=True)
class Graded:
    """Verdicts (COLUMNS), and ``responses``: yields Responses rows that hold those of a table."""

    verdicts: pl.DataFrame
    responses: Callable[[pl.DataFrame], Iterable[pl.DataFrame]]

    def texts(self, drawn: pl.DataFrame) -> pl.DataFrame:
        """Return the drawn verdicts with the responses' texts.

        Raises:
            TableError: a response is missing; names it.
            PoolError: a part of the pool is gone or has changed.
        """
        found = [table.select(*KEY, "text") for table in self.responses(drawn)]
        texts = drawn.join(pl.concat(found), on=KEY, how="left", maintain_order="left")
        lost = texts.filter(pl.col("text").is_null())
        if len(lost):
            raise TableError(
                f"{len(lost)} graded responses are not among the responses, the first is sample "
                f"{lost['sample'][0]} of {lost['problem_id'][0]}: these grades are of another "
                "table of responses; name the two that belong together"
            )
        return texts


def of_evaluation(grades: pl.DataFrame, responses: pl.DataFrame) -> Graded:
    """Return the verdicts of one table of responses."""
    return Graded(grades.select(COLUMNS), lambda _: [responses])


def of_parts(pool: Path, parts: Sequence[receipts.GradedPart], problems: pl.DataFrame) -> Graded:
    """Return the verdicts of graded parts of a pool.

    Raises:
        PoolError: a part is gone or has changed, or was judged by other answers than those of
            ``problems`` (the source's, in its order); names the file.
    """
    for part in parts:
        _check_answers(pool / part.grades.path, problems)
    verdicts = receipts.graded_rows(pool, parts).select(*COLUMNS, "part", "sha256")
    if verdicts.select(KEY).is_duplicated().any():
        raise PoolError(
            f"the parts that were named of {pool} hold a response twice: name those of one model, "
            "source and sampling; `ssgr pool verify` says whether the pool is whole"
        )
    return Graded(verdicts, partial(receipts.response_rows, pool))


def _check_answers(part: Path, problems: pl.DataFrame) -> None:
    """Refuse other reference answers than the part was judged by: they would mislead a person."""
    name = PartName.parse(part.name)
    if name is None:
        raise PoolError(f"{part} is not named like a part of a shard")
    first, last = map(int, name.shard.split("-"))
    asked = Asked.of(problems.slice(first, last - first))
    if store.read_receipt(part, store.GradesReceipt).answers != asked.answers:
        raise PoolError(
            f"{part} was judged by other reference answers than those of the problems that were "
            "named: name the source's table from which this pool was graded"
        )


def graded_parts(
    pool: Path, model: str, source: str, sampling: str | None = None, grader: str | None = None
) -> list[receipts.GradedPart]:
    """Return all parts that one grader judged of a model's responses to a source.

    ``sampling`` (the key in the path) and ``grader`` (the digest) are needed if there are several.

    Raises:
        PoolError: there is nothing of that name, or more than one; lists what there is.
    """
    graded = folders(pool, "grades")
    wanted = {"model": model, "source": source, "sampling": sampling, "grader": grader}
    asked = {key: value for key, value in wanted.items() if value}
    found = [one for one in graded if all(getattr(one, k) == v for k, v in asked.items())]
    if len(found) == 1:
        return list(_pairs(pool, found[0]))
    rows = "".join(
        "\n  " + " ".join(f"--{key} {getattr(one, key)}" for key in wanted)
        for one in found or graded
    )
    raise PoolError(
        f"{pool} holds {'several' if found else 'no'} grades of "
        f"{', '.join(map('='.join, asked.items()))}. There are:{rows or chr(10) + '  none'}"
    )


def _pairs(pool: Path, folder: Folder) -> Iterator[receipts.GradedPart]:
    """The folder's parts, each with the responses that it judged."""
    drawn = pool / "responses" / folder.path.parent.relative_to(pool / "grades")
    for part in folder.parts:
        grades, responses = folder.file(part), drawn / folder.file(part).name
        judged = store.read_receipt(grades, store.GradesReceipt)
        asked = store.read_receipt(responses, store.ResponsesReceipt)
        if judged.of != asked.sha256:
            raise PoolError(f"{grades} holds grades of another file than {responses}: delete it "
                            "and its receipt, and it is made again")  # fmt: skip
        yield receipts.GradedPart(
            responses=receipts.refer(pool, responses, asked),
            grades=receipts.refer(pool, grades, judged),
        )
