"""Read the tables of an agreement page: verdicts, grades, and what each calibration visited.

The ``key=value`` folders of a path say what its file is of.
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
from ssgr.storage.tables import Problems, Verdicts, read
from ssgr.verification.agreement.rates import RESPONSE


@dataclass(frozen=True)
class AuditedPool:
    """One model's responses to one source.

    ``configured`` is the method of the run. ``grades`` are those in the folder ``pool``, with the
    columns of `receipts.graded_rows` and shard. ``verdicts``: Verdicts columns; those of
    ``configured`` are the grades', by which the run has selected, and ``judged_otherwise`` counts
    how many came out differently when judged again. ``calibrations``: by label, with the receipts
    of the graded shards that each visited.
    """

    pool: Path
    model: str
    source: str
    configured: str
    problems: pl.DataFrame
    grades: pl.DataFrame
    verdicts: pl.DataFrame
    judged_otherwise: int
    calibrations: Mapping[str, tuple[Calibration, frozenset[str]]]

    def texts(self, wanted: pl.DataFrame) -> dict[tuple[str, int], str]:
        """Return the texts of some responses (problem_id, sample), reading only their parts."""
        rows = self.grades.join(wanted, on=RESPONSE, how="semi")
        return {
            (problem_id, sample): text
            for part in receipts.response_rows(self.pool, rows)
            for problem_id, sample, text in part.select(*RESPONSE, "text").iter_rows()
        }


def gather(
    config: Config,
    pool: Path,
    verdicts: Sequence[Path],
    problems: Sequence[Path],
    visited: Sequence[Path],
) -> list[AuditedPool]:
    """Read what the calibrations of ``config`` are taken from.

    The files are the Verdicts tables of its pools, the Problems tables of its sources and what each
    calibration visited (visited.json), in any order.

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
    found = []
    for (model, source), own in wanted.group_by("generator", "source", maintain_order=True):
        calibrations = {}
        for label, *keys in own.iter_rows():
            path = _find(visited, "visited", dict(zip(CALIBRATION_KEYS, keys, strict=True)))
            shards = frozenset(receipts.read_visited(path))
            calibrations[label] = (config.run_calibrations[label], shards)
        place = {"model": str(model), "source": str(source)}
        configured = config.sources[place["source"]].method
        every = sorted({shard for _, shards in calibrations.values() for shard in shards})
        grades = pl.concat([_graded(pool, None), *(_graded(pool, shard) for shard in every)])
        judged = read(_find(verdicts, "verdicts", place), Verdicts)
        texts = read(_find(problems, "problems", {"source": place["source"]}), Problems)
        reread, otherwise = _as_graded(judged, grades, configured, place)
        found.append(
            AuditedPool(
                pool, **place, configured=configured, problems=texts, grades=grades,
                verdicts=reread, judged_otherwise=otherwise, calibrations=calibrations,
            )
        )  # fmt: skip
    return found


def _find(paths: Sequence[Path], flag: str, keys: Mapping[str, str]) -> Path:
    """The path whose folders have these keys."""
    for path in paths:
        if keys.items() <= keys_of(path).items():
            return path
    asked = ", ".join(map("=".join, keys.items()))
    raise ReportError(f"the run asks for {asked}: its file was not named (--{flag})")


def _graded(pool: Path, shard: str | None) -> pl.DataFrame:
    """The grades of a shard, by its receipt; none without one."""
    parts = receipts.read(Path(shard), receipts.GradedShard).parts if shard else ()
    return receipts.graded_rows(pool, parts).with_columns(shard=pl.lit(shard, pl.String))


def _as_graded(
    verdicts: pl.DataFrame, grades: pl.DataFrame, configured: str, place: Mapping[str, str]
) -> tuple[pl.DataFrame, int]:
    """The verdicts, those of the configured method as graded, and how many of these differed."""
    stored = verdicts.join(grades.select(*RESPONSE, stored="verdict"), on=RESPONSE,
                           maintain_order="left")  # fmt: skip
    judged, again = verdicts.filter(method=configured), stored.filter(method=configured)
    if not len(again) == len(judged) == len(grades):
        raise ReportError(
            f"{len(judged)} responses of {place['model']} to {place['source']} were judged by "
            f"every method, {len(grades)} are graded and {len(again)} are both: the pool has grown "
            "since. Delete this run's verification/ and run `snakemake verification` again."
        )
    own = pl.when(pl.col("method") == configured).then("stored").otherwise("verdict")
    otherwise = int((again["verdict"] != again["stored"]).sum())
    return stored.with_columns(verdict=own.cast(pl.String)).drop("stored"), otherwise
