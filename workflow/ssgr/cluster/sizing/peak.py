"""What one job of a stage needs at its peak: memory of each GPU, main memory, scratch disk.

Weights, cache, Gram matrices and hidden states are counted from the shape; what libraries take
besides was measured (lab log). MB are 10^6 bytes.
"""

import math
from dataclasses import dataclass

from ssgr.cluster.sizing.shape import Shape
from ssgr.config.execution import Layout

MB = 10**6
PROMPT = 256  # tokens that a prompt is taken to have
PROCESS = 800 * MB  # Python, torch and transformers without a GPU
ON_GPU = 3000 * MB  # the same with CUDA
WORKER = 4000 * MB  # a vLLM worker process, one a GPU
CPU_CACHE = 4000 * MB  # most that vLLM's cache is taken to have without a GPU
SCRATCH = 2000 * MB  # logs, journals, compiled kernels
STATES = 4096 * 2**20  # hidden states that pruning keeps in memory (`--cap-mb`)
CHUNK = 4096  # tokens cast to fp32 at a time
LOGITS = 256  # tokens whose logits are held at a time
LEVELS = 11  # copies of the matrices in EvoPress's scratch
JOBS = {"grade": 2000, "select": 4000}
"""MB of main memory that jobs without a model ask for, as their rules say."""


@dataclass(frozen=True)
class Needs:
    """Bytes that a job needs: of each of its GPUs, of main memory on each node, of scratch disk."""

    gpu: int
    memory: int
    disk: int


def weights_on_gpu(shape: Shape, dtype: int, layout: Layout) -> int:
    """Return the bytes of the weights on each GPU, cut evenly; ``dtype`` is bytes a number."""
    return math.ceil(shape.parameters * dtype / (layout.tensor * layout.pipeline))


def cache_on_gpu(shape: Shape, dtype: int, layout: Layout, tokens: int) -> int:
    """Return the bytes that one sequence's keys and values take on each GPU.

    Heads are cut over the GPUs of a stage; when there are fewer heads than GPUs, each has a whole
    one.
    """
    cut = min(layout.tensor, shape.kv_heads) * layout.pipeline
    return math.ceil(shape.cached(tokens) * dtype / cut)


def sampling(
    shape: Shape,
    *,
    dtype: int,
    engine: str,
    gpus: int,
    layout: Layout,
    batch: int,
    tokens: int,
    responses: int,
) -> Needs:
    """Return what a job that draws responses needs: vLLM at least, transformers at most.

    vLLM fills the rest of its share of a GPU with the cache of more responses, so the peak there is
    that share; what is returned is one response of full length. transformers holds a whole batch.

    Args:
        shape: of the model.
        dtype: bytes of a number.
        engine: transformers or vllm; a server holds the model elsewhere.
        gpus: of each node; 0 is none.
        layout: how the model lies on all of them.
        batch: responses decoded side by side.
        tokens: the longest response.
        responses: of the job.
    """
    kept = SCRATCH + 4 * responses * tokens  # ids of four bytes, in the journal
    if engine == "server":
        return Needs(0, PROCESS, kept)
    weights = shape.parameters * dtype
    if gpus:
        rows = batch if engine == "transformers" else 1
        cache = rows * cache_on_gpu(shape, dtype, layout, tokens)
        on_gpu = weights_on_gpu(shape, dtype, layout) + cache
        return Needs(on_gpu, ON_GPU + WORKER * gpus + weights // layout.nodes, kept)
    row = dtype * shape.cached(tokens + PROMPT)
    cache = batch * row if engine == "transformers" else max(row, min(batch * row, CPU_CACHE))
    return Needs(0, PROCESS + weights + cache, kept)


@dataclass(frozen=True)
class Calibrated:
    """What a model is pruned on, and how.

    Attributes:
        sequences, tokens: the budget.
        statistics: of the inputs: gram, norm or none.
        dense: whether the dense model runs beside the pruned one (target: dense-output).
        searches: whether the allocation keeps every matrix at several sparsities (EvoPress).
    """

    sequences: int
    tokens: int
    statistics: str
    dense: bool = False
    searches: bool = False


def pruning(shape: Shape, *, dtype: int, gpu: bool, on: Calibrated) -> Needs:
    """Return what a job needs that prunes one block at a time, on one GPU or none.

    ``dtype`` is bytes of a number that is computed with.
    """
    stored = shape.bytes_of()
    tokens = min(on.tokens, shape.positions or on.tokens)
    computed = max(_block(shape, dtype, tokens, on), _head(shape, dtype))
    states = on.sequences * tokens * shape.width * dtype * (1 + on.dense)
    kept = min(states, STATES) + stored * shape.vocabulary * shape.width
    block = 2 * shape.largest.parameters * stored  # read, and on its way to the checkpoint
    disk = shape.parameters * stored + max(0, states - STATES)
    if on.searches:
        disk += LEVELS * stored * sum(block.parameters for block in shape.blocks)
    if gpu:
        return Needs(computed, ON_GPU + kept + block, SCRATCH + disk)
    return Needs(0, PROCESS + kept + computed + block // 2, SCRATCH + disk)


def pruning_floor(shape: Shape, *, dtype: int, on: Calibrated) -> int:
    """Return the bytes without which no block is pruned: it, its statistics, two hidden states."""
    states = 2 * min(on.tokens, shape.positions or on.tokens) * shape.width
    return (shape.largest.parameters + states) * dtype + _statistics(shape, on)


def _statistics(shape: Shape, on: Calibrated) -> int:
    """Bytes of a block's Gram matrices, in fp32."""
    gathered = on.statistics == "gram" or on.dense
    return 4 * shape.largest.gram * (1 + on.dense) if gathered else 0


def _block(shape: Shape, dtype: int, tokens: int, on: Calibrated) -> int:
    """Bytes at the peak of one block: weights, statistics, a sequence or a matrix in work."""
    block = shape.largest
    inner = max(one.inner for one in shape.blocks)
    passing = tokens * (4 * shape.width + 3 * inner) * dtype + 4 * min(tokens, CHUNK) * inner
    factors = 3 * 4 * block.inner**2 if on.statistics == "gram" else 0
    working = max(passing, factors + 3 * 4 * block.widest)
    return block.parameters * dtype + _statistics(shape, on) + working


def _head(shape: Shape, dtype: int) -> int:
    """Bytes at the peak of the perplexity on held-back text: the head and some tokens' logits."""
    return shape.vocabulary * (shape.width * dtype + LOGITS * (dtype + 8))
