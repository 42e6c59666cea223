"""The jobs of a DAG as Snakemake plans them, with wildcards, resources and what each waits for.

    python tests/workflow_dag.py ARGUMENTS OF SNAKEMAKE

prints them as JSON: what `snakemake --d3dag` prints, and more of each job.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DagJob:
    """A job that would run; ``after`` holds the keys of those that it waits for.

    ``params`` are as the command line has them, and ``command`` names it; None runs nothing.
    """

    key: int
    rule: str
    wildcards: dict[str, str]
    resources: dict[str, Any]
    params: dict[str, Any]
    command: str | None
    priority: int
    after: frozenset[int]


def dag(root: Path, directory: Path, *arguments: str, **variables: str) -> list[DagJob]:
    """The jobs that Snakemake would run, in the order it knows them."""
    command = [
        *(sys.executable, __file__, *arguments),
        *("--snakefile", str(root / "workflow" / "Snakefile"), "--directory", str(directory)),
    ]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return [DagJob(**{**each, "after": frozenset(each["after"])}) for each in found]


def _print_jobs(self: Any, max_jobs: int = 0) -> None:
    """Take the place of Snakemake's own method of this name."""
    jobs = [job for job in self.jobs if self.needrun(job)]
    rows = [
        {
            "key": self.jobid(job),
            "rule": job.rule.name,
            "wildcards": dict(job.wildcards_dict or {}),
            "resources": dict(job.resources.items()),
            "params": dict(job.params.items()),
            "command": (re.findall(r"-m ssgr (\S+)", job.rule.shellcmd or "") or [None])[0],
            "priority": job.rule.priority if isinstance(job.rule.priority, int) else 0,
            "after": [self.jobid(one) for one in self.dependencies[job] if self.needrun(one)],
        }
        for job in jobs
    ]
    print(json.dumps(rows, default=str))


if __name__ == "__main__":
    from snakemake import cli
    from snakemake.dag import DAG

    DAG.d3dag = _print_jobs
    cli.main([*sys.argv[1:], "--d3dag"])
