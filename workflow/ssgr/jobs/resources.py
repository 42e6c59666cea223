"""What a job asks of its machine or cluster: GPUs, nodes, memory, minutes, disk, an environment.

Nothing here changes a result, and nothing here is a param: another resource reruns no job.
"""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ssgr.cluster.sizing import configs, requests
from ssgr.cluster.sizing.shape import Shape
from ssgr.config import Config, Model
from ssgr.errors import ConfigError
from ssgr.jobs import grid
from ssgr.jobs.grid import NONE
from ssgr.jobs.pools import problems_of

Keys = Mapping[str, str]
"""A job's wildcards."""


@dataclass(frozen=True)
class Limits:
    """What ``--resources`` or a profile allows all jobs together.

    Attributes:
        of: the limit of a resource by its name; anything but a number is no limit.
        warn: says something once to who runs the workflow.
    """

    of: Callable[[str], object]
    warn: Callable[[str], object]

    def gpus(self, model: str, asked: int) -> int:
        """Return the GPUs of a job on all of its nodes.

        Raises:
            ConfigError: there are fewer; a job never gets fewer than it asks for.
        """
        there = self.of("gpu")
        if isinstance(there, int) and asked > there:
            raise ConfigError(
                f"models.{model}.execution.gpu asks for {asked} GPUs per job, --resources "
                f"gpu={there} allows {there}: lower the one or raise the other"
            )
        return asked

    def most(self, name: str, asked: int) -> int:
        """Return so much of a resource, or all there is: else no job would start."""
        there = self.of(name)
        return min(asked, there) if isinstance(there, int) else asked

    def memory(self, mem_mb: int) -> Callable[..., int]:
        """Return a job's memory, in MB: twice as much at each further attempt."""

        def memory_of_attempt(wildcards: Keys, attempt: int) -> int:
            return self.most("mem_mb", mem_mb * 2 ** (attempt - 1))

        return memory_of_attempt


class Pruning:
    """What a job asks for that prunes a model: one GPU at most, which holds a block at a time."""

    def __init__(self, config: Config, limits: Limits) -> None:
        self.config, self.limits = config, limits

    def entry(self, wildcards: Keys) -> Model:
        """Return the registry entry that the job runs."""
        return self.config.models[wildcards["model"]]

    def job(self, wildcards: Keys) -> requests.Job:
        """Return what the model's entry or its size says."""
        budget = wildcards["budget"]
        return requests.pruning_job(
            self.config,
            wildcards["model"],
            self.shape(wildcards),
            self.config.recipe(wildcards["pruner"]),
            None if budget == NONE else self.config.budget.of_key(budget),
        )

    def shape(self, wildcards: Keys) -> Shape | None:
        """Return how large the model is, if its config.json is at hand."""
        return configs.at_hand(self.config.models[wildcards["model"]]).shape

    def gpu(self, wildcards: Keys) -> int:
        """Return the job's GPUs."""
        return self.limits.gpus(wildcards["model"], min(1, self.entry(wildcards).execution.gpu))

    def gpu_model(self, wildcards: Keys) -> str | None:
        """Return their kind; None is any, or none at all."""
        entry = self.entry(wildcards)
        return entry.execution.gpu_model if entry.execution.gpu else None

    def threads(self, wildcards: Keys) -> int:
        """Return the job's processor threads."""
        return self.entry(wildcards).execution.threads

    def mem_mb(self, wildcards: Keys, attempt: int) -> int:
        """Return the memory on each node, in MB."""
        return self._asked(wildcards, "mem_mb", attempt)

    def runtime(self, wildcards: Keys, attempt: int) -> int:
        """Return minutes."""
        return self._asked(wildcards, "runtime", attempt)

    def disk_mb(self, wildcards: Keys, attempt: int) -> int:
        """Return scratch disk, in MB."""
        return self._asked(wildcards, "disk_mb", attempt)

    def _asked(self, wildcards: Keys, key: requests.Asked, attempt: int) -> int:
        wanted = self.job(wildcards).at(key, attempt)
        there = self.limits.most(key, wanted)
        if there < wanted:
            self.limits.warn(
                f"models.{wildcards['model']}: its jobs may need more than the {there:,} of {key} "
                "there are. A smaller batch_size or shorter responses take less"
            )
        return there


class Answering(Pruning):
    """What a job asks for that answers a benchmark: a model on all the GPUs of all its nodes."""

    def entry(self, wildcards: Keys) -> Model:
        """Return the registry entry with the evaluation engine selected."""
        return self.config.models[wildcards["model"]].for_evaluation()

    def job(self, wildcards: Keys) -> requests.Job:
        """Return what the model's entry or its size says."""
        problems = problems_of(
            self.config, Path(self.config.results), "benchmark", wildcards["benchmark"]
        )
        return requests.answering_job(
            self.config, wildcards["model"], self.shape(wildcards), problems
        )

    def idle(self, wildcards: Keys) -> bool:
        """Whether the job has nothing to compute on a GPU."""
        return False

    def gpu(self, wildcards: Keys) -> int:
        """Return the job's GPUs on all of its nodes."""
        entry = self.entry(wildcards)
        if self.idle(wildcards):
            return 0
        return self.limits.gpus(wildcards["model"], entry.execution.gpu * _nodes(entry))

    def gpu_model(self, wildcards: Keys) -> str | None:
        """Return their kind; None is any, or none at all."""
        return None if self.idle(wildcards) else super().gpu_model(wildcards)

    def nodes(self, wildcards: Keys) -> int | None:
        """Return the machines that hold the model together; None is one."""
        nodes = _nodes(self.entry(wildcards))
        return nodes if nodes > 1 and not self.idle(wildcards) else None

    def mpi(self, wildcards: Keys) -> str | None:
        """Return how SLURM shall start it: the job starts its own processes on the other nodes."""
        return None if self.nodes(wildcards) is None else "srun"

    def tasks_per_gpu(self, wildcards: Keys) -> int | None:
        """Return 0 on several machines: tasks are not counted by GPUs."""
        return None if self.nodes(wildcards) is None else 0

    def gres(self, wildcards: Keys) -> str | None:
        """Return the GPUs of each machine, as SLURM calls them; else they may lie unevenly."""
        entry = self.entry(wildcards)
        if not entry.execution.gpu or self.nodes(wildcards) is None:
            return None
        return ":".join(filter(None, ["gpu", entry.execution.gpu_model, str(entry.execution.gpu)]))

    def python(self, wildcards: Keys) -> str:
        """Return the interpreter of the environment that holds the engine."""
        return shlex.quote(os.path.expanduser(self.entry(wildcards).execution.python or "python"))

    def environment(self, wildcards: Keys) -> str:
        """Return the engine's conda environment, seen from a rule's file."""
        name = "vllm" if self.entry(wildcards).engine == "vllm" else "ssgr"
        return f"../../envs/{name}.yaml"

    def engine(self, wildcards: Keys, attempt: int) -> str:
        """Return how the engine runs, as flags: half the batch at each further attempt."""
        entry = self.entry(wildcards)
        execution = entry.execution
        asked: dict[str, object] = {"batch_size": max(1, execution.batch_size >> (attempt - 1))}
        if execution.memory_share is not None:
            asked["memory_share"] = execution.memory_share
        if entry.engine == "vllm" and execution.spread:
            asked |= execution.model_dump(include={"gpu", *execution.spread})
        flags = ["--model.execution", json.dumps(asked)]
        if entry.server is not None:
            flags += ["--model.server", entry.server.model_dump_json()]
        return shlex.join(flags)


class Sampling(Answering):
    """What a job asks for that samples a shard: no GPU if the pool holds it, or a server has them.

    Args:
        in_the_pool: whether the pool holds all that is needed of a shard.
    """

    def __init__(self, config: Config, limits: Limits, in_the_pool: Callable[[Keys], bool]) -> None:
        super().__init__(config, limits)
        self.in_the_pool = in_the_pool

    def entry(self, wildcards: Keys) -> Model:
        """Return the registry entry."""
        return self.config.models[wildcards["model"]]

    def job(self, wildcards: Keys) -> requests.Job:
        """Return what the model's entry or its size says."""
        return requests.sampling_job(self.config, wildcards["model"], self.shape(wildcards))

    def idle(self, wildcards: Keys) -> bool:
        """Whether the job has nothing to compute on a GPU."""
        return self.entry(wildcards).engine == "server" or self.in_the_pool(wildcards)

    def draw(self, wildcards: Keys) -> str:
        """Return as flags: a job without a GPU, since the pool holds its shard, must not draw."""
        return f"{'--no-draw' if self.in_the_pool(wildcards) else '--draw'} {self.base}".rstrip()

    @cached_property
    def base(self) -> str:
        """The pool that this one extends, which jobs only read, as a flag."""
        base = self.config.pool.base
        return shlex.join(["--base", base]) if base else ""

    def state(self, wildcards: Keys) -> str:
        """Return what there is to do for a shard, in words."""
        return "Take from the pool:" if self.in_the_pool(wildcards) else "Sample"


def _nodes(entry: Model) -> int:
    """The machines that hold one model together; only vLLM can."""
    return entry.execution.nodes if entry.engine == "vllm" else 1


def sizes_not_known(config: Config) -> Iterator[str]:
    """Name the models whose size is not known, so that their jobs ask for fixed numbers."""
    used = {name for each in config.selections.values() for name in each.models}
    for name in sorted(used | {name for name, _ in grid.pools(config)}):
        entry = config.models[name]
        why = "" if entry.execution.mem_mb else configs.at_hand(entry).why
        if why.endswith("hub's cache"):
            why += " (`snakemake plan` fetches it)"
        if why:
            yield (
                f"models.{name}: {why}. Its jobs ask for {requests.UNKNOWN['mem_mb']:,} MB each, "
                "or what `mem_mb` says"
            )
