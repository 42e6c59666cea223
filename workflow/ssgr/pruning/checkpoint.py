"""From a dense Hugging Face folder to a pruned one: checks, loading, the walk, and saving whole."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from huggingface_hub import snapshot_download
from torch import nn
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from ssgr import tables
from ssgr.errors import ModelError, PruningError
from ssgr.pruning import pruner_names
from ssgr.pruning.blocks import Decoder
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.walk import Pruning, prune_blocks
from ssgr.sparsity import Sparsity

REPORT = "pruning.parquet"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
NOT_NEEDED = ["*.gguf", "*.onnx", "*.pth", "*.h5", "*.msgpack", "onnx/*", "original/*"]
# what a folder keeps besides its weights: tokenizer, chat template, configs, licence, code
KEPT = ("*.json", "*.jinja", "*.model", "*.txt", "*.py", "*.tiktoken", "LICENSE*", "NOTICE*")


def prune_checkpoint(
    model: Path | str,
    out: Path,
    *,
    sequences: Sequence[Sequence[int]],
    pruner: str,
    sparsity: Sparsity,
    settings: PrunerSettings | None = None,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    spec: str = "",
) -> pl.DataFrame:
    """Prune a model and write an ordinary Hugging Face folder ``out``.

    Args:
        model: folder with config, weights and tokenizer, or the hub id of one.
        out: folder to write; it appears whole, and replaces an older pruned checkpoint.
        sequences: calibration token ids; may be empty if the pruner needs no statistics.
        pruner: a name of ``PRUNERS``.
        sparsity: the pattern; every linear of every block gets it, embeddings and head none.
        settings: numbers of the pruner; None is the defaults.
        device: "auto" (CUDA if there is one), or a torch device.
        dtype: number format to compute activations in; the folder keeps its own.
        revision: commit or tag of a hub id.
        trust_remote_code: run Python code that the model folder brings.
        spec: what made this checkpoint, stored in the metadata of its report.

    Returns:
        The PruningReport table, also written as ``pruning.parquet`` in ``out``.

    Raises:
        ModelError: the folder cannot be used or its structure is not understood.
        PruningError: the calibration or a matrix cannot be used.
    """
    if pruner not in PRUNERS:
        raise PruningError(
            f"unknown pruner {pruner!r}: expected one of {', '.join(pruner_names())}"
        )
    folder = _folder(model, revision)
    _check_folders(folder, out)
    loaded = _load(folder, trust_remote_code)
    _check_sequences(sequences, loaded)
    stored = loaded.dtype
    _move(loaded, _device(device), stored if dtype == "auto" else _dtype(dtype))
    pruning = Pruning(PRUNERS[pruner], sparsity, settings or PrunerSettings())
    rows = prune_blocks(Decoder.of(loaded), sequences, pruning)
    _move(loaded, torch.device("cpu"), stored)
    _save(loaded, pl.DataFrame(rows), folder, out, spec)
    return tables.read(out / REPORT, tables.PruningReport)


def _folder(model: Path | str, revision: str | None) -> Path:
    """Return a local folder as it is, and that of a hub id after downloading it."""
    if Path(model).exists() or not isinstance(model, str):
        return Path(model)
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns=NOT_NEEDED))
    except Exception as error:  # the hub client raises many kinds, offline included
        raise ModelError(
            f"{model} is neither a folder nor a model that could be downloaded: {error}"
        ) from error


def _check_folders(model: Path, out: Path) -> None:
    """Refuse folders that cannot be read or must not be replaced."""
    if not (model / "config.json").is_file():
        raise ModelError(f"{model} has no config.json: expected the folder of a Hugging Face model")
    if not any((model / name).is_file() for name in TOKENIZERS):
        raise ModelError(
            f"{model} has no tokenizer (none of {', '.join(TOKENIZERS)}): copy the model's "
            "tokenizer files into it, else the pruned model could not be used"
        )
    if out.resolve() == model.resolve() or out.resolve() in model.resolve().parents:
        raise PruningError(f"writing {out} would overwrite the dense model {model}")
    if out.exists() and not (out.is_dir() and (_is_empty(out) or (out / REPORT).is_file())):
        raise PruningError(
            f"{out} exists and is not a pruned checkpoint (it has no {REPORT}): "
            "remove it, or choose another folder"
        )


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _load(model: Path, trust_remote_code: bool) -> PreTrainedModel:
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model, dtype="auto", local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # transformers raises what it likes for a bad folder
        raise ModelError(f"{model} cannot be loaded as a causal language model: {error}") from error
    if getattr(loaded.config, "quantization_config", None) is not None:
        raise ModelError(f"{model} is quantised: prune the unquantised checkpoint instead")
    if not isinstance(loaded, PreTrainedModel):
        raise ModelError(f"{model} loads as {type(loaded).__name__}, not as a transformers model")
    return loaded


def _check_sequences(sequences: Sequence[Sequence[int]], model: PreTrainedModel) -> None:
    """Refuse sequences that the model cannot have been meant for."""
    vocabulary = model.get_input_embeddings().get_parameter("weight").shape[0]
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for at, sequence in enumerate(sequences):
        if len(sequence) == 0:
            raise PruningError(f"calibration sequence {at} has no tokens")
        worst = max(sequence) if min(sequence) >= 0 else min(sequence)
        if not 0 <= worst < vocabulary:
            raise PruningError(
                f"calibration sequence {at} holds the token id {worst}, but the model knows "
                f"0..{vocabulary - 1}: the calibration was made with another tokenizer"
            )
        if longest is not None and len(sequence) > longest:
            raise PruningError(
                f"calibration sequence {at} has {len(sequence)} tokens, but the model has only "
                f"{longest} positions: cut the budget to {longest} tokens"
            )


def _move(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a model, and cast its parameters; buffers such as rotary frequencies keep their fp32."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ModelError(f"dtype {name!r}: expected auto, float32, bfloat16 or float16")
    return dtype


def _save(model: PreTrainedModel, report: pl.DataFrame, source: Path, out: Path, spec: str) -> None:
    """Write the folder aside and put it in place by renaming."""
    aside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)  # left by a killed run
    try:
        # saving refuses odd generation configs; the source's own files are kept as they are
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        model.save_pretrained(aside)
        (aside / "generation_config.json").unlink()
        for weights in aside.glob("*.safetensors"):  # written as if they were a secret
            weights.chmod((aside / "config.json").stat().st_mode)
        _copy_companions(source, aside)
        tables.write(report, tables.PruningReport, aside / REPORT, spec)
        _replace(out, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _copy_companions(source: Path, aside: Path) -> None:
    """Copy what the dense folder holds besides weights and card."""
    for pattern in KEPT:
        for file in source.glob(pattern):
            if not file.name.endswith(".index.json"):  # lists the dense folder's weight files
                shutil.copyfile(file, aside / file.name)


def _replace(out: Path, aside: Path) -> None:
    """Rename ``aside`` to ``out``; an older ``out`` is moved away first, then deleted."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(aside, out)
    shutil.rmtree(old, ignore_errors=True)
