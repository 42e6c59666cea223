"""A run and what its Snakemake leaves in the working directory: log, marks, locks, jobs."""

import base64
import os
from pathlib import Path
from typing import Any

import polars as pl

from small_pool import HUB_MODEL, SmallPool
from ssgr.config import Config
from ssgr.jobs.listing import Job, wanted
from ssgr.monitor.status import Status, look
from ssgr.monitor.status.states import Place

RUN: dict[str, Any] = {
    "pool": {"shard_size": 4, "wave": 2},
    "run": {"models": ["small"], "pruners": ["wanda", "magnitude"], "sparsities": [50]},
    "models": {"small": HUB_MODEL.model_dump(exclude_unset=True)},
    "sources": {
        "stories": {"data": {"loader": "abacus", "kind": "stories", "count": 40}},
        "prose": {"data": {"loader": "abacus", "kind": "prose", "count": 9}},
    },
    "benchmarks": {"easy": {"data": {"loader": "abacus", "kind": "easy", "count": 10}}},
    "calibrations": {
        "C4": {"source": "prose", "length": "text"},
        "SSGR": {"source": "stories", "tau": 0.75, "length": "median"},
    },
    "sampling": {"n": 4, "max_tokens": 100},
    "evaluation": {"n": 3, "max_tokens": 100},
    "budget": {"sequences": 6, "tokens": 100},
}
"""40 problems in shards of 4, waves of 2 shards, 6 sequences a calibration set."""
HEADER = """Assuming unrestricted shared filesystem usage.

SNAKEMAKE
=========
  Date: 2026-11-22 09:44:05
  Workflow ID: 9633bb57-56ae-47e6-9a9d-7fa0f53bc3d7
  Host: {host}
  User: root
  Snakemake version: 9.27.1
  Command: /venv/bin/snakemake {arguments}
  Snakefile: {snakefile}
  Working directory: {directory}
  Config file(s): [{files}]
  Config MD5: 594c7382270bfdec370f20f1ee90f9cb

Building DAG of jobs...
Using shell: /usr/bin/bash
Provided cores: 2
Job stats:
job                   count
------------------  -------
sample                    4
score                   232
total                   236

Select jobs to execute...
"""
STARTED = """[Sun Nov 22 09:46:0{second} 2026]
Job {number}: {message}
Reason: Missing output files: {output}
Select jobs to execute...
"""
ERROR = """RuleException:
CalledProcessError in file "/w/workflow/rules/pruning.smk", line 33:
Command 'set -euo pipefail;  python -m ssgr prune' returned non-zero exit status 1.
[Sun Nov 22 09:47:13 2026]
Error in rule {rule}:
    message: {message}
    jobid: {number}
    input: a.parquet, b.parquet
    output: {output}
    log: {log} (check log file(s) for error details)
    shell:
        python -m ssgr prune --model '{{"path":"m"}}' > {log} 2>&1
        (command exited with non-zero exit code)
"""
LATER = """[Sun Nov 22 09:47:14 2026]
Finished jobid: 3 (Rule: score)
27 of 236 steps (11%) done
"""
END = "Complete log(s): /w/.snakemake/log/it.snakemake.log\nWorkflowError:\n"
FAILED_END = END + "At least one job did not complete successfully.\n"


class Folder:
    """A working directory, and what is in it."""

    def __init__(self, directory: Path, config: Config) -> None:
        self.directory, self.config = directory, config
        self.place = Place.of(config, directory)

    def do(self, *jobs: Job, seconds: float = 10.0, ended: float | None = None) -> None:
        """Let jobs have succeeded: output, log and cost."""
        for job in jobs:
            for path, text in (
                (self.place.output(job), "x"),
                (self.place.log(job), "done\n"),
                (self.place.cost(job), f"s\th:m:s\tmax_rss\n{seconds}\t0:00:10\t12.5\n"),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            if ended is not None:
                os.utime(self.place.cost(job), (ended, ended))

    def mark(self, job: Job, external: str | None = None, since: float | None = None) -> Path:
        """Let Snakemake have begun a job; the name of the mark is cut as Snakemake cuts it."""
        name = os.path.relpath(self.place.output(job), self.directory)
        code = base64.urlsafe_b64encode(name.encode()).decode()
        pieces = [code[k : k + 254] for k in range(0, len(code), 254)]
        pieces = [f"@{piece}" for piece in pieces[:-1]] + pieces[-1:]
        path = self.directory.joinpath(".snakemake", "incomplete", *pieces)
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = "null" if external is None else f'"{external}"'
        path.write_text(f'{{"external_jobid": {shown}}}')
        if since is not None:
            os.utime(path, (since, since))
        return path

    def say(self, job: Job, text: str) -> None:
        """Write a job's own log."""
        path = self.place.log(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def locked(self) -> None:
        """Let a Snakemake have locked the folder."""
        lock = self.directory / ".snakemake" / "locks" / "0.output.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text("results/report/index.html\n")

    def run(
        self,
        *parts: str,
        arguments: str = "--cores 2",
        host: str = "elsewhere",
        files: str = "'/cache/config.yaml'",
        snakefile: str | None = None,
        name: str = "2026-11-22T094405.019147",
    ) -> Path:
        """Write Snakemake's log of a run: a header, then these parts."""
        path = self.directory / ".snakemake" / "log" / f"{name}.snakemake.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = HEADER.format(
            host=host,
            arguments=arguments,
            files=files,
            directory=self.directory,
            snakefile=snakefile or Path(__file__).parents[1] / "workflow" / "Snakefile",
        )
        path.write_text(head + "".join(parts))
        return path

    def error(self, job: Job, number: int = 9, message: str = "None", more: str = "") -> str:
        """The block of a failed job in Snakemake's log."""
        output = os.path.relpath(self.place.output(job), self.directory)
        log = os.path.relpath(self.place.log(job), self.directory)
        return ERROR.format(rule=job.rule, number=number, output=f"{output}, {output}.second",
                            log=log + more, message=message)  # fmt: skip

    def tally(self, job: Job, found: int) -> None:
        """Let a tally have found so many candidates."""
        path = self.place.output(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"problem_id": [f"p{k}" for k in range(found)]}).write_parquet(path)


def started(number: int, output: str = "x", second: int = 1) -> str:
    """The begin of a job in Snakemake's log."""
    return STARTED.format(number=number, message="Score easy", output=output, second=second)


def pool_of(folder: Folder) -> SmallPool:
    return SmallPool(folder.place.pool, sampling=folder.config.sampling.drawn)


def jobs(folder: Folder, rule: str, *targets: str) -> list[Job]:
    return [job for job in wanted(folder.config, folder.place.results, targets).jobs
            if job.rule == rule]  # fmt: skip


def status(folder: Folder, *targets: str, **options: Any) -> Status:
    return look(folder.config, folder.directory, targets, **options)


def counts(found: Status, stage: str) -> dict[str, int]:
    one = next(one for one in found.stages if one.name == stage)
    named = ("wanted", "done", "running", "submitted", "failed", "broken_off")
    return {name: getattr(one, name) for name in named if getattr(one, name)}
