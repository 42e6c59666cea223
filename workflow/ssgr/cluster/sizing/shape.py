"""What a model's ``config.json`` says of its size, before a weight is read or a GPU is asked for.

Pure functions of that file's contents: parameters, bytes, the cache of keys and values, the inputs
that pruning gathers statistics of. Counts are those of transformers' own modules, without the
layers for speculative decoding that some checkpoints bring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ssgr.errors import ModelError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number, by the format's name."""


class Input(NamedTuple):
    """What some matrices of a block read: they share its statistics.

    Attributes:
        columns: its width.
        rows: of each matrix that reads it.
        copies: how many such groups there are: experts.
        used: how many of them a token goes through.
    """

    columns: int
    rows: tuple[int, ...]
    copies: int = 1
    used: int = 1

    @property
    def size(self) -> int:
        """Numbers of one copy's matrices."""
        return self.columns * sum(self.rows)


@dataclass(frozen=True)
class Block:
    """One decoder block.

    Attributes:
        inputs: what its prunable matrices read.
        rest: its other parameters: norms, biases, routers.
        cached: numbers kept of every token: keys and values, or the latent that gives them.
        window: tokens that it looks back on; None is all of them.
    """

    inputs: tuple[Input, ...]
    rest: int
    cached: int
    window: int | None = None

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.rest + sum(one.size * one.copies for one in self.inputs)

    @property
    def active(self) -> int:
        """Parameters that a token meets."""
        return self.rest + sum(one.size * one.used for one in self.inputs)

    @property
    def gram(self) -> int:
        """Numbers of all its Gram matrices, columns x columns for each input."""
        return sum(one.copies * one.columns**2 for one in self.inputs)

    @property
    def inner(self) -> int:
        """Width of its widest input."""
        return max(one.columns for one in self.inputs)

    @property
    def widest(self) -> int:
        """Numbers of its largest matrix."""
        return max(one.columns * max(one.rows) for one in self.inputs)


@dataclass(frozen=True)
class Shape:
    """A causal language model.

    Attributes:
        family: the ``model_type`` of its config.
        width: of the hidden states.
        vocabulary: rows of the embedding.
        heads, kv_heads: of attention, for queries and for what is cached.
        blocks: decoder blocks, in order.
        around: parameters outside of them: embedding, last norm, head.
        dtype: format that the weights are stored in.
        positions: the longest sequence that it was made for; None has no limit.
    """

    family: str
    width: int
    vocabulary: int
    heads: int
    kv_heads: int
    blocks: tuple[Block, ...]
    around: int
    dtype: str
    positions: int | None

    @cached_property
    def parameters(self) -> int:
        """All parameters; tied embeddings once."""
        return self.around + sum(block.parameters for block in self.blocks)

    @cached_property
    def active(self) -> int:
        """Parameters that a token is multiplied by: the head, and of experts those it goes to."""
        return self.vocabulary * self.width + sum(block.active for block in self.blocks)

    @cached_property
    def largest(self) -> Block:
        """The block with most parameters."""
        return max(self.blocks, key=lambda block: block.parameters)

    def cached(self, tokens: int) -> int:
        """Numbers cached of a sequence: a block with a window keeps no more than that."""
        return sum(block.cached * min(tokens, block.window or tokens) for block in self.blocks)

    def bytes_of(self, dtype: str = "auto") -> int:
        """Bytes of a number in one of the formats of BYTES; ``auto`` is the stored one."""
        return BYTES[self.dtype if dtype == "auto" else dtype]


def number(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """Return a positive whole number of a config, or a default if it is absent or null.

    Raises:
        ModelError: it is something else, or it is needed and not there.
    """
    value = config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"config.json: {key} is {value!r}, expected a whole number of at least 1")
    return value
