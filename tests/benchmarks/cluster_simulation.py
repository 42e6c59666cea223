"""The paper's whole matrix on a simulated cluster: makespan, idle GPUs, and what bounds both.

    python tests/benchmarks/cluster_simulation.py [--gpus 64] [--gpu-model a100] [--waves 2]

Jobs and what they wait for are Snakemake's own, of config/paper.yaml with the slurm profile; their
durations are those of `ssgr plan`: estimates from the models' config.json (no work has been
measured here), for responses of full length, scaled to the mean lengths below. Two things nobody
knows beforehand are assumed and said: those lengths, and how many waves of problems a calibration
visits. Between jobs stand what SLURM and Snakemake add: a submission a second, an end that is seen
after 40 seconds, and so many jobs at a time (`jobs` of the profile).
"""

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow")]

import yaml

from cluster_model import (
    Cluster,
    Task,
    by_what_follows,
    gpu_seconds,
    idle_share,
    longest_path,
    makespan,
    simulate,
)
from growing_dag import grown
from published_models import CONFIGS, cache_configs
from ssgr.cluster.sizing import shape_of
from ssgr.cluster.sizing.requests import answering_job, pruning_job, sampling_job
from ssgr.cluster.sizing.shape import Shape
from ssgr.cluster.sizing.speed import LOADING
from ssgr.config import Config
from ssgr.jobs.validation import load_config
from workflow_dag import DagJob, dag

PROBLEMS = {"gsm8k": 1319, "math500": 500, "aime": 60, "olympiadbench": 674, "gpqa": 198}
TOKENS = {  # mean response; the paper's Table 4 has 2,005 to 7,375 by difficulty for the source
    "mathr": 4000, "gsm8k": 1500, "math500": 4000, "aime": 13000, "olympiadbench": 9000,
    "gpqa": 8000,
}  # fmt: skip
CPU = {  # seconds of jobs without a GPU: the lab log's, and a start of Python each
    "source_problems": 30, "benchmark_problems": 10, "grade": 20, "tally": 10, "select": 15,
    "grade_benchmark": 20, "score": 10, "experiment": 20, "paper_page": 60, "all": 0,
}  # fmt: skip
SAMPLING = ("sample", "sample_benchmark")


@dataclass(frozen=True)
class Durations:
    """Seconds of each job: the plan's, with ``tokens`` a response instead of the most."""

    config: Config
    shapes: dict[str, Shape]
    tokens: Callable[[str], float]

    def of(self, job: DagJob) -> float:
        keys = job.wildcards
        if job.rule in CPU:
            return CPU[job.rule]
        model, config = keys["model"], self.config
        shape = self.shapes[model]
        if job.rule == "prune":
            none = keys["budget"] == "none"
            budget = None if none else config.budget.of_key(keys["budget"])
            recipe = config.recipe(keys["pruner"])
            return pruning_job(config, model, shape, recipe, budget).seconds or 0.0
        if job.rule == "sample":
            whole = sampling_job(config, model, shape).seconds
            of, most = keys["source"], config.sampling.max_tokens
        else:
            of, most = keys["benchmark"], config.evaluation.max_tokens
            whole = answering_job(config, model, shape, PROBLEMS[of]).seconds
        assert whole is not None, job
        return LOADING + (whole - LOADING) * self.tokens(of) / most


def tasks_of(jobs: Sequence[DagJob], durations: Durations) -> list[Task]:
    """The jobs of a DAG with their durations."""
    return [
        Task(
            key=f"{job.key}",
            seconds=durations.of(job),
            gpus=int(job.resources.get("gpu") or 0),
            after=frozenset(f"{key}" for key in job.after),
            priority=job.priority,
            stage=job.rule,
        )
        for job in jobs
    ]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--gpus", type=int, default=64, help="in nodes of eight")
    asked.add_argument("--gpu-model", default="a100")
    asked.add_argument("--waves", type=int, default=2, help="that every calibration visits")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        config, jobs = paper(Path(place), given.gpu_model)
    names = {job.wildcards["model"] for job in jobs if "model" in job.wildcards}
    shapes = {name: shape_of(CONFIGS[config.models[name].path]) for name in names}
    nodes = (8,) * (given.gpus // 8)
    slurm = Cluster(nodes, jobs=64, spacing=1.0, notice=40.0)
    print("| responses | waves | engine | makespan, h | GPU-hours | idle | GPU-hours / GPUs |"
          " longest chain, h | of it sampling |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for words, tokens in (("mean", TOKENS.__getitem__), ("full", lambda _: 32768)):
        durations = Durations(config, shapes, tokens)
        for waves in (1, given.waves):
            tasks = grown(tasks_of(jobs, durations), waves)
            for engine, cluster in (
                ("SLURM, 64 jobs", slurm),
                ("SLURM, 200 jobs", replace(slurm, jobs=200)),
                ("instant", Cluster(nodes)),
            ):
                print(f"| {words} | {waves} | {engine} |{_line(tasks, cluster)}")
            order = by_what_follows(tasks)
            print(f"| {words} | {waves} | instant, longest first |{_line(order, Cluster(nodes))}")
        print(_stages(tasks))


def paper(place: Path, gpu_model: str) -> tuple[Config, list[DagJob]]:
    """The paper's configuration on one kind of GPU, and its DAG."""
    raw = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    kinds = {"models": {name: {"gpu_model": gpu_model} for name in raw["models"]}}
    (place / "kinds.yaml").write_text(yaml.safe_dump(kinds))
    cache_configs(ROOT, place / "hub_home")
    (place / "run").mkdir()
    files = [ROOT / "config" / "paper.yaml", place / "kinds.yaml"]
    profile = ROOT / "workflow" / "profiles" / "slurm"
    jobs = dag(
        ROOT, place / "run", "--profile", str(profile), "--configfile", *map(str, files),
        HF_HOME=str(place / "hub_home"),
    )  # fmt: skip
    return load_config(_merged([ROOT / "config" / "config.yaml", *files])), jobs


def _merged(files: Sequence[Path]) -> dict[str, Any]:
    """Configuration files one after the other, as Snakemake reads them."""
    merged: dict[str, Any] = {}
    for file in files:
        _merge(merged, yaml.safe_load(file.read_text()))
    return merged


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _line(tasks: Sequence[Task], cluster: Cluster) -> str:
    ran = simulate(tasks, cluster)
    work, chain = gpu_seconds(tasks) / 3600, longest_path(tasks)
    whole = sum(task.seconds for task in chain)
    sampling = sum(task.seconds for task in chain if task.stage in SAMPLING)
    return (
        f" {makespan(ran) / 3600:.1f} | {work:,.0f} | {idle_share(ran, cluster):.0%} |"
        f" {work / cluster.gpus:.1f} | {whole / 3600:.1f} | {sampling / whole:.0%} |"
    )


def _stages(tasks: Sequence[Task]) -> str:
    """Jobs and GPU-hours of each stage, and the longest chain in words."""
    jobs, work = Counter(task.stage for task in tasks), defaultdict(float)
    for task in tasks:
        work[task.stage] += task.gpus * task.seconds / 3600
    stages = ", ".join(f"{stage} {jobs[stage]} ({work[stage]:,.0f} GPU-h)" for stage in jobs)
    chain = " -> ".join(
        f"{task.stage} {task.seconds / 60:,.1f} min" for task in longest_path(tasks)
    )
    return f"\njobs: {stages}\nlongest chain: {chain}\n"


if __name__ == "__main__":
    main()
