"""The status in a terminal."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ssgr.monitor.status import words
from ssgr.monitor.status.look import Failure, Status

SHOWN = 12  # jobs at work that are listed
FAILURES = 4
MUTED = "bright_black"


def view(status: Status, watching: bool = False) -> RenderableType:
    """Return a status as rich shows it: what failed comes last, where a terminal has its cursor.

    While ``watching``, the top of it is what is seen: what failed comes first, in few lines.
    """
    stages, below = [_stages(status)], list(_below(status))
    failures = list(_failures(status, 3 if watching else 12))
    parts = [*stages, *failures, *below] if watching else [*stages, *below, *failures]
    return Group(*_head(status), *parts)


def _head(status: Status) -> Iterator[RenderableType]:
    end, basis = words.of_estimate(status)
    yield Text(status.title, style="bold")
    yield Text(words.of_run(status.run, status.at))
    if end:
        yield Text.assemble((end, "bold"), (f"  {basis}" if basis else "", MUTED))


def _below(status: Status) -> Iterator[RenderableType]:
    if any(one.responses or one.drawing for one in status.drawing):
        yield _drawing(status)
    if status.running:
        yield _running(status)
    yield from _remarks(status)


def _failures(status: Status, lines: int) -> Iterator[RenderableType]:
    for failure in status.failures[:FAILURES]:
        yield _failure(failure, status.at, lines)
    if (more := len(status.failures) - FAILURES) > 0:
        yield Text(f"… and {more} more that failed: --html or --json shows all of them")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=MUTED)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < 2 else "right", no_wrap=True)
    return table


def _stages(status: Status) -> RenderableType:
    named = words.states(status.stages)
    table = _table("stage", "", "done", *named.values(), "s/job")
    for stage in status.stages:
        bar = ProgressBar(max(stage.wanted, 1), stage.done, 24, complete_style="cyan",
                          finished_style="green")  # fmt: skip
        counts = [Text(str(getattr(stage, name) or ""),
                       style="bold red" if name == "failed" else "")
                  for name in named]  # fmt: skip
        took = "" if stage.seconds is None else f"{stage.seconds:,.1f}"
        table.add_row(stage.name, bar, words.of_stage(stage), *counts, Text(took, style=MUTED))
    return Padding(table, (1, 0, 0, 0))


def _drawing(status: Status) -> RenderableType:
    table = _table("drawn", *words.DRAWING[1:])
    for one in status.drawing:
        table.add_row(*words.of_drawing(one))
    return Padding(table, (1, 0, 0, 0))


def _running(status: Status) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=MUTED)
    for heading in ("now", "", "for", "", ""):
        table.add_column(heading, no_wrap=heading != "")
    for one in status.running[:SHOWN]:
        table.add_row(one.stage, escape(one.name), *map(escape, words.of_running(one, status.at)))
    if (more := len(status.running) - SHOWN) > 0:
        table.add_row(Text(f"and {more} more", style=MUTED))
    return Padding(table, (1, 0, 0, 0))


def _remarks(status: Status) -> Iterator[RenderableType]:
    broken = sum(stage.broken_off for stage in status.stages)
    for text in words.remarks(broken):
        yield Padding(Text(text, style="yellow"), (1, 0, 0, 0))


def _failure(failure: Failure, now: float, count: int) -> RenderableType:
    head = Text.assemble(
        ("Failed", "bold red"), f"  {failure.stage}: {failure.name}",
        (words.of_failure(failure, now), MUTED),
    )  # fmt: skip
    lines: list[RenderableType] = [head]
    if failure.message:
        lines.append(Text(f"  {failure.message}"))
    lines += [Text(f"  │ {line}", style=MUTED, no_wrap=True, overflow="ellipsis")
              for line in failure.lines[-count:]]  # fmt: skip
    lines.append(Text(f"  {failure.log}", overflow="fold") if failure.log else Text("  no log"))
    return Padding(Group(*lines), (1, 0, 0, 0))


def printed(status: Status, console: Console | None = None) -> None:
    """Print a status; wide enough for its tables where the output is no terminal."""
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(view(status))
