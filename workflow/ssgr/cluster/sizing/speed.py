"""How long a job would take that nothing has measured: arithmetic over what a GPU can do.

An estimate, and every number that rests on it says so. Sampling multiplies a token with every
active parameter once; it is bound by memory, so that a small share of a GPU's arithmetic is used.
"""

from ssgr.cluster.sizing.gpus import Gpu
from ssgr.cluster.sizing.peak import Calibrated
from ssgr.cluster.sizing.shape import Shape

DECODING = 0.10
"""Share of a GPU's bf16 arithmetic that long responses in large batches use."""
FORWARD = 0.40
"""The same of whole sequences passing through a block."""
PRODUCTS = 0.50
"""Share of its fp32 arithmetic that Gram matrices and column updates use."""
LOADING = 120.0
"""Seconds until a model has been loaded."""


def tokens_per_second(shape: Shape, gpu: Gpu) -> float:
    """Return the tokens that one GPU draws in a second."""
    return DECODING * gpu.half / (2 * shape.active)


def pruning_seconds(shape: Shape, gpu: Gpu, on: Calibrated) -> float:
    """Return the seconds that one GPU prunes: two passes, statistics, and the matrices' updates."""
    tokens = on.sequences * on.tokens
    half = single = 0.0
    for block in shape.blocks:
        half += 2 * (1 + on.dense) * 2 * tokens * block.active
        half += 2 * 2 * tokens * on.tokens * shape.width  # attention to half of a sequence
        if on.statistics == "gram":
            for one in block.inputs:
                reading = tokens * one.used / one.copies  # tokens that reach one copy
                single += one.copies * (2 * reading + 4 / 3 * one.columns) * one.columns**2
                single += 2 * one.copies * one.size * one.columns
    return LOADING + half / (FORWARD * gpu.half) + single / (PRODUCTS * gpu.single)
