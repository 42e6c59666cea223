"""A working directory with a tiny run in it, and a copy of the workflow that a test may edit."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

POOL: dict[str, object] = {"path": "../pool", "shard_size": 5, "wave": 2}
TINY: dict[str, Any] = {
    "pool": POOL,
    "run": {"models": ["abacus"], "pruners": ["wanda"], "sparsities": ["2:4"]},
    "sources": {
        "stories": {"data": {"loader": "abacus", "kind": "hard", "count": 20, "seed": 3}},
        "prose": {"data": {"loader": "abacus", "kind": "prose", "count": 60, "seed": 3}},
    },
    "benchmarks": {
        name: {"data": {"loader": "abacus", "kind": name, "count": 3, "seed": 4}}
        for name in ("easy", "medium", "hard", "choice")
    },
    "sampling": {"n": 4, "max_tokens": 512, "seed": 0},
    "evaluation": {"n": 2, "max_tokens": 64, "seed": 1},
    "budget": {"sequences": 3, "tokens": 600},
    "experiments": None,
}
TAU_ADDED: dict[str, object] = {
    "run": {**TINY["run"], "calibrations": ["C4", "MathR", "SGR", "SSGR", "Tau-0.50"]}
}


def point(
    tau: str, length: str, budget: str, model: str = "abacus", source: str = "stories"
) -> str:
    """The folders of a calibration set."""
    drawn = (model, "math", "kept") if tau != "none" else ("none",) * 3
    generator, verifier, thinking = drawn
    return (
        f"model={model}/source={source}/generator={generator}/verifier={verifier}/tau={tau}"
        f"/length={length}/thinking={thinking}/budget={budget}"
    )


@dataclass
class Experiment:
    """A working directory beside the pool, and a copy of the workflow that a test may edit."""

    workflow: Path
    directory: Path

    @property
    def snakefile(self) -> Path:
        """The workflow that is run."""
        return self.workflow / "workflow" / "Snakefile"

    def configure(self, *parts: dict[str, object]) -> None:
        """Write the working directory's configuration file: the tiny run and what differs."""
        self.directory.mkdir(exist_ok=True)
        merged: dict[str, object] = {}
        for part in (TINY, *parts):
            merged |= part
        (self.directory / "tiny.yaml").write_text(yaml.safe_dump(merged))

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start Snakemake here, as a user would, with these environment variables."""
        command = [
            *(sys.executable, "-m", "snakemake", *arguments),
            *("--snakefile", str(self.snakefile), "--cores", "2"),
            *("--directory", str(self.directory)),
            *("--configfile", str(self.directory / "tiny.yaml")),
        ]
        environment = os.environ | {
            "PYTHONPATH": str(self.workflow / "workflow"),
            "XDG_CACHE_HOME": str(self.workflow / "cache"),
            **variables,
        }
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run Snakemake to its end; its exit code and what it said."""
        process = self.start(*arguments, **variables)
        said, _ = process.communicate()
        return process.returncode, said

    def plan(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run would start."""
        code, said = self.snakemake("--dry-run", *arguments)
        assert code == 0, said
        table = said.partition("Job stats:")[2].partition("total")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}


def copy_of_the_workflow(root: Path, to: Path) -> Path:
    for name in ("workflow", "config", "envs", "resources"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def logs(experiment: Experiment) -> str:
    return "\n".join(p.read_text() for p in sorted(experiment.directory.rglob("*.log")))


def sampling(folder: Path) -> bool:
    """Whether a sampling job has drawn something: its progress bar counts tokens."""
    return any("tokens/s" in path.read_text() for path in folder.rglob("*.log"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
