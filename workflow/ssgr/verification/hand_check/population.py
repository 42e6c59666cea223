"""The verdicts that may be drawn: of an evaluation's tables, or of parts of a pool.

All verdicts are looked at, but of the responses' texts only those that were drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from ssgr.errors import PoolError, TableError
from ssgr.pool import receipts, store
from ssgr.pool.files import Folder, PartName, folders
from ssgr.pool.shards import Asked
from ssgr.storage.tables import Grades, Responses

KEY = ("problem_id", "sample")
COLUMNS = (*KEY, "extracted", "verdict", "method")


@dataclass(frozen=True)
class Graded:
    """Verdicts, and where their responses are.

    ``verdicts``: problem_id, sample, extracted, verdict, method, and ``part``: which of
    ``responses`` reads the table with the response.
    """

    verdicts: pl.DataFrame
    responses: Sequence[Callable[[], pl.DataFrame]]

    def texts(self, drawn: pl.DataFrame) -> pl.DataFrame:
        """Return the drawn verdicts with the responses' texts, one part in memory at a time.

        Raises:
            TableError: a response is missing; names it.
            PoolError: a part of the pool is gone or has changed.
        """
        found = [drawn.clear().with_columns(text=pl.lit("", pl.String))]
        for (part,), rows in drawn.group_by("part", maintain_order=True):
            table = self.responses[int(str(part))]().select(*KEY, "text")
            found.append(rows.join(table, on=KEY))
        texts = drawn.join(pl.concat(found).select(*KEY, "text"), on=KEY, how="left",
                           maintain_order="left")  # fmt: skip
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
    return Graded(grades.select(*COLUMNS, part=pl.lit(0)), [lambda: responses])


def of_parts(pool: Path, parts: Sequence[receipts.GradedPart], problems: pl.DataFrame) -> Graded:
    """Return the verdicts of graded parts of a pool.

    Raises:
        PoolError: a part is gone or has changed, or was judged by other answers than those of
            ``problems`` (the source's, in its order); names the file.
    """
    tables = [Grades.create_empty().select(*COLUMNS, part=pl.lit(0))]
    for number, part in enumerate(parts):
        _check_answers(pool / part.grades.path, problems)
        grades = receipts.open_part(pool, part.grades, Grades)
        tables.append(grades.select(*COLUMNS, part=pl.lit(number)))
    verdicts = pl.concat(tables)
    if verdicts.select(KEY).is_duplicated().any():
        raise PoolError(
            f"the parts that were named of {pool} hold a response twice: name those of one model, "
            "source and sampling; `ssgr pool verify` says whether the pool is whole"
        )
    read = [partial(receipts.open_part, pool, part.responses, Responses) for part in parts]
    return Graded(verdicts, read)


def _check_answers(part: Path, problems: pl.DataFrame) -> None:
    """Refuse golds that are not those by which a part was judged: a person would be misled."""
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

    Args:
        pool: the pool's folder.
        model: whose responses.
        source: to which source.
        sampling: how they were drawn (the key in the path); None if there is only one.
        grader: by which grader (the digest in the path); None if there is only one.

    Raises:
        PoolError: there is nothing of that name, or more than one; lists what there is.
    """
    graded = folders(pool, "grades")
    asked = {"model": model, "source": source, "sampling": sampling, "grader": grader}
    found = [one for one in graded if all(getattr(one, k) == v for k, v in asked.items() if v)]
    if len(found) != 1:
        raise PoolError(_not_one(pool, asked, found or graded, bool(found)))
    return list(_pairs(pool, found[0]))


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


def _not_one(
    pool: Path, asked: dict[str, str | None], there: Sequence[Folder], several: bool
) -> str:
    wanted = ", ".join(f"{key}={value}" for key, value in asked.items() if value)
    rows = "\n  ".join(
        f"--model {one.model} --source {one.source} --sampling {one.sampling} --grader {one.grader}"
        for one in there
    )
    how_many = "several grades" if several else "no grades"
    return f"{pool} holds {how_many} of {wanted}. There are:\n  {rows or 'none'}"
