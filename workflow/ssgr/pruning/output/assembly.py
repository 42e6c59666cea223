"""The finished folder: what is not a block, the index of the shards, companions, and its name."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ssgr.errors import ModelError
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.model.weights import INDEX, WeightFiles
from ssgr.pruning.output.tensor_file import Kind, TensorFile, kinds_in
from ssgr.pruning.progress import write_whole

# what a folder keeps besides its weights: tokenizer, chat template, configs, licence, code
KEPT = (
    *("*.json", "*.jinja", "additional_chat_templates/*.jinja", "*.model", "*.txt", "*.py"),
    *("*.tiktoken", "LICENSE*", "NOTICE*"),
)


def shard_name(number: int, shards: int) -> str:
    """Return the file name of a shard, as every loader of Hugging Face folders knows it."""
    return f"model-{number + 1:05}-of-{shards:05}.safetensors"


def assemble(decoder: Decoder, source: Path, folder: Path) -> None:
    """Complete a folder that holds a shard of every block: other tensors, index, companions.

    Nothing is held in memory but one tensor. ``source`` is the dense model's folder.

    Raises:
        ModelError: a tensor of the dense model cannot be read any more.
        PruningError: a file cannot be written.
    """
    shards = [shard_name(number, decoder.depth + 1) for number in range(decoder.depth + 1)]
    for path in folder.iterdir():
        if path.is_dir():  # half-written, as is the rest, by a run that was killed
            shutil.rmtree(path)
        elif path.name not in shards[:-1]:
            path.unlink()
    _copy_others(decoder.other_tensors(), folder / shards[-1])
    _write_index(folder, shards, set(WeightFiles.of_folder(source).tensors))
    for pattern in KEPT:
        for file in source.glob(pattern):
            if not file.name.endswith(".index.json"):  # lists the dense folder's weight files
                _copy(file, folder / file.relative_to(source))


def put_in_place(folder: Path, out: Path) -> None:
    """Rename ``folder`` to ``out``; an older ``out`` is moved away first, then deleted."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(folder, out)
    shutil.rmtree(old, ignore_errors=True)


def _copy_others(others: Mapping[str, Path], path: Path) -> None:
    """Write embedding, final norm, head and whatever else is no block, tensor by tensor."""
    by_file: dict[Path, list[str]] = {}
    for name, file in sorted(others.items()):
        by_file.setdefault(file, []).append(name)
    kinds: dict[str, Kind] = {}
    for file, names in by_file.items():
        found = kinds_in(file)
        kinds |= {name: found[name] for name in names}

    def write(aside: Path) -> None:
        with TensorFile(aside, kinds, {"format": "pt"}) as target:
            for name, file in others.items():
                for _, tensor in WeightFiles.of_file(file).read([name]):
                    target.write(name, tensor)

    write_whole(path, write, sum(kind.bytes for kind in kinds.values()))


def _write_index(folder: Path, shards: Sequence[str], expected: set[str]) -> None:
    """Say which shard holds which tensor; every tensor of the dense model is in one."""
    places: dict[str, str] = {}
    size = 0
    for shard in shards:
        kinds = kinds_in(folder / shard)
        places |= dict.fromkeys(kinds, shard)
        size += sum(kind.bytes for kind in kinds.values())
    if set(places) != expected:
        raise ModelError(
            f"{folder} would hold other tensors than the dense model: "
            f"{sorted(set(places) ^ expected)[:5]}"
        )
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
    text = json.dumps(index, indent=2) + "\n"
    write_whole(folder / INDEX, lambda aside: aside.write_text(text, encoding="utf-8"))


def _copy(file: Path, target: Path) -> None:
    write_whole(target, lambda aside: shutil.copyfile(file, aside), file.stat().st_size)
