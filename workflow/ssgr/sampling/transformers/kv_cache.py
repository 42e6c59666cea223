"""A key/value cache of slots: every row holds its own sequence, at its own length.

The caches of transformers let all rows of a batch grow in step. Here a finished sequence leaves
its row, the next takes it, and attention reaches only as far as the longest live sequence. Rows
0 .. live-1 are always in use, so that a batch is a view of the buffers and never a copy.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

from ssgr.errors import ModelError

GROWTH = 64  # the length of the buffers is a multiple of it


KeysAndValues = list[tuple[Tensor, Tensor]]  # a layer each, [1, kv_heads, length, head_dim]


def keys_and_values(cache: Cache) -> KeysAndValues:
    """Return what a model cached for one prompt.

    Raises:
        ModelError: the model keeps something else than all keys and values (a sliding window, a
            recurrent state): rows of different lengths would be wrong.
    """
    computed: KeysAndValues = []
    for layer in cache.layers:
        if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None:
            raise ModelError(
                "The transformers engine needs full attention in every layer, but this model "
                f"caches a {type(layer).__name__}. Use the vllm engine for it."
            )
        computed.append((layer.keys, layer.values))
    return computed


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of one decoder layer, [slots, kv_heads, length, head_dim] each.

    The keys' memory runs along the length, [slots, kv_heads, head_dim, length], and is seen
    transposed: the product with one query per head is then twice as fast on a CPU.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, slots: int, length: int, keys: Tensor, values: Tensor) -> None:
        """Allocate buffers with the heads, dtype and device of a prompt's keys and values."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys = _buffer(slots, length, keys, transposed=True)
        self.values = _buffer(slots, length, values)
        self.rows = self.positions = torch.empty(0)
        self.longest = 0
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write one token a row, [live, kv_heads, 1, head_dim]; return all that is attended to."""
        self.keys[self.rows, :, self.positions] = key_states[:, :, 0]
        self.values[self.rows, :, self.positions] = value_states[:, :, 0]
        live = len(self.rows)
        return self.keys[:live, :, : self.longest], self.values[:live, :, : self.longest]

    def grow(self, length: int) -> None:
        """Lengthen the buffers to ``length`` tokens."""
        slots, _, held, _ = self.keys.shape
        keys, values = self.keys, self.values
        self.keys = _buffer(slots, length, keys, transposed=True)
        self.values = _buffer(slots, length, values)
        self.keys[:, :, :held] = keys
        self.values[:, :, :held] = values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the buffers exist from the start."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the attended length and its offset."""
        return self.longest, 0

    def get_seq_length(self) -> int:
        """Return the length of the longest live sequence, its newest token included."""
        return self.longest

    def get_max_length(self) -> int:
        """Return -1: the buffers grow as needed."""
        return -1


class SlotCache(Cache):
    """All layers' buffers, with the length of each row and the attention mask.

    Attributes:
        lengths: tokens held in each live row.
    """

    def __init__(self, slots: int, like: KeysAndValues) -> None:
        """Allocate ``slots`` rows shaped after one computed prompt."""
        self.slots = slots
        self.capacity = GROWTH
        self.slot_layers = [SlotLayer(slots, self.capacity, *layer) for layer in like]
        super().__init__(layers=list(self.slot_layers))
        keys = like[0][0]
        self.lengths: list[int] = []
        self._closed = torch.finfo(keys.dtype).min
        self._rows = torch.arange(slots, device=keys.device)
        self._positions = torch.zeros(slots, dtype=torch.long, device=keys.device)
        self._mask = keys.new_full((slots, 1, 1, self.capacity), self._closed)

    def place(self, prompt: KeysAndValues, rows: Sequence[int]) -> None:
        """Copy the keys and values of one computed prompt into ``rows``, free or new at the end."""
        length = prompt[0][0].shape[2]
        self._reserve(length)
        target = torch.tensor(rows, device=self._rows.device)
        for layer, (keys, values) in zip(self.slot_layers, prompt, strict=True):
            layer.keys[target, :, :length] = keys
            layer.values[target, :, :length] = values
        self._positions[target] = length
        self._mask[target] = self._closed
        self._mask[target, :, :, :length] = 0
        self.lengths.extend([0] * (max(rows) + 1 - len(self.lengths)))
        for row in rows:
            self.lengths[row] = length

    def move_last(self, target: int) -> None:
        """Move the last row into row ``target``; the last row is live no more."""
        source = len(self.lengths) - 1
        length = self.lengths.pop()
        if source == target:
            return
        for layer in self.slot_layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]
        self._positions[target] = self._positions[source]
        self._mask[target] = self._mask[source]
        self.lengths[target] = length

    def advance(self) -> tuple[Tensor, Tensor]:
        """Open the next position of every live row, for one forward pass.

        Returns:
            Positions [live, 1] of the new tokens and the additive mask [live, 1, 1, longest].
        """
        live = len(self.lengths)
        self.lengths = [length + 1 for length in self.lengths]
        longest = max(self.lengths)
        self._reserve(longest)
        rows, positions = self._rows[:live], self._positions[:live].clone()
        self._mask[rows, 0, 0, positions] = 0
        self._positions[:live] += 1
        for layer in self.slot_layers:
            layer.rows, layer.positions, layer.longest = rows, positions, longest
        return positions[:, None], self._mask[:live, :, :, :longest]

    def _reserve(self, length: int) -> None:
        """Let the buffers hold ``length`` tokens; by a quarter more at least, if they must grow."""
        if length <= self.capacity:
            return
        wanted = max(length, self.capacity + self.capacity // 4)
        self.capacity = -(-wanted // GROWTH) * GROWTH
        for layer in self.slot_layers:
            layer.grow(self.capacity)
        mask = self._mask.new_full((self.slots, 1, 1, self.capacity), self._closed)
        mask[..., : self._mask.shape[-1]] = self._mask
        self._mask = mask


def _buffer(slots: int, length: int, like: Tensor, transposed: bool = False) -> Tensor:
    """Zeros and not uninitialised memory: a masked NaN is still a NaN after the softmax."""
    heads, size = like.shape[1], like.shape[3]
    if transposed:
        return like.new_zeros((slots, heads, size, length)).transpose(2, 3)
    return like.new_zeros((slots, heads, length, size))
