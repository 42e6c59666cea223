"""The state of every job: what is there, what Snakemake has begun, what its log says has failed."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ssgr.config import Config
from ssgr.jobs.listing import Job
from ssgr.monitor.status import traces
from ssgr.monitor.status.run import BEFORE, JobError, Mark, Run, marks
from ssgr.storage.locks import Holder

State = Literal["done", "running", "submitted", "failed", "broken off", "to do"]


@dataclass(frozen=True)
class Place:
    """Where an experiment lies: the working directory, and its results and pool."""

    directory: Path
    results: Path
    pool: Path

    @classmethod
    def of(cls, config: Config, directory: Path) -> "Place":
        """Return the place of an experiment that runs in ``directory``."""
        return cls(directory, directory / config.results, directory / config.pool.folder)

    def log(self, job: Job) -> Path:
        """A job's own log."""
        return self.results / "logs" / f"{job.place}.log"

    def cost(self, job: Job) -> Path:
        """What a job took, as Snakemake measured it."""
        return self.results / "benchmarks" / f"{job.place}.tsv"

    def output(self, job: Job) -> Path:
        """The first output of a job."""
        return self.results / job.output

    def shard(self, job: Job) -> Path:
        """The pool's file of a job that samples a shard."""
        return self.pool / f"{job.place.replace('sample/', 'responses/', 1)}.parquet"

    def drawn_at(self, job: Job) -> tuple[Path, Path] | None:
        """Lock and journal of a job that draws responses; None of any other."""
        if job.rule == "sample":
            beside = self.shard(job)
            name = beside.stem
        elif job.rule == "sample_benchmark":
            beside = self.output(job)
            name = beside.name
        else:
            return None
        return beside.with_name(f".{name}.lock"), beside.with_name(f".{name}.journal")


@dataclass(frozen=True)
class Seen:
    """A job as it is found. ``holder`` is who draws its responses, where somebody does.

    ``submitted`` is a job that waits in a cluster's queue; ``broken off`` one that was begun by a
    run that has ended since.
    """

    job: Job
    state: State
    mark: Mark | None = None
    holder: Holder | None = None
    error: JobError | None = None


def states(jobs: Iterable[Job], place: Place, run: Run) -> list[Seen]:
    """Return every job with its state."""
    begun = {_key(place.directory, name): mark for name, mark in marks(place.directory).items()}
    failed = {_key(place.directory, name): error for name, error in run.errors.items()}
    found = []
    for job in jobs:
        key = _key(place.results, job.output)
        mark, error = begun.get(key), failed.get(key)
        if mark and run.alive is not False:
            found.append(_begun(job, place, run, mark, error))
        elif mark:
            found.append(_left(job, place, run, mark, error))
        else:
            there = os.path.lexists(place.output(job))
            state: State = "done" if there else "failed" if error else "to do"
            found.append(Seen(job, state, error=error))
    return found


def _key(folder: Path, name: str) -> str:
    return os.path.abspath(folder / name)


def _begun(job: Job, place: Place, run: Run, mark: Mark, error: JobError | None) -> Seen:
    """A job with a mark while Snakemake runs; the mark may be an earlier run's."""
    if error:
        return Seen(job, "failed", mark, error=error)
    if run.started and mark.since < run.started - BEFORE:
        return Seen(job, "done" if os.path.lexists(place.output(job)) else "to do")
    logged = traces.modified(place.log(job))
    queued = mark.external and (logged is None or logged < mark.since - BEFORE)
    return Seen(job, "submitted" if queued else "running", mark, _holder(job, place))


def _left(job: Job, place: Place, run: Run, mark: Mark, error: JobError | None) -> Seen:
    """A job with a mark where no Snakemake runs: it has failed, or it was left alone."""
    if holder := _holder(job, place):
        return Seen(job, "running", mark, holder)
    silent = run.failed and not run.errors  # a quiet run's log names no failed job
    return Seen(job, "failed" if error or silent else "broken off", mark, error=error)


def _holder(job: Job, place: Place) -> Holder | None:
    at = place.drawn_at(job)
    return traces.holder(at[0]) if at else None
