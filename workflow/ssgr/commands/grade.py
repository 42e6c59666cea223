"""`grade` and `grade-shard`: verdicts and measured quality, as a table or in the pool."""

import json
from contextlib import suppress
from pathlib import Path

import polars as pl
from pydantic import Field

from ssgr.commands.flags import Command
from ssgr.errors import PoolError, SsgrError, TableError
from ssgr.grading import reuse
from ssgr.grading.alarms import say, unanswered
from ssgr.grading.spec import Judging
from ssgr.grading.verdict import Verdict
from ssgr.grading.workers import Pair
from ssgr.pool import receipts, store
from ssgr.pool.shards import Asked, take_over
from ssgr.storage.locks import only_one
from ssgr.storage.permissions import check_rights
from ssgr.storage.provenance import describe
from ssgr.storage.tables import Grades, Problems, Responses, read, read_spec, write


class GradeCommand(Command):
    """Judge responses against reference answers and measure their quality."""

    responses: Path = Field(description="Responses table")
    problems: Path = Field(description="Problems table")
    judging: Judging = Field(Judging(), description="how responses are judged")
    out: Path = Field(description="Grades table to write")

    def cli_cmd(self) -> None:
        """Grade and write."""
        from ssgr.grading import grade

        responses, problems = read(self.responses, Responses), read(self.problems, Problems)
        self._check_questions(responses, problems)
        grades = grade(responses, problems, **self.judging.model_dump())
        write(grades, Grades, self.out, describe(grade=self.model_dump()))
        say(unanswered(grades, self.judging))
        print(verdicts(grades))

    def _check_questions(self, responses: pl.DataFrame, problems: pl.DataFrame) -> None:
        """Refuse responses to other questions than the table's of the same ids."""
        answered = problems.join(responses, on="problem_id", how="semi")
        drawn_for = json.loads(read_spec(self.responses) or "{}").get("questions")
        if drawn_for is not None and drawn_for != Asked.of(answered).questions:
            raise SsgrError(
                f"{self.responses} holds responses to other questions than {self.problems}: the "
                "benchmark's data or its generator has changed. Delete these responses."
            )


class GradeShardCommand(Command):
    """Make sure that the pool holds the grades of a shard's responses, each part graded once."""

    pool: Path = Field(description="the pool's folder")
    responses: Path = Field(description="receipt of the shard's responses")
    problems: Path = Field(description="Problems table of the source")
    judging: Judging = Field(description="how responses are judged")
    first: int = Field(ge=0, description="first problem (row) of the shard")
    last: int = Field(ge=1, description="row after its last problem")
    grades: Path = Field(description="the pool's folder of grades by this grader")
    base: Path | None = Field(None, description="a pool that this one extends; it is only read")
    out: Path = Field(description="receipt to write: the graded parts")

    def cli_cmd(self) -> None:
        """Grade the parts that have no grades yet; write the receipt."""
        problems = read(self.problems, Problems).slice(self.first, self.last - self.first)
        shard = receipts.read(self.responses, receipts.SampledShard)
        graded = [self._graded(part, problems) for part in shard.parts]
        receipts.write(receipts.GradedShard(parts=tuple(graded)), self.out)

    def _graded(self, responses: receipts.Reference, problems: pl.DataFrame) -> receipts.GradedPart:
        """Return a part with its grades, which are made unless they are there."""
        path, asked = self.grades / Path(responses.path).name, Asked.of(problems)
        self._check_questions(self.pool / responses.path, asked)
        if not _is_graded(path, asked):
            check_rights(path, self.pool)
            with only_one(self.grades / f".{path.stem}.lock", f"grading {responses.path}"):
                if not _is_graded(path, asked) and not self._taken_over(path, responses, asked):
                    self._grade(responses, problems, path)
        receipt = store.read_receipt(path, store.GradesReceipt)
        if receipt.of != responses.sha256:
            raise SsgrError(
                f"{path} holds grades of another file than {responses.path}: delete it and its "
                "receipt, and it is made again"
            )
        return receipts.GradedPart(
            responses=responses, grades=receipts.refer(self.pool, path, receipt)
        )

    def _taken_over(self, path: Path, responses: receipts.Reference, asked: Asked) -> bool:
        """Link the grades of these responses in the pool that this one extends, if any."""
        there = self.base and self.base / path.relative_to(self.pool)
        if there is None or not _is_graded(there, asked):
            return False
        if store.read_receipt(there, store.GradesReceipt).of != responses.sha256:
            return False
        take_over(there, path)
        return True

    def _earlier_verdicts(self, problems: pl.DataFrame, path: Path) -> dict[Pair, Verdict]:
        """Verdicts on this part by other versions of the grader that hold for this one too."""
        known: dict[Pair, Verdict] = {}
        place = path.parent.parent.relative_to(self.pool)
        pools = [self.base, self.pool] if self.base else [self.pool]
        for other in sorted(file for one in pools for file in one.glob(f"{place}/*/{path.name}")):
            with suppress(TableError):  # of another schema, or damaged: judged anew
                grades, spec = read(other, Grades), read_spec(other)
                known |= reuse.reusable(grades, spec, problems, self.judging)
        return known

    def _check_questions(self, part: Path, asked: Asked) -> None:
        if store.read_receipt(part, store.ResponsesReceipt).questions != asked.questions:
            raise PoolError(
                f"{part} holds responses to other questions than {self.problems}: the source's "
                "data or its generator has changed. Give the changed source another name or "
                "another pool.path, or purge these responses (ssgr pool purge)."
            )

    def _grade(self, part: receipts.Reference, problems: pl.DataFrame, path: Path) -> None:
        from ssgr.grading import grade

        responses = receipts.open_part(self.pool, part, Responses)
        known = self._earlier_verdicts(problems, path)
        grades = grade(responses, problems, **self.judging.model_dump(), earlier=known)
        spec = describe(
            grade=self.judging.model_dump(),
            of=part.sha256,
            **{reuse.KEY: reuse.provenance(grades, problems, self.judging)},
        )
        answers = Asked.of(problems).answers
        facts = {"of": part.sha256, "answers": answers}
        store.publish(grades, Grades, path, spec, store.GradesReceipt, **facts)
        say(unanswered(grades, self.judging))
        print(f"{part.path}: {verdicts(grades)}; {_by_algebra(grades, problems, known)}")


def _by_algebra(grades: pl.DataFrame, problems: pl.DataFrame, known: dict[Pair, Verdict]) -> str:
    """Return how many different answers math-verify judged, and how many it had judged before."""
    rows = grades.filter(method="math-verify").join(problems, on="problem_id")
    pairs = set(rows.select("answer", "extracted").iter_rows())
    taken_over = len(pairs & known.keys())
    return f"by math-verify {len(pairs) - taken_over}, taken over {taken_over}"


def _is_graded(path: Path, asked: Asked) -> bool:
    """Whether a part has grades by these reference answers; corrected ones are judged anew."""
    if not path.is_file():
        return False
    return store.read_receipt(path, store.GradesReceipt).answers == asked.answers


def verdicts(grades: pl.DataFrame) -> str:
    """Return how often each verdict was given, in words."""
    counts = grades["verdict"].value_counts(sort=True)
    return f"{len(grades)} responses: {dict(counts.iter_rows())}"
