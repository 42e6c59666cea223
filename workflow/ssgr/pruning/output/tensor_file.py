"""Safetensors files written tensor by tensor, in any order: memory holds one tensor, not a shard.

The library's own writer wants all tensors of a file at once. The layout is the same as its own:
wide elements first, then by name, so that every tensor is aligned.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from ssgr.errors import ModelError
from ssgr.pruning.model.weights import WeightFiles

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""What the format calls a dtype."""
DTYPES = {name: dtype for dtype, name in NAMES.items()}
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Kind:
    """What a tensor takes: its dtype and shape."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> "Kind":
        """Return that of a tensor."""
        return cls(tensor.dtype, tuple(tensor.shape))

    @property
    def bytes(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


class TensorFile:
    """A safetensors file of known ``kinds``; used as a context, each tensor written once."""

    def __init__(self, path: Path, kinds: Mapping[str, Kind], metadata: Mapping[str, str]):
        self._path, self._kinds = path, dict(kinds)
        self._offsets: dict[str, int] = {}
        header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        end = 0
        for name in sorted(kinds, key=lambda name: (-kinds[name].dtype.itemsize, name)):
            kind, start = kinds[name], end
            end = start + kind.bytes
            self._offsets[name] = start
            header[name] = {"dtype": NAMES[kind.dtype], "shape": kind.shape,
                            "data_offsets": [start, end]}  # fmt: skip
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        self._header = text + b" " * (-len(text) % 8)

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._file.write(len(self._header).to_bytes(8, "little") + self._header)
        self._start = self._file.tell()
        return self

    def write(self, name: str, tensor: Tensor) -> None:
        """Write a tensor to its place."""
        if Kind.of(tensor) != self._kinds[name]:
            raise ValueError(f"{name} is {Kind.of(tensor)}, not {self._kinds[name]}")
        self._file.seek(self._start + self._offsets.pop(name))
        self._file.write(bits(tensor.contiguous()).numpy().data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if error is None and self._offsets:
            raise ValueError(f"{self._path} lacks {sorted(self._offsets)}")


def bits(tensor: Tensor) -> Tensor:
    """Return a tensor's elements as integers of their width, flat: what a copy must not change."""
    return tensor.reshape(-1).view(INTEGERS[tensor.dtype.itemsize])


def kinds_in(path: Path) -> dict[str, Kind]:
    """Return what the tensors of a safetensors file take, by name; reads no tensor.

    Raises:
        ModelError: the file is missing, truncated or of another kind, or a dtype is not known.
    """
    found = WeightFiles.of_file(path).tensors
    for name, stored in found.items():
        if stored.dtype not in DTYPES:
            known = ", ".join(DTYPES)
            raise ModelError(f"{path}: {name} is of dtype {stored.dtype}, expected one of {known}")
    return {name: Kind(DTYPES[stored.dtype], stored.shape) for name, stored in found.items()}
