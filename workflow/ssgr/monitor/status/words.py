"""Times, spans and counts as a person reads them, in the terminal and on the page."""

import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from ssgr.monitor.status.drawing import Drawing
from ssgr.monitor.status.estimate import Estimate
from ssgr.monitor.status.look import Failure, Running, Stage, Status
from ssgr.monitor.status.run import Run

DAY = 86_400
SILENT = 600  # seconds without a word of Snakemake that are worth a remark


def span(seconds: float) -> str:
    """Return a span of time in its two largest units."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < DAY:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // DAY} d {whole % DAY // 3600} h"


def moment(at: float, now: float) -> str:
    """Return a time of day, with its date if that is not today's."""
    form = "%H:%M" if time.localtime(at)[:3] == time.localtime(now)[:3] else "%a %d %b %H:%M"
    return time.strftime(form, time.localtime(at))


def many(count: float) -> str:
    """Return a count: whole if it is short, else with a unit."""
    return f"{count:,.0f}" if count < 100_000 else str(tqdm.format_sizeof(count))


def speed(rate: float | None) -> str:
    """Return tokens a second, with as many digits as say something."""
    return "" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def of_run(run: Run, now: float) -> str:
    """Return what Snakemake is at, in a sentence."""
    if run.log is None:
        return "No run of Snakemake has left a log in this folder."
    command = run.command or "Snakemake"
    steps = f"; {run.steps[0]} of {run.steps[1]} jobs, as far as it knows" if run.steps else ""
    begun = f" since {moment(run.started, now)} ({span(now - run.started)})" if run.started else ""
    host = f" on {run.header['Host']}" if "Host" in run.header else ""
    heard = now - run.heard if run.heard else 0.0
    ago = f"; last heard of {span(heard)} ago" if heard > SILENT or run.alive is None else ""
    if run.alive:
        last = "; interrupted, it ends when its running jobs have" if run.stopped else ""
        return f"Running{begun}{host}: {command}{steps}{ago}{last}"
    if run.alive is None:
        return f"Begun{begun}{host}: {command}{steps}{ago}; whether it runs is not to be seen here"
    when = f" {moment(run.heard, now)}" if run.heard else ""
    if not run.ended:
        said = f"broken off. It was ended in the midst, last heard of{when}{host}"
        return f"Not running: {said}: {command}{steps}"
    if run.broken:
        return f"Not running: broken off by an interrupt{when}{host}: {command}{steps}"
    outcome = "Failed" if run.failed else "Finished" if run.asked else "Finished with nothing to do"
    return f"Not running. {outcome}{when}{host}: {command}"


def of_estimate(status: Status) -> tuple[str, str]:
    """Return when the run will have ended, and what that is estimated from; empty: not known."""
    found = status.estimate
    if all(stage.done == stage.wanted for stage in status.stages):
        return "Everything is there.", ""
    if found.seconds is None:
        return "", ""
    left, more = span(found.seconds), bool(found.unknown)
    if status.run.alive is False or not status.follows:
        return f"{left}{' or more' * more} of work left, if it goes on as it did", _basis(found)
    end = moment(status.at + found.seconds, status.at) + " or later" * more
    return f"Ends in {left}{' or more' if more else ''}, at {end}", _basis(found)


def _basis(found: Estimate) -> str:
    text = f"estimated from {found.measured:,} finished jobs, {found.abreast:.1f} side by side"
    missing = ", ".join(found.unknown)
    return text + (f"; not in it, for nothing of it has been measured: {missing}" * bool(missing))


def of_stage(stage: Stage) -> str:
    """Return how much of a stage is done."""
    about = "~" if stage.estimated and stage.done < stage.wanted else ""
    return f"{stage.done:,} of {about}{stage.wanted:,}"


def states(stages: Sequence[Stage]) -> Mapping[str, str]:
    """Return the states, but for done, that any job is in: attribute and heading."""
    named = {"running": "running", "submitted": "in queue", "failed": "failed",
             "broken_off": "broken off"}  # fmt: skip
    return {
        name: shown
        for name, shown in named.items()
        if name == "running" or any(getattr(stage, name) for stage in stages)
    }


def of_drawing(one: Drawing) -> tuple[str, ...]:
    """Return the cells of a row: name, done, responses, tokens, tokens/s, jobs, tokens/s now."""
    journals = f" + {many(one.in_journals)}" if one.in_journals else ""
    return (
        one.of,
        f"{one.done:,} of {one.wanted:,} {one.unit}",
        many(one.responses) + journals,
        many(one.tokens),
        speed(one.tokens_per_second),
        str(one.drawing or ""),
        speed(one.now),
    )


DRAWING = ("", "done", "responses", "tokens", "tokens/s a job", "jobs now", "tokens/s now")
"""Headings of :func:`of_drawing`."""


def of_running(one: Running, now: float) -> tuple[str, str, str]:
    """Return for how long a job runs, who runs it, and what its log says."""
    if one.state == "submitted":
        return span(now - one.since), f"in queue as {one.external}", ""
    who = f"pid {one.pid} on {one.host}" if one.pid else ""
    who += " (orphan)" if one.orphaned else ""
    cluster = f"job {one.external}" if one.external else ""
    rate = f"{speed(one.tokens_per_second)} tokens/s" if one.tokens_per_second else ""
    said = ", ".join(filter(None, (one.progress, rate)))
    return span(now - one.since), ", ".join(filter(None, (who, cluster))), said


def of_failure(failure: Failure, now: float) -> str:
    """Return when a job failed, and how often."""
    at = f"  at {moment(failure.at, now)}" if failure.at else ""
    return at + (f", {failure.attempts} attempts" if failure.attempts > 1 else "")


def remarks(broken: int) -> list[str]:
    """Return what is to be said of jobs that were broken off."""
    jobs = "1 job was" if broken == 1 else f"{broken:,} jobs were"
    return [f"{jobs} broken off when Snakemake was ended; it begins them again."] * bool(broken)
