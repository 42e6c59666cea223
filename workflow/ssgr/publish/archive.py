"""Archives: a pruned checkpoint without its zeros, for disks and downloads.

A matrix is stored as its non-zero values and one bit a weight: the ``sparse-bitmask`` format of
compressed-tensors. Unpacking gives the same bits back, -0.0 and NaN included.

No engine loads an archive. compressed-tensors reads the format up to 0.13; with a later one,
transformers fills the matrices that it does not find with random numbers and only warns. So an
archive has a ``packed-config.json`` in place of ``config.json``, and every loader refuses it.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ssgr.errors import ModelError
from ssgr.pruning.model.weights import INDEX, WeightFiles
from ssgr.pruning.output.tensor_file import Kind, TensorFile, bits, kinds_in
from ssgr.storage.atomic import take_along, whole_folder

FORMAT = "sparse-bitmask"
LAST_READER = "0.13.0"
"""The last release of compressed-tensors that reads the format."""
WEIGHT = ".weight"
PARTS = (".compressed", ".bitmask", ".row_offsets", ".shape")
CONFIG = "config.json"
PACKED_CONFIG = "packed-config.json"


@dataclass(frozen=True)
class Sizes:
    """Bytes of all tensors, dense and packed; ``matrices`` of them were packed."""

    dense: int
    packed: int
    matrices: int


def compress(weight: Tensor) -> dict[str, Tensor]:
    """Return a matrix [rows, columns] in the parts of the format, by suffix.

    ``.compressed`` [non-zeros] are its values row by row, ``.bitmask`` [rows, ceil(columns / 8)]
    says where, lowest bit first, ``.row_offsets`` [rows] where each row's values start,
    ``.shape`` its shape. -0.0 counts as a value; compressed-tensors itself loses its sign.
    """
    mask = bits(weight).reshape(weight.shape) != 0
    counts = mask.sum(dim=1)
    packed = np.packbits(mask.numpy(), axis=1, bitorder="little")
    return {
        ".compressed": bits(weight)[mask.reshape(-1)].view(weight.dtype),
        ".bitmask": torch.from_numpy(packed),
        ".row_offsets": counts.cumsum(0) - counts,
        ".shape": torch.tensor(weight.shape),
    }


def decompress(parts: dict[str, Tensor]) -> Tensor:
    """Return the matrix that :func:`compress` took apart.

    Raises:
        ValueError: the parts do not fit together.
    """
    rows, columns = parts[".shape"].tolist()
    values = parts[".compressed"]
    flags = np.unpackbits(parts[".bitmask"].numpy(), axis=1, count=columns, bitorder="little")
    mask = torch.from_numpy(flags).bool()
    if tuple(mask.shape) != (rows, columns) or int(mask.sum()) != len(values):
        raise ValueError(f"{len(values)} values for {int(mask.sum())} places in {rows}x{columns}")
    weight = torch.zeros(rows, columns, dtype=values.dtype)
    bits(weight)[mask.reshape(-1)] = bits(values)
    return weight


def pack(folder: Path, out: Path) -> Sizes:
    """Write a model folder's archive ``out``, one tensor in memory at a time.

    Every matrix that gets smaller is packed, whoever made its zeros; all other tensors and files
    are taken along as they are.

    Raises:
        ModelError: the folder lacks safetensors files, one is damaged, or it is an archive already.
        SsgrError: ``out`` exists, or cannot be written.
    """
    if (folder / PACKED_CONFIG).is_file():
        raise ModelError(f"{folder} is an archive already: it has a {PACKED_CONFIG}")
    config = _read_config(folder / CONFIG)
    if "quantization_config" in config:
        raise ModelError(f"{folder} is quantised: archives are of unquantised checkpoints")
    with whole_folder(out) as aside:
        counted: Counter[str] = Counter()
        for shard in _shards(folder):
            counted += _pack_shard(shard, aside / shard.name)
        sparsity = counted["zeros"] / max(counted["weights"], 1)
        names = [name for file in aside.glob("*.safetensors") for name in kinds_in(file)]
        config["quantization_config"] = _format_of(names, sparsity)
        (aside / PACKED_CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        _finish(folder, aside)
    return Sizes(counted["dense"], counted["packed"], counted["matrices"])


def unpack(folder: Path, out: Path) -> None:
    """Write the model folder that was packed into the archive ``folder``.

    Raises:
        ModelError: the folder is no archive, or is damaged; names the matrix.
        SsgrError: ``out`` exists, or cannot be written.
    """
    packed = folder / PACKED_CONFIG
    path = packed if packed.is_file() else folder / CONFIG  # as compressed-tensors calls it
    config = _read_config(path)
    said = config.pop("quantization_config", {}).get("sparsity_config") or {}
    if said.get("format") != FORMAT:
        raise ModelError(f"{folder} is no archive: its {path.name} does not say {FORMAT}")
    with whole_folder(out) as aside:
        for shard in _shards(folder):
            _unpack_shard(shard, aside / shard.name)
        (aside / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        _finish(folder, aside)


def _pack_shard(path: Path, out: Path) -> Counter[str]:
    """Pack one file; two passes, since a file's header says where everything will be."""
    counted: Counter[str] = Counter()
    kinds: dict[str, Kind] = {}
    packed: set[str] = set()
    dense = kinds_in(path)
    with safe_open(path, framework="pt") as shard:
        for name, kind in dense.items():
            parts = {name: kind}
            if name.endswith(WEIGHT) and len(kind.shape) == 2:
                values = int(bits(shard.get_tensor(name)).count_nonzero())
                smaller = _kinds(name.removesuffix(WEIGHT), kind, values)
                if _bytes(smaller) < kind.bytes:
                    parts = smaller
                    packed.add(name)
                    weights = kind.shape[0] * kind.shape[1]
                    counted.update(matrices=1, weights=weights, zeros=weights - values)
            counted.update(dense=kind.bytes, packed=_bytes(parts))
            kinds |= parts
        with TensorFile(out, kinds, shard.metadata() or {}) as file:
            for name in dense:
                tensor = shard.get_tensor(name)
                if name not in packed:
                    file.write(name, tensor)
                    continue
                for suffix, part in compress(tensor).items():
                    file.write(name.removesuffix(WEIGHT) + suffix, part)
    return counted


def _kinds(stem: str, weight: Kind, values: int) -> dict[str, Kind]:
    """What the parts of a packed matrix take, in the order of `PARTS`."""
    rows, columns = weight.shape
    mask = Kind(torch.uint8, (rows, -(-columns // 8)))
    offsets, shape = Kind(torch.int64, (rows,)), Kind(torch.int64, (2,))
    kinds = (Kind(weight.dtype, (values,)), mask, offsets, shape)
    return {stem + part: kind for part, kind in zip(PARTS, kinds, strict=True)}


def _bytes(kinds: dict[str, Kind]) -> int:
    return sum(kind.bytes for kind in kinds.values())


def _unpack_shard(path: Path, out: Path) -> None:
    found = kinds_in(path)
    with safe_open(path, framework="pt") as shard:
        stems = [name.removesuffix(PARTS[0]) for name in found if name.endswith(PARTS[0])]
        others = found.keys() - {stem + suffix for stem in stems for suffix in PARTS}
        kinds = {name: kind for name, kind in found.items() if name in others}
        try:
            for stem in stems:
                shape = tuple(shard.get_tensor(f"{stem}.shape").tolist())
                kinds[stem + WEIGHT] = Kind(found[stem + PARTS[0]].dtype, shape)
            with TensorFile(out, kinds, shard.metadata() or {}) as file:
                for name in others:
                    file.write(name, shard.get_tensor(name))
                for stem in stems:
                    weight = decompress({part: shard.get_tensor(stem + part) for part in PARTS})
                    file.write(stem + WEIGHT, weight)
        except (ValueError, SafetensorError) as error:
            raise ModelError(
                f"{path}: {stem} is damaged: {error}. Download or pack it again."
            ) from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not a model's config: {error}") from error
    return config


def _shards(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in order."""
    return sorted({stored.file for stored in WeightFiles.of_folder(folder).tensors.values()})


def _format_of(names: Iterable[str], sparsity: float) -> dict[str, Any]:
    """What the config of an archive says, as compressed-tensors writes it."""
    dense = {name.removesuffix(WEIGHT) for name in names if name.endswith(WEIGHT)}
    return {
        "quant_method": "compressed-tensors",
        "sparsity_config": {
            "format": FORMAT,
            "global_sparsity": sparsity,
            "ignore": sorted(dense | {"lm_head"}),
            "sparsity_structure": "unstructured",
            "targets": ["Linear"],
        },
        "transform_config": {},
        "version": LAST_READER,
    }


def _finish(folder: Path, aside: Path) -> None:
    """Write the index of the weight files, and take along all files that are not made anew."""
    if (folder / INDEX).is_file():
        index = json.loads((folder / INDEX).read_bytes())
        held = {file.name: kinds_in(file) for file in sorted(aside.glob("*.safetensors"))}
        places = {name: file for file, kinds in held.items() for name in kinds}
        size = sum(_bytes(kinds) for kinds in held.values())
        index["metadata"] = {**index.get("metadata", {}), "total_size": size}
        index["weight_map"] = dict(sorted(places.items()))
        (aside / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    have = {path.name for path in aside.iterdir()} | {CONFIG, PACKED_CONFIG}
    others = [file for file in sorted(folder.iterdir()) if file.is_file()]
    shown = [file for file in others if not file.name.startswith(".")]  # hidden: not the model's
    take_along((file for file in shown if file.name not in have), aside)
