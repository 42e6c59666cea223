"""One look at a run: its stages, who works at what, what failed, when it will have ended."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssgr.config import Config
from ssgr.jobs.listing import STAGES, Wanted, wanted
from ssgr.monitor.status import traces
from ssgr.monitor.status.drawing import Costs, Drawing, drawings
from ssgr.monitor.status.estimate import RECENT, Estimate, Left, Prices, Taken, abreast, estimate
from ssgr.monitor.status.run import JobError, Run, last_run
from ssgr.monitor.status.speed import Journals, of_shards
from ssgr.monitor.status.states import Place, Seen, states

STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}


@dataclass(frozen=True)
class Stage:
    """A stage's jobs by their state; ``estimated``: how many are wanted is not known exactly yet.

    ``seconds`` is the mean wall time of a finished job.
    """

    name: str
    wanted: int
    estimated: bool
    done: int
    running: int
    submitted: int
    failed: int
    broken_off: int
    seconds: float | None


@dataclass(frozen=True)
class Running:
    """A job at work, or in a cluster's queue: who does it, and what its log says of it."""

    stage: str
    name: str
    state: str
    since: float
    host: str
    pid: int
    orphaned: bool
    external: str | None
    progress: str
    tokens_per_second: float | None
    log: str


@dataclass(frozen=True)
class Failure:
    """A job that failed; ``lines`` are the last of its log, ``message`` is Snakemake's."""

    stage: str
    name: str
    at: float | None
    attempts: int
    message: str
    log: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """What one look has found. Times are seconds since 1970.

    ``follows``: just what the last run makes is looked at, so that it ends with that.
    """

    title: str
    at: float
    follows: bool
    run: Run
    stages: tuple[Stage, ...]
    drawing: tuple[Drawing, ...]
    running: tuple[Running, ...]
    failures: tuple[Failure, ...]
    estimate: Estimate


def look(
    config: Config,
    directory: Path,
    targets: Sequence[str] = (),
    *,
    follows: bool = True,
    journals: Journals | None = None,
) -> Status:
    """Return how far a run is: nothing is written, and no running job is disturbed.

    Args:
        config: the whole configuration.
        directory: where Snakemake runs.
        targets: what was asked of it; without any, the configuration's own target.
        follows: whether this is just what the last run makes, so that it ends with it.
        journals: those of earlier looks, for the speed between them.
    """
    place, now = Place.of(config, directory), time.time()
    asked = wanted(config, place.results, targets)
    run = last_run(directory, frozenset(STAGE_OF))
    seen = states(asked.jobs, place, run)
    costs = {
        one.job.output: traces.seconds_taken(place.cost(one.job))
        for one in seen
        if one.state == "done"
    }
    drawn = drawings(seen, place, costs, journals or Journals())
    running = [_running(one, place) for one in seen if one.state in ("running", "submitted")]
    return Status(
        title=config.title,
        at=now,
        follows=follows,
        run=run,
        stages=tuple(_stages(asked, seen, costs)),
        drawing=tuple(drawn),
        running=tuple(sorted(running, key=lambda one: (one.state, one.since))),
        failures=tuple(_failures(seen, place, run)),
        estimate=_estimate(seen, costs, place, run, now),
    )


def _stages(asked: Wanted, seen: Sequence[Seen], costs: Costs) -> Iterator[Stage]:
    for name, rules in STAGES.items():
        mine = [one for one in seen if one.job.rule in rules]
        if not mine:
            continue
        took = [cost[1] for one in mine if (cost := costs.get(one.job.output))]
        count = [one.state for one in mine].count
        yield Stage(
            name=name,
            wanted=len(mine),
            estimated=bool(asked.estimated.intersection(rules)),
            done=count("done"),
            running=count("running"),
            submitted=count("submitted"),
            failed=count("failed"),
            broken_off=count("broken off"),
            seconds=sum(took) / len(took) if took else None,
        )


def _running(one: Seen, place: Place) -> Running:
    log, holder, mark = place.log(one.job), one.holder, one.mark
    begun = one.state == "running"
    said, speed = traces.progress(log) if begun else ("", None)
    return Running(
        stage=STAGE_OF[one.job.rule],
        name=one.job.name,
        state=one.state,
        since=mark.since if mark else 0.0,
        host=holder.host if holder else "",
        pid=holder.pid if holder else 0,
        orphaned=bool(holder and holder.orphaned),
        external=mark.external if mark else None,
        progress=said,
        tokens_per_second=speed,
        log=_shown(log, place),
    )


def _failures(seen: Sequence[Seen], place: Place, run: Run) -> Iterator[Failure]:
    """The failed jobs of the run, the latest first; also of rules that no stage has."""
    ours = {os.path.abspath(place.output(one.job)) for one in seen}
    found = [
        _failure(STAGE_OF[one.job.rule], one.job.name, one.error, [place.log(one.job)], place)
        for one in seen
        if one.state == "failed"
    ]
    for output, error in run.errors.items():
        path = place.directory / output
        if os.path.abspath(path) not in ours and not os.path.lexists(path):
            found.append(_failure(error.rule, output, error, [], place))
    yield from sorted(found, key=lambda one: -(one.at or 0))


def _failure(
    stage: str, name: str, error: JobError | None, logs: list[Path], place: Place
) -> Failure:
    named = [place.directory / log for log in error.logs] if error else []
    logs = list(dict.fromkeys([*logs, *named]))
    return Failure(
        stage=stage,
        name=name,
        at=error.at if error else max(filter(None, map(traces.modified, logs)), default=None),
        attempts=error.attempts if error else 1,
        message=error.message if error else "",
        log=_shown(logs[0], place) if logs else "",
        lines=tuple(traces.last_lines(logs)),
    )


def _shown(path: Path, place: Place) -> str:
    """A path as the person who is in the working directory would name it."""
    return os.path.relpath(path, place.directory) if path.is_absolute() else str(path)


def _estimate(seen: Sequence[Seen], costs: Costs, place: Place, run: Run, now: float) -> Estimate:
    taken = [Taken(one.job, *cost) for one in seen if (cost := costs.get(one.job.output))]
    left = [
        Left(one.job, now - one.mark.since if one.mark and one.state == "running" else 0.0)
        for one in seen
        if one.state != "done" and not _is_in_the_pool(one, place)
    ]
    pace, until = None, now if run.alive is not False else run.heard
    if run.started and until:
        since = max(run.started, until - RECENT)
        running = [one.mark.since for one in seen if one.mark and one.state == "running"]
        ended = traces.ended_since(place.results / "benchmarks", since)
        pace = abreast(ended, running, since, until)
    return estimate(left, Prices(_drawn(taken, place)), pace, len(taken))


def _is_in_the_pool(one: Seen, place: Place) -> bool:
    return one.job.rule == "sample" and place.shard(one.job).is_file()


def _drawn(taken: Sequence[Taken], place: Place) -> Iterator[Taken]:
    """Jobs with what their work took: a shard that another experiment had drawn took it longer."""
    for one in taken:
        drawn = of_shards([place.shard(one.job)]).seconds if one.job.rule == "sample" else 0.0
        yield Taken(one.job, one.ended, max(one.seconds, drawn))
