"""The safetensors files of a model folder: which tensors there are, and reading a few of them.

A model larger than memory is never opened as a whole. Tensors are mapped views of their file, so
only what is touched is read; mappings are closed early, so that pages of finished blocks do not
count against the process.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ssgr.errors import ModelError
from ssgr.pruning.names import SUMMARY

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAPPED_AT_ONCE = 2**28  # bytes read through one mapping
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}  # what weights are stored in, unless they are quantised


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is stored, and as what; ``dtype`` is the format's name, such as BF16."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class WeightFiles:
    """The tensors of some safetensors files by name."""

    origin: Path
    tensors: dict[str, StoredTensor]

    @classmethod
    def of_folder(cls, folder: Path) -> "WeightFiles":
        """Find the tensors of a Hugging Face folder, one file or sharded.

        Raises:
            ModelError: there are no safetensors files, a shard or a tensor of one is missing, or
                the folder was saved both as one file and in shards.
        """
        if (folder / SINGLE).is_file() and (folder / INDEX).is_file():
            raise ModelError(
                f"{folder} holds both {SINGLE} and {INDEX}: it was saved twice, and engines do not "
                "agree on which of the two they load. Remove the one that is not meant (with its "
                "shards)"
            )
        if (folder / SINGLE).is_file():
            return cls.of_file(folder / SINGLE)
        if not (folder / INDEX).is_file():
            raise ModelError(_no_safetensors(folder))
        places = _index(folder / INDEX)
        missing = sorted({name for name in places.values() if not (folder / name).is_file()})
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of the files that {INDEX} lists "
                f"({', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}): "
                f"{remedy(folder)}"
            )
        shards = {name: _tensors_of(folder / name) for name in sorted(set(places.values()))}
        for tensor, shard in places.items():
            if tensor not in shards[shard]:
                raise ModelError(
                    f"{folder / shard} does not hold {tensor}, though {INDEX} says so: "
                    f"the shards are of different downloads; {remedy(folder)}"
                )
        return cls(folder, {tensor: shards[shard][tensor] for tensor, shard in places.items()})

    @classmethod
    def of_file(cls, file: Path) -> "WeightFiles":
        """Find the tensors of one file.

        Raises:
            ModelError: the file is missing, truncated or no safetensors file.
        """
        return cls(file, _tensors_of(file))

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors as views of their files: copy what is kept, and let go of the view.

        Raises:
            ModelError: a tensor is not there, or its file cannot be read any more.
        """
        for file, wanted in self._portions(names):
            try:
                with safe_open(file, framework="pt", device="cpu") as opened:
                    for name in wanted:
                        yield name, opened.get_tensor(name)
            except (OSError, SafetensorError) as error:
                raise ModelError(f"{file} cannot be read any more: {error}") from error

    def rows(self, name: str, rows: Sequence[int]) -> Tensor:
        """Return some rows of a matrix, reading no more than the pages they lie on."""
        ((_, matrix),) = self.read([name])
        return matrix[torch.tensor(rows, dtype=torch.long)]

    def dtype(self, name: str) -> torch.dtype:
        """Return the number format of a tensor.

        Raises:
            ModelError: it is none that unquantised weights have.
        """
        stored = self.tensors[name]
        if stored.dtype not in DTYPES:
            raise ModelError(
                f"{name} is stored as {stored.dtype} in {stored.file}: quantised models cannot be "
                "pruned; use the unquantised checkpoint"
            )
        return DTYPES[stored.dtype]

    def main_dtype(self) -> torch.dtype:
        """Return the number format that most of the weights' bytes are in.

        Raises:
            ModelError: they are quantised.
        """
        sizes: Counter[str] = Counter()
        largest: dict[str, str] = {}
        for name, tensor in self.tensors.items():
            sizes[tensor.dtype] += math.prod(tensor.shape)
            largest[tensor.dtype] = name
        if not sizes:
            raise ModelError(f"{self.origin} holds no tensors")
        return self.dtype(largest[max(sizes, key=sizes.__getitem__)])

    def _portions(self, names: Iterable[str]) -> Iterator[tuple[Path, list[str]]]:
        """Group names by file, no more than ``MAPPED_AT_ONCE`` bytes (or one tensor) each."""
        by_file: dict[Path, list[str]] = {}
        for name in names:
            if name not in self.tensors:
                raise ModelError(f"{self.origin} does not hold the tensor {name}")
            by_file.setdefault(self.tensors[name].file, []).append(name)
        for file, wanted in by_file.items():
            portion: list[str] = []
            size = 0
            for name in wanted:
                more = 8 * math.prod(self.tensors[name].shape)  # no format has wider elements
                if portion and size + more > MAPPED_AT_ONCE:
                    yield file, portion
                    portion, size = [], 0
                portion.append(name)
                size += more
            yield file, portion


def _tensors_of(file: Path) -> dict[str, StoredTensor]:
    """Read the header of a file."""
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {
                name: StoredTensor(file, part.get_dtype(), tuple(part.get_shape()))
                for name, part in slices.items()
            }
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{file} is not a whole safetensors file ({error}): {remedy(file.parent)}"
        ) from error


def _index(file: Path) -> dict[str, str]:
    """Return which shard holds which tensor."""
    try:
        places = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is not an index of safetensors shards: {error!r}") from error
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise ModelError(f"{file}: weight_map must give a file name for every tensor")
    return places


def remedy(folder: Path) -> str:
    """Return what to do about a folder that is not whole."""
    if (folder / SUMMARY).is_file():
        return (
            f"delete the folder {folder} and run again what made it (as long as the folder is "
            "there, Snakemake takes it for whole)"
        )
    return "download the model again"


def _no_safetensors(folder: Path) -> str:
    if (folder / SUMMARY).is_file():
        return f"{folder} has lost its weights: {remedy(folder)}"
    pickled = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if pickled:
        return (
            f"{folder} holds its weights as pickles ({pickled[0]}), which are not read: save it "
            "once as safetensors, AutoModelForCausalLM.from_pretrained(folder, dtype='auto')"
            ".save_pretrained(new_folder), and copy the tokenizer files"
        )
    return f"{folder} has no weights: expected {SINGLE}, or {INDEX} and its shards"
