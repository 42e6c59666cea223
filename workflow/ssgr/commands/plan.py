"""`plan`: what a run would take, before anything runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ssgr.cluster.sizing.configs import fetched
from ssgr.commands.flags import Command
from ssgr.commands.terminal import aligned, hours, whole
from ssgr.config import Config
from ssgr.monitor.plan import EXPECTED, plan

READ = (
    "responses, tokens and hours are of what is still to do; <= marks upper bounds, ~ estimates by "
    "the model's size, ? what is not known yet; CPU-h is the wall time of jobs without a GPU. GPUs "
    "and their GB are one job's at its peak; vLLM fills the rest of its share"
)


class PlanCommand(Command):
    """Show the jobs, tokens, GPU-hours, GPUs, memory and disk of a run, by stage and model.

    The config.json of a model of the hub is fetched, if it is not in the hub's cache.
    """

    config: Config = Field(description="the whole configuration, as JSON")
    as_json: bool = Field(False, alias="json", description="one JSON object a line, all columns")

    def cli_cmd(self) -> None:
        """Look and print."""
        folders = Path(self.config.results), Path(self.config.pool.path)
        rows = plan(self.config, *folders, fetched)
        print(rows.write_ndjson().rstrip() if self.as_json else shown(rows.to_dicts()))


def shown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a plan as a table, with its total."""
    header = ("stage", "model", "of", "scope", "jobs", "done", "responses", "tokens", "hours",
              "GPUs", "GB each", "GB memory", "GB disk", "basis")  # fmt: skip
    cells = [
        (
            *(row["stage"], row["model"], row["of"], row["scope"]),
            *(_count(row["jobs"]), _count(row["done"])),
            *(_drawn(row, name) for name in ("responses", "tokens")),
            _bounded(row, _estimated(row, hours(row["gpu_hours"], row["cpu_hours"]))),
            *(str(row["gpus"] or ""), _gigabytes(row["gpu_mb"], bool(row["gpus"]))),
            *(_gigabytes(row["mem_mb"]), _gigabytes(row["disk_mb"])),
            row["basis"],
        )
        for row in rows
    ]
    return "\n".join([aligned(header, cells, numbers=4), "", *total(rows), READ])


def total(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sum of what is expected, and what is missing in it."""
    counted = [row for row in rows if row["scope"] in ("", EXPECTED)]
    known = [row for row in counted if None not in (row["gpu_hours"], row["cpu_hours"])]
    spent = hours(*(sum(row[name] for row in known) for name in ("gpu_hours", "cpu_hours")))
    bound = "at most " if any(row["at_most"] for row in known) else ""
    bound += "about " if any(row["estimated"] for row in known) else ""
    unknown = [
        " ".join(filter(None, (row["stage"], row["model"], row["of"])))
        for row in counted
        if row not in known
    ]
    lines = [f"expected in all: {bound}{spent}"] * bool(known)
    return lines + [f"not in it, for it is not known yet: {', '.join(unknown)}"] * bool(unknown)


def _drawn(row: Mapping[str, Any], name: str) -> str:
    if row["stage"] not in ("sample", "answer"):
        return ""
    return _bounded(row, _count(row[name]))


def _bounded(row: Mapping[str, Any], text: str) -> str:
    return f"<= {text}" if row["at_most"] and text not in ("?", "0") else text


def _estimated(row: Mapping[str, Any], text: str) -> str:
    return f"~{text}" if row["estimated"] and text not in ("?", "0") else text


def _gigabytes(megabytes: int | None, needed: bool = False) -> str:
    """GB of so many MB; nothing where there is nothing, ``?`` where something is not known."""
    if not megabytes:
        return "?" if needed else ""
    return f"{megabytes / 1000:.3g}"


def _count(number: int | None) -> str:
    return "?" if number is None else whole(number)
