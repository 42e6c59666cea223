"""`problems`: a problem set, or documents, as one table."""

from pathlib import Path

import dataframely as dy
import polars as pl
from pydantic import Field

from ssgr.commands.flags import Command
from ssgr.config import ProblemSet, Source
from ssgr.errors import TableError
from ssgr.storage.confidential import link, place
from ssgr.storage.provenance import describe
from ssgr.storage.tables import Dropped, Problems, read, write


class ProblemsCommand(Command):
    """Write a problem set (or documents) as one table, in its seeded order."""

    data: ProblemSet = Field(description="registry entry: where the problems come from")
    out: Path = Field(description="Parquet file to write")
    dropped: Path | None = Field(
        None, description="of a source: take each problem once, and write here what was dropped"
    )
    apart_from: dict[str, Path] = Field(
        {}, description="benchmarks by name, Problems tables: what holds their problems is dropped"
    )
    overlap: float = Field(
        Source.model_fields["overlap"].default, gt=0, lt=1, description="as of `sources`"
    )

    def cli_cmd(self) -> None:
        """Load, check and write the set."""
        from ssgr.problems import commits, load

        table, schema = load(self.data)
        fetched = commits(self.data)
        for name, commit in fetched.items():
            if not name.endswith(commit):
                print(f"{name} is commit {commit}: write `revision: {commit}` to keep it")
        spec = describe(data=self.data.model_dump(exclude_defaults=True), commits=fetched)
        if self.dropped:
            table = self._apart(table, schema, self.dropped, spec)
        out = place(self.out) if self.data.is_confidential else self.out
        write(table, schema, out, spec)
        link(self.out, out)
        print(f"{len(table)} rows -> {out}")

    def _apart(
        self, table: pl.DataFrame, schema: type[dy.Schema], path: Path, spec: str
    ) -> pl.DataFrame:
        """Drop what occurs twice or is a benchmark's, and say what."""
        from ssgr.problems.apart import apart_from, without_duplicates

        before = len(table)
        table, duplicates = without_duplicates(table)
        benchmarks = {name: read(file, Problems) for name, file in self.apart_from.items()}
        table, held = apart_from(table, benchmarks, self.overlap)
        print(f"{before} rows, {len(duplicates)} of them duplicates")
        for name in benchmarks:
            found = held.filter(benchmark=name)
            equal = found.filter(reason="same question")
            print(f"{name}: dropped {len(equal)} of its questions, "
                  f"{len(found) - len(equal)} that overlap with one")  # fmt: skip
        if table.is_empty():
            raise TableError(
                f"nothing is left of this source: every row holds a problem of {list(benchmarks)}. "
                "Is it a copy of a benchmark? Check the source's `data` and `apart_from`."
            )
        write(pl.concat([duplicates, held]), Dropped, path, spec)
        return table
