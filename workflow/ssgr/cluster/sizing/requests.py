"""What a job of each stage asks for: what its model's entry says, else what its size implies.

A model whose size is not known gets fixed numbers; nothing is guessed.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ssgr.cluster.sizing import peak, speed
from ssgr.cluster.sizing.gpus import gpu_named
from ssgr.cluster.sizing.peak import MB, Calibrated, Needs
from ssgr.cluster.sizing.shape import Shape
from ssgr.config import Budget, Config, Model, Recipe
from ssgr.config.execution import ONE, Layout
from ssgr.config.pruning import SEARCHES
from ssgr.pruning import statistics_of
from ssgr.pruning.names import NEEDS

UNKNOWN = {"mem_mb": 16000, "disk_mb": 10000, "runtime": 720}
"""What a job asks for that nothing is known of: MB, MB, minutes."""
STEP = 500  # MB
SHORTEST, LONGEST = 60, 1440  # minutes; what is cut off there goes on from where it was
SPARE = 1.5  # of an estimated time
Asked = Literal["mem_mb", "disk_mb", "runtime"]


@dataclass(frozen=True)
class Job:
    """What a job asks for.

    Attributes:
        gpus: on all of its nodes together.
        gpu_mb: MB of each that it needs at its peak; of vLLM what it needs at least. None: not
            known.
        mem_mb, disk_mb: main memory on each node and scratch disk, in MB.
        runtime: minutes on a cluster.
        tokens_per_second: estimated, of one GPU; None without a known kind of GPU.
        seconds: estimated, of the whole job; None if it depends on what is not known.
    """

    gpus: int
    gpu_mb: int | None
    mem_mb: int
    disk_mb: int
    runtime: int
    tokens_per_second: float | None = None
    seconds: float | None = None

    def at(self, key: Asked, attempt: int) -> int:
        """Return a resource at an attempt: each has twice the memory, and as much time again.

        No time beyond a day, but what the entry says: a job goes on from where it was.
        """
        factor = {"mem_mb": 1 << (attempt - 1), "disk_mb": 1, "runtime": attempt}[key]
        value = int(getattr(self, key)) * factor
        return min(value, max(LONGEST, self.runtime)) if key == "runtime" else value


def sampling_job(config: Config, name: str, shape: Shape | None) -> Job:
    """Return what a job asks for that samples a shard of the pool."""
    responses = config.pool.shard_size * config.sampling.n
    return _drawing(config.models[name], shape, config.sampling.max_tokens, responses)


def answering_job(config: Config, name: str, shape: Shape | None, problems: int | None) -> Job:
    """Return what a job asks for that answers a benchmark of so many problems (None: unknown)."""
    entry = config.models[name].for_evaluation()
    responses = None if problems is None else problems * config.evaluation.n
    return _drawing(entry, shape, config.evaluation.max_tokens, responses)


def pruning_job(
    config: Config, name: str, shape: Shape | None, recipe: Recipe, budget: Budget | None
) -> Job:
    """Return what a job asks for that prunes a model on so much data (None: on none)."""
    entry = config.models[name]
    gpus = min(1, entry.execution.gpu)
    if shape is None:
        return _job(entry, gpus, None)
    on = calibrated(recipe, budget)
    needed = peak.pruning(shape, dtype=shape.bytes_of(entry.dtype), gpu=gpus > 0, on=on)
    told = gpus and recipe.allocation not in SEARCHES  # a search's time is not estimated
    kind = gpu_named(entry.execution.gpu_model) if told else None
    seconds = speed.pruning_seconds(shape, kind, on) if kind else None
    return _job(entry, gpus, needed, seconds=seconds)


def calibrated(recipe: Recipe, budget: Budget | None) -> Calibrated:
    """Return what a recipe makes of a budget of calibration data."""
    read = [statistics_of(method) for method in (recipe.method, recipe.searched_by)]
    return Calibrated(
        sequences=budget.sequences if budget else 0,
        tokens=budget.tokens if budget else 1,
        statistics=min(read, key=NEEDS.index),
        dense=recipe.objective.target == "dense-output",
        searches=recipe.allocation == "evopress",
    )


def layout_of(entry: Model) -> Layout:
    """Return how an engine's model lies on its GPUs: only vLLM takes more than one."""
    return entry.execution.layout() if entry.engine == "vllm" and entry.execution.gpu else ONE


def number_bytes(entry: Model, shape: Shape) -> int:
    """Return the bytes of a number that an engine computes with: vLLM's ``auto`` is 16 bits."""
    size = shape.bytes_of(entry.dtype)
    on_gpu = entry.engine == "vllm" and entry.execution.gpu > 0
    return min(size, 2) if entry.dtype == "auto" and on_gpu else size


def _drawing(entry: Model, shape: Shape | None, tokens: int, responses: int | None) -> Job:
    layout = layout_of(entry)
    gpus = 0 if entry.engine == "server" else entry.execution.gpu * layout.nodes
    if shape is None:
        return _job(entry, gpus, None)
    tokens = min(tokens, shape.positions or tokens)
    needed = peak.sampling(
        shape,
        dtype=number_bytes(entry, shape),
        engine=entry.engine,
        gpus=entry.execution.gpu,
        layout=layout,
        batch=entry.execution.batch_size,
        tokens=tokens,
        responses=responses or entry.execution.batch_size,
    )
    kind = gpu_named(entry.execution.gpu_model) if gpus and entry.engine == "vllm" else None
    rate = speed.tokens_per_second(shape, kind) if kind else None
    most = rate and responses and speed.LOADING + responses * tokens / rate / gpus
    return _job(entry, gpus, needed, rate, most or None)


def _job(
    entry: Model,
    gpus: int,
    needed: Needs | None,
    rate: float | None = None,
    seconds: float | None = None,
) -> Job:
    implied = dict(UNKNOWN)
    if needed is not None:
        implied |= {"mem_mb": _rounded(needed.memory), "disk_mb": _rounded(needed.disk)}
    if seconds is not None:
        minutes = math.ceil(SPARE * seconds / 60)
        implied["runtime"] = min(max(minutes, SHORTEST), LONGEST)
    own = {key: getattr(entry.execution, key) for key in implied}
    return Job(
        gpus=gpus,
        gpu_mb=math.ceil(needed.gpu / MB) if needed and gpus else None,
        tokens_per_second=rate,
        seconds=seconds,
        **{key: implied[key] if value is None else value for key, value in own.items()},
    )


def _rounded(size: int) -> int:
    """MB of so many bytes, in steps."""
    return math.ceil(size / (STEP * MB)) * STEP
