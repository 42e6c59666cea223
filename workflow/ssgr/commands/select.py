"""`tally` and `select`: what a pool offers, wave by wave, and the calibration set taken of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from pydantic import Field, ValidationInfo, field_validator, model_validator

from ssgr.commands.flags import A_MODEL, Command, ModelFlag
from ssgr.config import REFERENCE_LENGTHS, Budget, Filters, Source, Tau
from ssgr.errors import PoolError, SsgrError
from ssgr.pool import receipts
from ssgr.pool.store import encoding_of
from ssgr.selection.early_stop import Demand, settled
from ssgr.selection.length_rules import LENGTH_RULES
from ssgr.selection.rules import Tally, choose, funnel, merge, tally
from ssgr.storage.atomic import write_text
from ssgr.storage.provenance import describe
from ssgr.storage.tables import (
    Calibration,
    Candidates,
    Documents,
    Funnel,
    Problems,
    read,
    write,
)

COUNTS = "funnel.parquet"
UNDECIDED = "undecided (stopped early under another grader)"
HELD_BACK = "held_back.parquet"
VISITED = "visited.json"
"""The receipts of the graded shards that were looked at."""


class TallyCommand(Command):
    """Add the shards of a wave to what a calibration point has found so far."""

    length: str = Field(description="length rule")
    tau: Tau = Field("1.00", description="difficulty threshold on c, or a band lo..hi")
    budget: Budget = Field(description="sequences, tokens of each, seed")
    filters: Filters = Field(Filters(), description="quality thresholds")
    samples: int = Field(description="n: responses that a full pool has of each problem")
    early_stop: bool = Field(
        True, validate_default=True, description="look only at responses that can matter"
    )
    pool: Path = Field(description="the pool's folder")
    graded: list[Path] = Field(description="receipts of the wave's graded shards")
    before: Path | None = Field(None, description="Candidates of the wave before")
    out: Path = Field(
        description="Candidates table to write, beside it its funnel and what was visited"
    )

    @field_validator("early_stop")
    @classmethod
    def _medians_need_every_response(cls, early_stop: bool, info: ValidationInfo) -> bool:
        filters: Filters | None = info.data.get("filters")  # None if it is wrong itself
        if early_stop and filters and filters.min_thinking_share:
            raise ValueError(
                "filters.min_thinking_share needs every response of a problem: give "
                "--no-early-stop, on a pool that was drawn whole"
            )
        return early_stop

    def cli_cmd(self) -> None:
        """Tally one shard after another and write what is left: memory stays flat."""
        found = [*self._before(), *(self._of_shard(path) for path in self.graded)]
        total = found[0]
        for part in found[1:]:
            total = merge(total, part, self.budget)
        spec = describe(tally=self.model_dump(exclude={"pool", "graded", "before", "out"}))
        write(total.counts, Funnel, self.out.with_name(COUNTS), spec)
        visited = [*_visited(self.before), *map(str, self.graded)]
        write_text(self.out.with_name(VISITED), json.dumps(visited, indent=1) + "\n")
        write(total.candidates, Candidates, self.out, spec)
        print(total.counts, f"{len(total.candidates)} of {self.budget.sequences} sequences")

    def _before(self) -> Iterator[Tally]:
        if self.before:
            counts = read(self.before.with_name(COUNTS), Funnel)
            yield Tally(read(self.before, Candidates), counts)

    def _of_shard(self, path: Path) -> Tally:
        parts = receipts.read(path, receipts.GradedShard).parts
        rows = receipts.graded_rows(self.pool, parts)
        if rows.select("problem_id", "sample").is_duplicated().any():
            raise PoolError(
                f"{path} names parts that hold a response twice: `ssgr pool verify` says which"
            )
        undecided, tau = 0, self.tau or "1.00"
        if self.early_stop:
            demand = Demand(tau=tau, length=self.length)
            needed = settled(rows, demand, self.filters, self.samples)
            undecided = rows["problem_id"].n_unique() - needed["problem_id"].n_unique()
            if undecided:
                print(
                    f"{path}: {undecided} problems were stopped early under another grader and are "
                    "undecided by this one: left out. `snakemake --forcerun sample` draws what "
                    "they lack."
                )
            rows = needed
        found = tally(rows, self.length, tau, self.filters, self.budget, self.samples)
        counts = found.counts
        if undecided:
            counts = pl.concat([counts, funnel({UNDECIDED: (undecided, 0)})])
        return Tally(found.candidates.select(Candidates.column_names()), counts)


def _visited(candidates: Path | None) -> list[str]:
    """The shards visited up to a tally; none without one."""
    return json.loads(candidates.with_name(VISITED).read_text()) if candidates else []


class SelectCommand(Command):
    """Select a calibration set: a pool's responses, reference solutions, or plain text."""

    length: str = Field(description="length rule, or `solution`, or `text`")
    budget: Budget = Field(description="sequences, tokens of each, seed")
    solution_template: str = Field(
        Source.model_fields["solution_template"].default,
        description="a reference solution as calibration text",
    )
    model: ModelFlag = Field(description=f"model that is pruned, for its tokenizer: {A_MODEL}")
    generator: ModelFlag | None = Field(
        None, description=f"model that wrote the responses, if it is another: {A_MODEL}"
    )
    thinking: bool = Field(True, description="responses keep their thinking")
    problems: Path = Field(description="Problems table, or Documents for text")
    pool: Path | None = Field(None, description="the pool's folder")
    candidates: Path | None = Field(None, description="Candidates of the last wave, by `tally`")
    out: Path = Field(
        description="Calibration table to write; beside it held_back.parquet and what was visited"
    )
    funnel: Path = Field(description="Funnel table to write")

    @field_validator("length")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        rules = [*LENGTH_RULES, *REFERENCE_LENGTHS]
        if name not in rules:
            raise ValueError(f"unknown length rule {name!r}; valid: {', '.join(rules)}")
        return name

    @model_validator(mode="after")
    def _responses_are_converted(self) -> "SelectCommand":
        if self.length in REFERENCE_LENGTHS and (self.generator or not self.thinking):
            raise ValueError(
                f"length {self.length!r} takes no responses: leave out --generator, --no-thinking"
            )
        return self

    def cli_cmd(self) -> None:
        """Select and write."""
        from ssgr.selection.calibration import ENCODING

        make = self._from_reference if self.length in REFERENCE_LENGTHS else self._from_pool
        calibration, funnel, encoding = make()
        asked = self.model_dump(
            exclude={
                **dict.fromkeys(("pool", "candidates", "out", "funnel"), True),
                **{name: {"execution"} for name in ("model", "generator")},
            }
        )
        spec = describe(select=asked, **({ENCODING: encoding} if encoding else {}))
        write(funnel, Funnel, self.funnel, spec)
        visited = json.dumps(_visited(self.candidates), indent=1) + "\n"
        write_text(self.out.with_name(VISITED), visited)
        write(
            calibration[self.budget.sequences :], Calibration, self.out.with_name(HELD_BACK), spec
        )
        write(calibration[: self.budget.sequences], Calibration, self.out, spec)
        print(funnel)

    def _from_pool(self) -> tuple[pl.DataFrame, pl.DataFrame, str | None]:
        """The table, its funnel, and the digest of the tokenizer that made its tokens."""
        from ssgr.sampling.tokenizer import encoding_digest, tokenizer_of
        from ssgr.selection.calibration import of_responses

        if self.candidates is None or self.pool is None:
            raise SsgrError(
                f"length rule {self.length!r} selects from a pool: give --pool and --candidates, "
                "as `tally` wrote them"
            )
        counts = read(self.candidates.with_name(COUNTS), Funnel)
        found = Tally(read(self.candidates, Candidates).sort("order", "problem_id"), counts)
        chosen, counts = choose(found, self.budget)
        problems = read(self.problems, Problems)
        shards = receipts.response_rows(self.pool, chosen)
        if self.thinking and self.generator is None:
            encoding = encoding_of(self.pool / part for part in chosen["part"].unique())
            return of_responses(chosen, shards, problems, self.budget), counts, encoding
        from ssgr.sampling.rendering import Conversion

        tokenizer = tokenizer_of(self.model)
        convert = Conversion(
            self.model, tokenizer, generator=self.generator, thinking=self.thinking
        )
        table = of_responses(chosen, shards, problems, self.budget, convert)
        return table, counts, encoding_digest(tokenizer)

    def _from_reference(self) -> tuple[pl.DataFrame, pl.DataFrame, str | None]:
        from ssgr.sampling.prompts import PlainText
        from ssgr.sampling.tokenizer import encoding_digest, tokenizer_of
        from ssgr.selection.calibration import of_documents, of_solutions

        tokenizer = tokenizer_of(self.model)
        plain = PlainText.of(tokenizer)
        if self.length == "text":
            made = of_documents(read(self.problems, Documents), plain, self.budget)
        else:
            problems = read(self.problems, Problems)
            made = of_solutions(problems, plain, self.solution_template, self.budget)
        return *made, encoding_digest(tokenizer)
