"""What can be refused before anything is computed: folders, token ids, recipe, device."""

from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import snapshot_download

from ssgr.config.pruning import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ModelError, PruningError
from ssgr.pruning.allocation import method
from ssgr.pruning.masks import require_groups
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.summary import MATRICES

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
NOT_NEEDED = ["*.gguf", "*.onnx", "*.pth", "*.h5", "*.msgpack", "onnx/*", "original/*"]


def local_folder(model: Path | str, revision: str | None) -> Path:
    """Return a local folder as it is, and that of a hub id after downloading it.

    Raises:
        ModelError: it is neither.
    """
    if Path(model).exists() or not isinstance(model, str):
        return Path(model)
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns=NOT_NEEDED))
    except Exception as error:  # the hub client raises many kinds, offline included
        raise ModelError(
            f"{model} is neither a folder nor a model that could be downloaded: {error}"
        ) from error


def check_folders(model: Path, out: Path) -> None:
    """Refuse folders that cannot be read or must not be replaced.

    Raises:
        ModelError: ``model`` is not a model's folder, or has no tokenizer.
        PruningError: ``out`` is the dense model, or no pruned checkpoint.
    """
    if not (model / "config.json").is_file():
        raise ModelError(f"{model} has no config.json: expected the folder of a Hugging Face model")
    if not any((model / name).is_file() for name in TOKENIZERS):
        raise ModelError(
            f"{model} has no tokenizer (none of {', '.join(TOKENIZERS)}): copy the model's "
            "tokenizer files into it, else the pruned model could not be used"
        )
    if out.resolve() == model.resolve() or out.resolve() in model.resolve().parents:
        raise PruningError(f"writing {out} would overwrite the dense model {model}")
    if out.exists() and not (out.is_dir() and (_is_empty(out) or (out / MATRICES).is_file())):
        raise PruningError(
            f"{out} exists and is not a pruned checkpoint (it has no {MATRICES}): "
            "remove it, or choose another folder"
        )


def require_free(out: Path) -> None:
    """Check that no finished checkpoint would be replaced.

    Raises:
        PruningError: one would be.
    """
    if out.is_dir() and not _is_empty(out):
        raise PruningError(
            f"{out} holds another pruned checkpoint: choose another folder, or say --overwrite to "
            "replace it"
        )


def check_sequences(sequences: Sequence[Sequence[int]], decoder: Decoder, what: str) -> None:
    """Refuse sequences that the model cannot have been meant for.

    Raises:
        PruningError: a sequence is empty, too long, or holds ids that the model does not know.
    """
    for at, sequence in enumerate(sequences):
        if len(sequence) == 0:
            raise PruningError(f"{what} sequence {at} has no tokens")
        odd = next((each for each in sequence if not isinstance(each, int)), None)
        if odd is not None:
            raise PruningError(
                f"{what} sequence {at} holds {odd!r}, which is no token id: expected integers"
            )
        worst = max(sequence) if min(sequence) >= 0 else min(sequence)
        if not 0 <= worst < decoder.vocabulary:
            raise PruningError(
                f"{what} sequence {at} holds the token id {worst}, but the model knows "
                f"0..{decoder.vocabulary - 1}: the {what} was made with another tokenizer"
            )
        if decoder.positions is not None and len(sequence) > decoder.positions:
            raise PruningError(
                f"{what} sequence {at} has {len(sequence)} tokens, but the model has only "
                f"{decoder.positions} positions: cut the budget to {decoder.positions} tokens"
            )


def check_recipe(
    recipe: Recipe,
    sparsity: Sparsity,
    sequences: Sequence[CalibrationSequence],
    decoder: Decoder,
) -> None:
    """Refuse what a recipe cannot do with a model, before earlier work makes way for it.

    Raises:
        ConfigError: the allocation is unknown, or does not go with the sparsity.
        PruningError: a matrix does not divide into groups of M, or there are no sequences for an
            allocation that needs them.
    """
    method.check(recipe.allocation, sequences, sparsity)
    for shape in decoder.shapes() if sparsity.group else ():
        try:
            require_groups(shape.columns, sparsity.group or 1)
        except PruningError as failure:
            name = f"{decoder.prefix}.{shape.block}.{shape.name}"
            raise PruningError(f"{name}: {failure}") from failure


def device_named(name: str) -> torch.device:
    """Return a device; "auto" is CUDA if there is one.

    Raises:
        ModelError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"device {name!r} cannot be computed on here ({error}): expected cpu, a device that "
            "this machine and its torch have, or auto"
        ) from error
    return device


def dtype_named(name: str) -> torch.dtype | None:
    """Return a number format to compute in; None, for "auto", is the stored one.

    Raises:
        ModelError: it is none to compute in.
    """
    dtype = None if name == "auto" else getattr(torch, name, None)
    if name != "auto" and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ModelError(f"dtype {name!r}: expected auto, float32, bfloat16 or float16")
    return dtype


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None
