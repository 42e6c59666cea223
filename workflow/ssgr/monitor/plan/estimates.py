"""What takes a measurement's place in a plan: estimates by size, and in words what they rest on."""

from collections.abc import Sequence

from ssgr.cluster.sizing.configs import Found
from ssgr.cluster.sizing.gpus import gpu_named
from ssgr.cluster.sizing.requests import Job
from ssgr.cluster.sizing.speed import DECODING, PRODUCTS
from ssgr.config import Model
from ssgr.jobs.fit import side_by_side
from ssgr.monitor.plan.rates import Rate

FEW = 8
"""Responses side by side below which a GPU waits for its memory: weights are read for each step."""


def throughput(known: Rate, entry: Model, found: Found, job: Job) -> Rate:
    """Return the measured tokens a second of one GPU, else what the kind of GPU would do."""
    kind = gpu_named(entry.execution.gpu_model)
    if known.value is not None or not job.tokens_per_second or not kind or not found.shape:
        return known
    return Rate(
        job.tokens_per_second,
        f"estimated {job.tokens_per_second:,.0f} tokens/s a GPU: {DECODING:.0%} of the "
        f"{kind.half / 1e12:,.0f} TFLOP/s of an {kind.name}, "
        f"{found.shape.active / 1e9:.3g} billion parameters a token",
        estimated=True,
    )


def pruning(known: Rate, entry: Model, left: Sequence[Job]) -> Rate:
    """Return the measured hours of the jobs that are left, else what the kind of GPU would take."""
    kind = gpu_named(entry.execution.gpu_model)
    seconds = [job.seconds for job in left if job.seconds]
    if known.value is not None or not kind or len(seconds) < len(left):
        return known
    mean = sum(seconds) / len(seconds)
    return Rate(
        sum(job.gpus * (job.seconds or 0) for job in left) / 3600,
        f"estimated {mean:,.0f} s/job on an {kind.name}: statistics at {PRODUCTS:.0%} of its "
        f"{kind.single / 1e12:.3g} TFLOP/s in fp32",
        estimated=True,
    )


def remarks(entry: Model, found: Found, tokens: int = 0) -> list[str]:
    """Return, in words, what is not known of a job's size; or how many responses it has room for.

    Args:
        entry: the model, with the engine that the job uses.
        found: its size.
        tokens: the longest response; 0 for a job that draws none.
    """
    if found.shape is None:
        return [f"{found.why}: the entry's own numbers"]
    if not entry.execution.gpu:
        return []
    kind = gpu_named(entry.execution.gpu_model)
    if kind is None:
        named = (
            f"{entry.execution.gpu_model!r} is no kind known here"
            if entry.execution.gpu_model
            else "not given"
        )
        return [f"gpu_model {named}: nothing estimated"]
    rows = side_by_side(entry, found.shape, kind, tokens) if tokens else None
    if not rows:
        return []
    slow = ", too few to be as fast as estimated: more GPUs pay off" if rows < FEW else ""
    return [f"room for {rows:,} responses of {tokens:,} tokens{slow}"]
