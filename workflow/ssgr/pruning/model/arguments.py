"""What a block is called with besides the hidden states: tensors, in whatever they come in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Arguments:
    """Positional and keyword arguments of a block, after the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in arguments or containers, however deep."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Arguments):
        return tensors_in(value.args) + tensors_in(value.kwargs)
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    return [tensor for part in parts for tensor in tensors_in(part)]


def own_containers(more: Arguments) -> Arguments:
    """Return the same arguments in containers of their own; tensors are not copied."""
    return Arguments(_rebuilt(more.args), _rebuilt(more.kwargs))


def _rebuilt(value: Any) -> Any:
    if type(value) is dict:
        return {key: _rebuilt(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_rebuilt(part) for part in value)
    return value


def bytes_of(known: Iterable[list[Arguments]]) -> int:
    """Return how much memory the tensors in arguments take, what they share counted once."""
    storages = (t.untyped_storage() for calls in known for call in calls for t in tensors_in(call))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def same(one: Any, other: Any) -> bool:
    """Compare arguments of two calls; an object that may hold what was seen is never the same."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    plain = one is None or isinstance(one, bool | int | float | str | torch.dtype | torch.device)
    return plain and type(one) is type(other) and bool(one == other)
