"""The tables of an audit: of each pool the verdicts, the grades, and what each calibration visited.

Paths say by their ``key=value`` folders what they are of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ssgr.config import Calibration, Config
from ssgr.errors import ReportError
from ssgr.jobs.grid import CALIBRATION_KEYS, judged_by_source, points
from ssgr.jobs.paths import keys_of
from ssgr.pool import receipts
from ssgr.storage.tables import Grades, Problems, Responses, Verdicts, read

Shards = frozenset[str]
"""Receipts of graded shards."""
RESPONSE = ("problem_id", "sample")


@dataclass(frozen=True)
class AuditedPool:
    """One model's responses to one source.

    ``configured`` is the method of the run. ``grades`` are those in the folder ``pool``, with the
    columns shard, and part and sha256 of the file that holds the response.
    ``verdicts``: Verdicts columns; those of ``configured`` are the grades', by which the run has
    selected, and ``judged_otherwise`` counts how many came out otherwise when they were judged
    again. ``calibrations``: by label, with the shards that each visited.
    """

    pool: Path
    model: str
    source: str
    configured: str
    problems: pl.DataFrame
    grades: pl.DataFrame
    verdicts: pl.DataFrame
    judged_otherwise: int
    calibrations: Mapping[str, tuple[Calibration, Shards]]

    def texts(self, wanted: pl.DataFrame) -> dict[tuple[str, int], str]:
        """Return the texts of some responses (problem_id, sample), reading only their parts."""
        rows = self.grades.join(wanted, on=RESPONSE, how="semi")
        found: dict[tuple[str, int], str] = {}
        for (path, sha256), own in rows.group_by("part", "sha256", maintain_order=True):
            part = receipts.Reference(path=str(path), sha256=str(sha256), rows=0)
            table = receipts.open_part(self.pool, part, Responses)
            asked = table.join(own, on=RESPONSE, how="semi").select(*RESPONSE, "text")
            found |= {(problem_id, sample): text for problem_id, sample, text in asked.iter_rows()}
        return found


def gather(
    config: Config,
    pool: Path,
    verdicts: Sequence[Path],
    problems: Sequence[Path],
    visited: Sequence[Path],
) -> list[AuditedPool]:
    """Read what the audit of ``config`` is about.

    Args:
        config: what was run.
        pool: folder of the sampled responses.
        verdicts: Verdicts tables of its pools.
        problems: Problems tables of its sources.
        visited: what each calibration visited (visited.json).

    Raises:
        ReportError: no calibration is taken from responses that the source's own method judged,
            something of a pool was not named, or verdicts are of other responses than the grades.
        TableError: a table is missing, truncated or of another schema.
        PoolError: a part of the pool is gone or has changed.
    """
    own_method = judged_by_source(config, points(config))
    wanted = own_method.select("label", *CALIBRATION_KEYS).unique(maintain_order=True)
    if wanted.is_empty():
        raise ReportError(
            "no calibration of this run is taken from a model's responses, judged by the source's "
            "own method, so there are no verdicts to audit: name one with a tau and without a "
            "verifier in `calibrations`"
        )
    named = {"verdicts": verdicts, "problems": problems, "visited": visited}
    files = {(kind, _keys(path, kind)): path for kind, paths in named.items() for path in paths}
    found = []
    for own in wanted.partition_by("generator", "source", maintain_order=True):
        rows = own.to_dicts()
        calibrations = {
            row["label"]: (
                config.run_calibrations[row["label"]],
                frozenset(receipts.read_visited(_find(files, "visited", row))),
            )
            for row in rows
        }
        method = config.sources[rows[0]["source"]].method
        texts = read(_find(files, "problems", rows[0]), Problems)
        judged = read(_find(files, "verdicts", rows[0]), Verdicts)
        place = (rows[0]["generator"], rows[0]["source"])
        found.append(_pool(pool, place, method, texts, judged, calibrations))
    return found


OF = {"verdicts": ("generator", "source"), "problems": ("source",), "visited": CALIBRATION_KEYS}
"""The keys of a point that say what a file is of."""
Files = Mapping[tuple[str, tuple[str, ...]], Path]


def _keys(path: Path, kind: str) -> tuple[str, ...]:
    keys = keys_of(path)
    if kind == "verdicts":  # of responses, which lie under the model that generated them
        keys["generator"] = keys.get("model", "")
    return tuple(keys.get(name, "") for name in OF[kind])


def _find(files: Files, kind: str, row: Mapping[str, str]) -> Path:
    """The file of a kind that is of this row's keys."""
    key = tuple(row[name] for name in OF[kind])
    if (kind, key) not in files:
        asked = ", ".join(map("=".join, zip(OF[kind], key, strict=True)))
        raise ReportError(f"the run asks for {asked}: its file was not named (--{kind})")
    return files[kind, key]


def _pool(
    pool: Path,
    place: tuple[str, str],
    configured: str,
    problems: pl.DataFrame,
    verdicts: pl.DataFrame,
    calibrations: Mapping[str, tuple[Calibration, Shards]],
) -> AuditedPool:
    every = sorted({shard for _, shards in calibrations.values() for shard in shards})
    grades = pl.concat([_NO_GRADES, *(_grades(pool, shard) for shard in every)])
    judged = verdicts.filter(method=configured)
    given = judged.join(grades.select(*RESPONSE, stored="verdict"), on=RESPONSE)
    if not len(given) == len(judged) == len(grades):
        raise ReportError(
            f"{len(judged)} responses of {place[0]} to {place[1]} were judged by every method, "
            f"{len(grades)} are graded and {len(given)} are both: the pool has grown since. "
            "Delete this run's verification/ and run `snakemake verification` again."
        )
    stored = verdicts.join(grades.select(*RESPONSE, stored="verdict"), on=RESPONSE,
                           maintain_order="left")  # fmt: skip
    own = pl.when(pl.col("method") == configured).then("stored").otherwise("verdict")
    return AuditedPool(
        pool,
        *place,
        configured,
        problems,
        grades,
        stored.with_columns(verdict=own.cast(pl.String)).drop("stored"),
        int((given["verdict"] != given["stored"]).sum()),
        calibrations,
    )


_NO_GRADES = Grades.create_empty().with_columns(
    pl.lit(None, dtype=pl.String).alias(name) for name in ("shard", "part", "sha256")
)


def _grades(pool: Path, shard: str) -> pl.DataFrame:
    parts = receipts.read(Path(shard), receipts.GradedShard).parts
    graded = [
        receipts.open_part(pool, part.grades, Grades).with_columns(
            shard=pl.lit(shard),
            part=pl.lit(part.responses.path),
            sha256=pl.lit(part.responses.sha256),
        )
        for part in parts
    ]
    return pl.concat([_NO_GRADES, *graded])
