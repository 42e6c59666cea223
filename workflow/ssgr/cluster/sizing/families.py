"""The decoders whose size is known here, by the ``model_type`` of their ``config.json``.

What a config leaves out is what transformers' class of that family takes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ssgr.cluster.sizing.shape import BYTES, Block, Input, Shape, number
from ssgr.errors import ModelError

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """What models of a family have in common, where their configs do not say it.

    Attributes:
        bias: of attention: none, of q, k and v, or as ``attention_bias`` says (o too).
        qk_norm: whether queries and keys are normalised, head by head.
        norms: of a block.
        head_dim: where the config names none; None is width over heads.
        tied: whether the head is the embedding, where the config does not say.
        window: what a missing ``sliding_window`` means.
        every: of so many blocks one looks back on everything (``sliding_window_pattern``).
    """

    bias: Literal["none", "qkv", "asked"] = "asked"
    qk_norm: bool = False
    norms: int = 2
    head_dim: int | None = None
    tied: bool = False
    window: int | None = None
    every: int | None = None


FAMILIES = {
    "llama": Family(),
    "mistral": Family("none", window=4096, every=0),
    "qwen2": Family("qkv", window=4096),
    "qwen3": Family(qk_norm=True, head_dim=128, window=4096),
    "gemma": Family(head_dim=256, tied=True),
    "gemma2": Family(norms=4, head_dim=256, tied=True, window=4096, every=2),
    "gemma3_text": Family(qk_norm=True, norms=4, head_dim=256, tied=True, window=4096, every=6),
    "mixtral": Family("none", every=0),
    "qwen2_moe": Family("qkv", window=4096),
    "qwen3_moe": Family(qk_norm=True, window=4096),
    "deepseek_v3": Family(),
}


def shape_of(config: Config) -> Shape:
    """Return the shape of a model from the contents of its ``config.json``.

    Raises:
        ModelError: the family or the number format is not known here, the weights are quantised,
            or a number is missing or is none.
    """
    name = str(config.get("model_type"))
    family = FAMILIES.get(name)
    if family is None:
        raise ModelError(
            f"config.json: the size of models of type {name!r} is not known here, only of "
            f"{', '.join(FAMILIES)}"
        )
    if config.get("quantization_config"):
        raise ModelError("config.json: the weights are quantised: their bytes are not known here")
    width, vocabulary = number(config, "hidden_size"), number(config, "vocab_size")
    heads = number(config, "num_attention_heads")
    tied = config.get("tie_word_embeddings", family.tied)
    windows = list(_windows(name, config, family))
    blocks: dict[object, Block] = {}  # alike ones are made once
    made = []
    for index, window in enumerate(windows):
        sparse = _is_sparse(name, config, index)
        if (window, sparse) not in blocks:
            blocks[window, sparse] = _block(name, config, family, window, sparse)
        made.append(blocks[window, sparse])
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    dtype = dtype.removeprefix("torch.")
    if dtype not in BYTES:
        raise ModelError(f"config.json: dtype {dtype!r}, expected one of {', '.join(BYTES)}")
    positions = config.get("max_position_embeddings")
    return Shape(
        family=name,
        width=width,
        vocabulary=vocabulary,
        heads=heads,
        kv_heads=1 if name == "deepseek_v3" else number(config, "num_key_value_heads", heads),
        blocks=tuple(made),
        around=vocabulary * width * (1 if tied else 2) + width,
        dtype=dtype,
        positions=positions if isinstance(positions, int) else None,
    )


def _block(name: str, config: Config, family: Family, window: int | None, sparse: bool) -> Block:
    attention = _latent_attention if name == "deepseek_v3" else _attention
    inputs, rest, cached = attention(config, family)
    mlp = SPARSE[name] if sparse else _dense
    more, routers = mlp(config)
    rest += family.norms * number(config, "hidden_size") + routers
    return Block((*inputs, *more), rest, cached, window)


Attention = tuple[tuple[Input, ...], int, int]
Mlp = tuple[tuple[Input, ...], int]


def _attention(config: Config, family: Family) -> Attention:
    """Inputs, biases and q/k norms, and the numbers cached of a token, of grouped queries."""
    width, heads = number(config, "hidden_size"), number(config, "num_attention_heads")
    shared = number(config, "num_key_value_heads", heads)
    size = number(config, "head_dim", family.head_dim or width // heads)
    queries, keys = heads * size, shared * size
    rest = 2 * size * family.qk_norm
    on_all = family.bias == "asked" and bool(config.get("attention_bias"))
    on_three = family.bias == "qkv" and config.get("qkv_bias") is not False
    rest += (queries + 2 * keys) * (on_all or on_three) + width * on_all
    inputs = (Input(width, (queries, keys, keys)), Input(queries, (width,)))
    return inputs, rest, 2 * keys


def _latent_attention(config: Config, family: Family) -> Attention:
    """The same of multi-head latent attention, of which an engine keeps the latent alone."""
    width, heads = number(config, "hidden_size"), number(config, "num_attention_heads")
    rotary, latent = number(config, "qk_rope_head_dim"), number(config, "kv_lora_rank")
    plain, values = number(config, "qk_nope_head_dim"), number(config, "v_head_dim")
    queries, down = heads * (plain + rotary), latent + rotary
    low = config.get("q_lora_rank")
    inputs = (
        Input(width, (queries if low is None else low, down)),
        *(() if low is None else (Input(low, (queries,)),)),
        Input(latent, (heads * (plain + values),)),
        Input(heads * values, (width,)),
    )
    biases = (low or 0) + down + width if config.get("attention_bias") else 0
    return inputs, latent + (low or 0) + biases, down


def _gated(width: int, inner: int, copies: int = 1, used: int = 1) -> tuple[Input, ...]:
    """The inputs of gate and up, and of down."""
    return (
        Input(width, (inner, inner), copies, used),
        Input(inner, (width,), copies, used),
    )


def _dense(config: Config) -> Mlp:
    width, inner = number(config, "hidden_size"), number(config, "intermediate_size")
    return _gated(width, inner), (2 * inner + width) * bool(config.get("mlp_bias"))


def _experts(config: Config) -> int:
    """Experts of a block: which of two names they go by has changed between releases."""
    return number(config, "num_experts" if "num_experts" in config else "num_local_experts")


def _mixtral(config: Config) -> Mlp:
    width, experts = number(config, "hidden_size"), _experts(config)
    used = number(config, "num_experts_per_tok", 2)
    return _gated(width, number(config, "intermediate_size"), experts, used), width * experts


def _qwen(config: Config) -> Mlp:
    width, experts = number(config, "hidden_size"), _experts(config)
    used = number(config, "num_experts_per_tok")
    return _gated(width, number(config, "moe_intermediate_size"), experts, used), width * experts


def _qwen2(config: Config) -> Mlp:
    """A shared expert beside the others, behind a gate of its own."""
    width = number(config, "hidden_size")
    inputs, router = _qwen(config)
    shared = _gated(width, number(config, "shared_expert_intermediate_size"))
    return (*inputs, *shared), router + width


def _deepseek(config: Config) -> Mlp:
    width, inner = number(config, "hidden_size"), number(config, "moe_intermediate_size")
    experts = number(config, "n_routed_experts")
    routed = _gated(width, inner, experts, number(config, "num_experts_per_tok"))
    shared = _gated(width, inner * number(config, "n_shared_experts", 1))
    return (*routed, *shared), width * experts


SPARSE: dict[str, Callable[[Config], Mlp]] = {
    "mixtral": _mixtral,
    "qwen2_moe": _qwen2,
    "qwen3_moe": _qwen,
    "deepseek_v3": _deepseek,
}


def _is_sparse(name: str, config: Config, index: int) -> bool:
    """Whether a block is a mixture of experts."""
    if name in ("qwen2_moe", "qwen3_moe"):
        step = number(config, "decoder_sparse_step", 1)
        return index not in (config.get("mlp_only_layers") or ()) and (index + 1) % step == 0
    if name == "deepseek_v3":
        return index >= int(config.get("first_k_dense_replace", 3))
    return name in SPARSE


def _windows(name: str, config: Config, family: Family) -> Iterator[int | None]:
    """How far each block looks back; None is all the way."""
    size = config.get("sliding_window", family.window)
    kinds = config.get("layer_types")
    every = config.get("sliding_window_pattern") or family.every
    first = 0 if name == "qwen3_moe" else config.get("max_window_layers", 28)
    for index in range(number(config, "num_hidden_layers")):
        if isinstance(kinds, list) and index < len(kinds):
            slides = kinds[index] == "sliding_attention"
        elif every is None:  # Qwen
            slides = bool(config.get("use_sliding_window")) and index >= first
        else:
            slides = every == 0 or bool((index + 1) % every)
        yield size if slides and isinstance(size, int) else None
