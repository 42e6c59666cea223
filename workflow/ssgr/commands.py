"""The stage commands: each reads files, calls one typed function of the package, writes files.

A command is a pydantic model, so that its flags, their checks and its ``--help`` are one
definition, and a nested spec is passed as JSON (``--sampling '{"n": 4}'``) or flag by flag
(``--sampling.n 4``). Paths come from the caller: Snakemake, or a person.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from ssgr.config import (
    REFERENCE_LENGTHS,
    Budget,
    Config,
    Filters,
    Model,
    ProblemSet,
    Pruning,
    Sampling,
    Source,
    Strict,
    Tau,
)
from ssgr.errors import SsgrError
from ssgr.points import pool_spec
from ssgr.provenance import describe, text_digest
from ssgr.selection import LENGTH_RULES
from ssgr.tables import (
    Calibration,
    Documents,
    Funnel,
    Grades,
    Problems,
    Responses,
    Scores,
    TokenSequences,
    read,
    read_spec,
    write,
)


def _folder(value: object) -> object:
    """A bare path stands for a registry entry with that path."""
    if isinstance(value, str):
        return json.loads(value) if value.startswith("{") else {"path": value}
    return value


ModelFlag = Annotated[Model, NoDecode, BeforeValidator(_folder)]
A_MODEL = "Hugging Face folder or hub id, or a registry entry as JSON"


class ProblemsCommand(Strict):
    """Write a problem set (or documents) as one table, in its seeded order."""

    data: ProblemSet = Field(description="registry entry: where the problems come from")
    out: Path = Field(description="Parquet file to write")

    def cli_cmd(self) -> None:
        """Load, check and write the set."""
        from ssgr.problems import load

        table, schema = load(self.data)
        write(table, schema, self.out, describe(data=self.data.model_dump(exclude_defaults=True)))
        print(f"{len(table)} rows -> {self.out}")


class SampleCommand(Strict):
    """Sample responses to a problem set, or to the rows first..last of it (a shard)."""

    problems: Path = Field(description="Problems table")
    model: Model = Field(description="registry entry of the dense model: prompt, dtype, engine")
    checkpoint: str | None = Field(None, description="sample this pruned folder in its place")
    sampling: Sampling = Field(description="how responses are drawn")
    first: int = Field(0, ge=0, description="first problem (row) of the shard")
    last: int | None = Field(None, description="row after the last problem of the shard")
    out: Path = Field(description="Responses table to write")

    def cli_cmd(self) -> None:
        """Load the model, sample, write."""
        from ssgr.sampling import sample
        from ssgr.sampling.engine import load_engine
        from ssgr.sampling.prompts import load_tokenizer

        problems = read(self.problems, Problems)
        shard = problems.slice(self.first, (self.last or len(problems)) - self.first)
        if shard.is_empty():
            raise SsgrError(
                f"{self.problems} holds {len(problems)} problems, none in rows "
                f"{self.first}..{self.last}: lower pool.problems to {len(problems)} or less"
            )
        folder = self.checkpoint or self.model.location
        revision = None if self.checkpoint else self.model.revision
        engine = load_engine(
            self.model.engine,
            folder,
            revision=revision,
            dtype=self.model.dtype,
            trust_remote_code=self.model.trust_remote_code,
            batch_size=self.model.batch_size,
        )
        responses = sample(
            shard,
            Path(folder).name,
            template=self.model.prompt,
            sampling=self.sampling,
            engine=engine,
            tokenizer=load_tokenizer(
                folder, revision=revision, trust_remote_code=self.model.trust_remote_code
            ),
        )
        spec = describe(
            **pool_spec(self.model),
            checkpoint=self.checkpoint,
            sampling=self.sampling.model_dump(),
            questions=text_digest(shard["question"]),
        )
        write(responses, Responses, self.out, spec)


class GradeCommand(Strict):
    """Judge responses against reference answers and measure their quality."""

    responses: Path = Field(description="Responses table")
    problems: Path = Field(description="Problems table")
    method: Literal["math", "choice"] = Field("math", description="how an answer is judged")
    think_open: str = Field("<think>", description="tag that opens the thinking")
    think_close: str = Field("</think>", description="tag that closes the thinking")
    time_limit: float = Field(5.0, gt=0, description="seconds of processor time for one verdict")
    workers: int = Field(1, ge=1, description="judging processes")
    out: Path = Field(description="Grades table to write")

    def cli_cmd(self) -> None:
        """Grade and write."""
        from ssgr.grading import grade

        responses, problems = read(self.responses, Responses), read(self.problems, Problems)
        self._check_questions(responses, problems)
        grades = grade(
            responses,
            problems,
            method=self.method,
            think_open=self.think_open,
            think_close=self.think_close,
            time_limit=self.time_limit,
            workers=self.workers,
        )
        write(grades, Grades, self.out, describe(grade=self.model_dump()))
        verdicts = grades["verdict"].value_counts(sort=True)
        print(f"{len(grades)} responses:", dict(verdicts.iter_rows()))

    def _check_questions(self, responses: pl.DataFrame, problems: pl.DataFrame) -> None:
        """Refuse responses to other questions than the table's of the same ids."""
        answered = problems.join(responses, on="problem_id", how="semi")
        drawn_for = json.loads(read_spec(self.responses) or "{}").get("questions")
        if drawn_for is not None and drawn_for != text_digest(answered["question"]):
            raise SsgrError(
                f"{self.responses} holds responses to other questions than {self.problems}: the "
                "source's data or its generator has changed. Give the changed source another name "
                "or another pool.path, or delete these responses."
            )


class SelectCommand(Strict):
    """Select a calibration set: a pool's responses, reference solutions, or plain text."""

    length: str = Field(description="length rule, or `solution`, or `text`")
    tau: Tau = Field(None, description="difficulty threshold on c, or a band lo..hi")
    budget: Budget = Field(description="sequences, tokens of each, seed")
    filters: Filters = Field(Filters(), description="quality thresholds")
    solution_template: str = Field(
        Source.model_fields["solution_template"].default,
        description="a reference solution as calibration text",
    )
    model: ModelFlag = Field(description=f"model, for its tokenizer: {A_MODEL}")
    problems: Path = Field(description="Problems table, or Documents for text")
    responses: list[Path] = Field([], description="Responses tables (shards) of the pool")
    grades: list[Path] = Field([], description="their Grades tables")
    out: Path = Field(description="Calibration table to write")
    funnel: Path = Field(description="Funnel table to write")

    @field_validator("length")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        rules = [*LENGTH_RULES, *REFERENCE_LENGTHS]
        if name not in rules:
            raise ValueError(f"unknown length rule {name!r}; valid: {', '.join(rules)}")
        return name

    def cli_cmd(self) -> None:
        """Select and write."""
        make = self._from_reference if self.length in REFERENCE_LENGTHS else self._from_pool
        calibration, funnel = make()
        spec = describe(select=self.model_dump(exclude={"responses", "grades"}))
        write(funnel, Funnel, self.funnel, spec)
        write(calibration, Calibration, self.out, spec)
        print(funnel)

    def _from_pool(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        from ssgr.calibration import of_pool

        if self.tau is None:
            raise SsgrError(f"length rule {self.length!r} needs --tau (1.00 keeps every problem)")
        if not self.responses or len(self.responses) != len(self.grades):
            shards = f"{len(self.responses)} and {len(self.grades)}"
            raise SsgrError(
                f"length rule {self.length!r} selects from a pool: give --responses and --grades, "
                f"the same number of shards of each (not {shards})"
            )
        return of_pool(
            self.responses,
            self.grades,
            read(self.problems, Problems),
            length=self.length,
            tau=self.tau,
            filters=self.filters,
            budget=self.budget,
        )

    def _from_reference(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        from ssgr.calibration import of_documents, of_solutions
        from ssgr.sampling.prompts import load_tokenizer, plain_text_codec

        tokenizer = load_tokenizer(
            self.model.location,
            revision=self.model.revision,
            trust_remote_code=self.model.trust_remote_code,
        )
        encode, decode, end = plain_text_codec(tokenizer)
        if self.length == "text":
            documents = read(self.problems, Documents)
            return of_documents(documents, encode, decode, end, self.budget)
        problems = read(self.problems, Problems)
        return of_solutions(problems, encode, end, self.solution_template, self.budget)


class PruneCommand(Strict):
    """Prune a model folder on a calibration set into an ordinary Hugging Face folder."""

    model: ModelFlag = Field(description=f"dense model: {A_MODEL}")
    calibration: Path | None = Field(
        None, description="Parquet file with a token_ids column; not needed by magnitude"
    )
    pruner: str = Field("sparsegpt", description="how weights are chosen and updated")
    sparsity: str = Field("50", description="percent, or N:M (N zeros in every M), e.g. 2:4")
    settings: Pruning = Field(Pruning(), description="constants of the pruner")
    device: str = Field("auto", description="cpu, cuda, ...; auto takes a GPU if there is one")
    out: Path = Field(description="folder to write")

    @field_validator("sparsity", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> str:
        return str(value)

    def cli_cmd(self) -> None:
        """Prune and write."""
        from ssgr.pruning.checkpoint import prune_checkpoint
        from ssgr.pruning.pruner import PrunerSettings
        from ssgr.sparsity import Sparsity

        sequences: list[list[int]] = []
        if self.calibration is not None:
            sequences = read(self.calibration, TokenSequences, cast=True)["token_ids"].to_list()
        report = prune_checkpoint(
            self.model.location,
            self.out,
            sequences=sequences,
            pruner=self.pruner,
            sparsity=Sparsity.parse(self.sparsity),
            settings=PrunerSettings(**self.settings.model_dump()),
            device=self.device,
            dtype=self.model.dtype,
            revision=self.model.revision,
            trust_remote_code=self.model.trust_remote_code,
            spec=describe(prune=self.model_dump(exclude={"out"})),
        )
        print(report.select("matrix", "sparsity", "relative_error", "seconds"))


class ScoreCommand(Strict):
    """Turn the grades of one benchmark into its scores."""

    grades: Path = Field(description="Grades table")
    out: Path = Field(description="Scores table to write")

    def cli_cmd(self) -> None:
        """Score and write."""
        from ssgr.scores import score

        write(score(read(self.grades, Grades)), Scores, self.out, describe(grades=self.grades))


class ReportCommand(Strict):
    """Draw the report: one page that works offline."""

    config: Config = Field(description="the whole configuration, as JSON")
    out: Path = Field(description="HTML file to write")

    def cli_cmd(self) -> None:
        """Gather, render, write."""
        from ssgr.report import write_report

        write_report(Path(self.config.results), Path(self.config.pool.path), self.config, self.out)
