"""`problems`: a problem set, or documents, as one table."""

from pathlib import Path

from pydantic import Field

from ssgr.config import ProblemSet, Strict
from ssgr.provenance import describe
from ssgr.tables import write


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
