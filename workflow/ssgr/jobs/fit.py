"""Jobs that cannot fit their GPUs are refused before they are submitted, with what would fit.

A refusal is certain: weights and one response of full length must lie on the GPUs, and are compared
with the whole memory of the kind of GPU that the entry names. Without a kind, or without the
model's config.json, nothing is refused.
"""

from collections.abc import Iterator

from ssgr.cluster.sizing import peak
from ssgr.cluster.sizing.configs import Lookup
from ssgr.cluster.sizing.gpus import Gpu, gpu_named, larger_than
from ssgr.cluster.sizing.requests import calibrated, layout_of, number_bytes
from ssgr.cluster.sizing.shape import Shape
from ssgr.config import Config, Model
from ssgr.config.execution import Layout, layout
from ssgr.errors import ConfigError
from ssgr.jobs import grid

SHARE = 0.92
"""Share of a GPU's memory that vLLM takes if the entry does not say: its own default."""
MOST = 0.95  # of the memory that an entry is told to give to vLLM
NODE = 8  # GPUs of a machine, at most
STEP = 1024  # tokens


def require_fit(config: Config, lookup: Lookup) -> None:
    """Refuse jobs of the run or of an experiment that cannot fit their GPUs.

    Raises:
        ConfigError: lists every such job, with the nearest settings that fit.
    """
    if mistakes := list(dict.fromkeys(_misfits(config, lookup))):
        hint = "A table that is not wanted is left out by `experiments: {NAME: null}`."
        raise ConfigError("\n".join([*mistakes, hint]))


def side_by_side(entry: Model, shape: Shape, kind: Gpu, tokens: int) -> int:
    """Return how many responses of full length a job's GPUs have room for; 0 is none."""
    tokens, lies = min(tokens, shape.positions or tokens), layout_of(entry)
    size = number_bytes(entry, shape)
    left = _room(entry, kind) - peak.weights_on_gpu(shape, size, lies)
    return max(0, int(left // peak.cache_on_gpu(shape, size, lies, tokens)))


def _misfits(config: Config, lookup: Lookup) -> Iterator[str]:
    sampled = {model for model, _ in grid.pools(config)}
    pruned = {name: None for each in config.selections.values() for name in each.models}
    for name in dict.fromkeys([*pruned, *sorted(sampled)]):
        entry = config.models[name]
        found = lookup(entry) if entry.execution.gpu else None
        if found is None or found.shape is None:
            continue
        if name in sampled:
            yield from _drawing(name, entry, found.shape, config.sampling.max_tokens, "sampling")
        if name in pruned:
            own, most = entry.for_evaluation(), config.evaluation.max_tokens
            yield from _drawing(name, own, found.shape, most, "evaluation")
            yield from _pruning(config, name, entry, found.shape)


def _drawing(name: str, entry: Model, shape: Shape, tokens: int, key: str) -> Iterator[str]:
    """Why a job that draws responses cannot run, and what would."""
    if entry.engine == "server":
        return
    tokens = min(tokens, shape.positions or tokens)
    lies = layout_of(entry)
    if not _divides(shape, lies.tensor):
        fitting = [size for size in range(NODE, 0, -1) if _divides(shape, size)]
        yield (
            f"models.{name}: vLLM cuts attention over tensor_parallel {lies.tensor} GPUs, and "
            f"{shape.heads} heads with {shape.kv_heads} keys do not divide so: take one of "
            f"{', '.join(map(str, fitting))}"
        )
        return
    kind = gpu_named(entry.execution.gpu_model)
    if kind is None or _on_each(entry, shape, lies, tokens) <= _room(entry, kind):
        return
    size = number_bytes(entry, shape)
    weights = peak.weights_on_gpu(shape, size, lies)
    cache = peak.cache_on_gpu(shape, size, lies, tokens)
    yield (
        f"models.{name}: a job of {key} does not fit {entry.execution.gpu} x {kind.name}: each "
        f"would hold {_gb(weights)} of weights and {_gb(cache)} for one response of {tokens:,} "
        f"tokens, and {_share(entry):.0%} of its memory is {_gb(_room(entry, kind))}. What fits: "
        + ("; ".join(_fitting(entry, shape, kind, tokens, key)) or "nothing that is known here")
    )


def _fitting(entry: Model, shape: Shape, kind: Gpu, tokens: int, key: str) -> Iterator[str]:
    """Settings that fit, the nearest of each sort."""
    room = _room(entry, kind)
    yield from _more_gpus(entry, shape, kind, tokens)
    lies = layout_of(entry)
    shorter = [
        length
        for length in range(STEP, tokens, STEP)
        if _on_each(entry, shape, lies, length) <= room
    ]
    if shorter:
        yield f"{key}.max_tokens: {shorter[-1]}"
    half = entry.model_copy(update={"dtype": "bfloat16"})
    if number_bytes(entry, shape) > 2 and _on_each(half, shape, lies, tokens) <= room:
        yield "dtype: bfloat16"
    share = _on_each(entry, shape, lies, tokens) / kind.memory
    if entry.engine == "vllm" and share <= MOST:
        yield f"memory_share: {share + 0.005:.2f}"
    for larger in larger_than(_on_each(entry, shape, lies, tokens) / _share(entry))[:1]:
        yield f"a gpu_model as large as {larger.name}"


def _more_gpus(entry: Model, shape: Shape, kind: Gpu, tokens: int) -> Iterator[str]:
    """The least GPUs that fit, on the nodes there are or on more."""
    engine = entry.model_copy(update={"engine": "vllm"})
    said = "" if entry.engine == "vllm" else "engine: vllm and "
    explicit = entry.execution.tensor_parallel or entry.execution.pipeline_parallel
    room = SHARE * kind.memory if said else _room(entry, kind)
    least = 1 if said else entry.execution.gpu + 1
    for nodes in range(entry.execution.nodes, entry.execution.nodes + NODE):
        for gpus in range(
            least if nodes == entry.execution.nodes else entry.execution.gpu, NODE + 1
        ):
            lies = layout(gpus, nodes)
            if not _divides(shape, lies.tensor) or _on_each(engine, shape, lies, tokens) > room:
                continue
            more = f", nodes: {nodes}" if nodes > 1 else ""
            more += f", tensor_parallel: {lies.tensor}" if explicit else ""
            more += f", pipeline_parallel: {lies.pipeline}" if explicit and nodes > 1 else ""
            yield f"{said}gpu: {gpus}{more}"
            return


def _pruning(config: Config, name: str, entry: Model, shape: Shape) -> Iterator[str]:
    """Why a checkpoint of this model cannot be pruned on one GPU, and what would do."""
    kind = gpu_named(entry.execution.gpu_model)
    if kind is None:
        return
    dtype = shape.bytes_of(entry.dtype)
    recipes = {pruner for each in config.selections.values() if name in each.models
               for pruner in each.pruners}  # fmt: skip
    for pruner in sorted(recipes):
        on = calibrated(config.recipe(pruner), config.budget)
        needed = peak.pruning_floor(shape, dtype=dtype, on=on)
        if needed <= kind.memory:
            continue
        larger = [f"a gpu_model as large as {one.name}" for one in larger_than(needed)[:1]]
        norms = calibrated(config.recipe("wanda"), config.budget)
        if peak.pruning_floor(shape, dtype=dtype, on=norms) <= kind.memory:
            larger.append("a pruner that reads norms alone (wanda, ria)")
        yield (
            f"models.{name}: pruning by {pruner} does not fit one {kind.name} with its "
            f"{_gb(kind.memory)}: a block and its statistics take {_gb(needed)}. What fits: "
            + ("; ".join(larger) or "nothing that is known here")
        )


def _on_each(entry: Model, shape: Shape, lies: Layout, tokens: int) -> int:
    """Bytes that each GPU must hold: weights, and one response of full length."""
    size = number_bytes(entry, shape)
    return peak.weights_on_gpu(shape, size, lies) + peak.cache_on_gpu(shape, size, lies, tokens)


def _divides(shape: Shape, tensor: int) -> bool:
    """Whether attention can be cut over so many GPUs: whole heads, and keys whole or copied."""
    keys = shape.kv_heads
    return shape.heads % tensor == 0 and (keys % tensor == 0 or tensor % keys == 0)


def _share(entry: Model) -> float:
    return (entry.execution.memory_share or SHARE) if entry.engine == "vllm" else 1.0


def _room(entry: Model, kind: Gpu) -> float:
    return _share(entry) * kind.memory


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
