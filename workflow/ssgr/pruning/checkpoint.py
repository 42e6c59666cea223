"""From a dense Hugging Face folder to a pruned one: the walk with its progress, then assembly.

Everything happens in a work folder beside the checkpoint, which appears whole by a renaming. What a
killed run has finished is used by the next (`ssgr.pruning.progress`).
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from ssgr.config.pruning import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import SsgrError
from ssgr.pruning.activations import MB, require_room
from ssgr.pruning.allocation import allocate
from ssgr.pruning.checks import (
    check_folders,
    check_recipe,
    check_sequences,
    device_named,
    dtype_named,
    local_folder,
    require_free,
)
from ssgr.pruning.matrices import PrunedMatrix, Pruning
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.model.weights import WeightFiles
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output import reports
from ssgr.pruning.output.assembly import assemble, put_in_place, shard_name
from ssgr.pruning.output.summary import MATRICES, Perplexity, Summary, read_summary
from ssgr.pruning.progress import Json, Work, opened
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import pruner_of
from ssgr.pruning.task import DECIDING, Task
from ssgr.pruning.walk import (
    Pruned,
    PrunedBlock,
    prune_blocks,
    require_calibration,
    require_same_tokens,
)
from ssgr.storage import tables

CHANCE = 2
"""Times the vocabulary: a perplexity above it is worse than chance."""


def prune_checkpoint(
    model: Path | str,
    out: Path,
    *,
    calibration: Sequence[CalibrationSequence],
    held_back: Sequence[list[int]] = (),
    recipe: Recipe,
    sparsity: Sparsity,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    spec: str = "",
    encoding: str = "",
    spill: Path | None = None,
    cap_mb: int = 4096,
    before_it_appears: Callable[[Path], None] | None = None,
    overwrite: bool = False,
) -> pl.DataFrame:
    """Prune a model and write an ordinary Hugging Face folder ``out``.

    Args:
        model: folder with config, weights and tokenizer, or the hub id of one.
        out: folder to write; it appears whole. A run that ends early leaves its work in
            ``.{name}.partial`` beside it, for the next to go on. If this very checkpoint is there
            already, nothing is done.
        calibration: sequences; may be empty if pruner and allocation need no statistics.
        held_back: token ids that the report's block errors and perplexities are measured on.
        recipe: pruner, allocation, objective and constants.
        sparsity: of all linears of all blocks together; embeddings and head stay dense.
        device: "auto" (CUDA if there is one), or a torch device.
        dtype: number format to compute activations in; the folder keeps its own.
        revision: commit or tag of a hub id.
        trust_remote_code: run Python code that the model folder brings.
        spec: what made this checkpoint, as JSON, stored in its metadata.
        encoding: digest of how the model's tokenizer encodes, kept in `pruning.json`.
        spill: folder for hidden states beyond the cap; None is the work folder.
        cap_mb: MB of hidden states kept in memory.
        before_it_appears: called with the finished folder before it gets its name (model card).
        overwrite: replace another pruned checkpoint at ``out``.

    Returns:
        The PruningReport table, also written as ``pruning.parquet`` in ``out``.

    Raises:
        ModelError: the folder cannot be used or its structure is not understood.
        PruningError: the calibration or a matrix cannot be used, a disk is full, or another
            checkpoint is at ``out``.
        ConfigError: the allocation does not go with the sparsity.
    """
    require_calibration(pruner_of(recipe.method), recipe.objective, calibration)
    number_format = dtype_named(dtype)
    source = local_folder(model, revision)
    check_folders(source, out)
    decoder = Decoder.open(
        source,
        device=device_named(device),
        dtype=number_format,
        trust_remote_code=trust_remote_code,
    )
    check_sequences([one.token_ids for one in calibration], decoder, "calibration")
    check_sequences(held_back, decoder, "held-back")
    check_recipe(recipe, sparsity, calibration, decoder)
    require_same_tokens(decoder, recipe.objective)
    task = Task(source, decoder, calibration, held_back, recipe, sparsity)
    with opened(out, task.parts(dtype)) as work:
        if not _is_in_place(work, out):
            if not overwrite:
                require_free(out)
            pruned = _prune(task, work, spill or work.folder, cap_mb * MB)
            assemble(decoder, source, work.checkpoint)
            summary = _summary(task, work, pruned, spec).model_copy(update={"encoding": encoding})
            reports.write(work.checkpoint, pruned.blocks, summary, spec)
            if before_it_appears is not None:
                before_it_appears(work.checkpoint)
            put_in_place(work.checkpoint, out)
    return tables.read(out / MATRICES, tables.PruningReport)


def _is_in_place(work: Work, out: Path) -> bool:
    """Return whether an earlier run has finished this very checkpoint."""
    if work.checkpoint.exists():
        return False
    try:
        WeightFiles.of_folder(out)
        return (out / MATRICES).is_file() and read_summary(out).work == work.digest
    except SsgrError:
        return False


def _prune(task: Task, work: Work, spill: Path, cap: int) -> Pruned:
    """Walk over the blocks, going on after those that are finished."""
    decoder, recipe = task.decoder, task.recipe
    finished = {
        index: (found[0], _block(found[1]))
        for index in range(decoder.depth)
        if (found := work.finished(_record(index)))
    }
    perplexity = work.recall("perplexity")
    if perplexity is not None and len(finished) == decoder.depth:
        return Pruned([block for _, block in finished.values()], **perplexity)
    _require_room(task, work, spill, cap)
    pruning = Pruning(
        pruner_of(recipe.method),
        task.sparsity,
        PrunerSettings(recipe.block_size, recipe.damping, recipe.iterations),
        recipe.objective,
        _allocation(task, work, spill, cap),
        recipe.channel_permutation,
    )

    def keep(index: int, tensors: dict[str, Tensor], block: PrunedBlock) -> None:
        shard = shard_name(index, decoder.depth + 1)
        work.finish(_record(index), shard, tensors, asdict(block))

    pruned = prune_blocks(
        decoder,
        task.calibration,
        pruning,
        held_back=task.held_back,
        finished=finished,
        keep=keep,
        folder=spill,
        cap=cap,
    )
    figures = {"dense_perplexity": pruned.dense_perplexity}
    work.remember("perplexity", {**figures, "pruned_perplexity": pruned.pruned_perplexity})
    return pruned


def _allocation(task: Task, work: Work, spill: Path, cap: int) -> dict[tuple[int, str], float]:
    """Return the sparsity of every matrix; a search is done once."""
    known = work.recall("allocation")
    if known is None:
        recipe = task.recipe
        shares = allocate(
            recipe.allocation,
            task.decoder,
            task.calibration,
            task.sparsity,
            recipe,
            work.scratch,
            cap=cap,
            spill=spill,
        )
        known = {"shares": [[block, name, share] for (block, name), share in shares.items()]}
        work.remember("allocation", known)
    return {(block, name): share for block, name, share in known["shares"]}


def _require_room(task: Task, work: Work, spill: Path, cap: int) -> None:
    """Check that the disk has room for the checkpoint, as large as the dense one, and the spill."""
    needed = sum(path.stat().st_size for path in task.source.glob("*.safetensors"))
    needed -= sum(path.stat().st_size for path in work.checkpoint.glob("*.safetensors"))
    spilled = max(task.hidden_bytes() - cap, 0)
    if spill.is_dir() and spill.stat().st_dev == work.folder.stat().st_dev:
        needed, spilled = needed + spilled, 0
    require_room(work.folder, needed, "the pruned model")
    require_room(spill, spilled, "the hidden states")


def _summary(task: Task, work: Work, pruned: Pruned, spec: str) -> Summary:
    perplexity, warnings = None, reports.warnings(pruned.blocks)
    if pruned.dense_perplexity is not None and pruned.pruned_perplexity is not None:
        tokens = sum(len(ids) - 1 for ids in task.held_back)
        perplexity = Perplexity(
            dense=pruned.dense_perplexity, pruned=pruned.pruned_perplexity, tokens=tokens
        )
        if perplexity.dense > CHANCE * task.decoder.vocabulary:
            warnings.append(
                f"the dense model's perplexity of the held-back text is {perplexity.dense:,.0f}, "
                f"worse than chance among {task.decoder.vocabulary} tokens: it was probably made "
                "with another tokenizer, and so was the calibration"
            )
    elif task.held_back:
        warnings.append(
            "held-back text makes NaN or Inf in the "
            f"{'pruned' if pruned.dense_perplexity else 'dense'} model, so it has no perplexity: "
            "it overflows in its number format; dtype float32 or bfloat16 often helps"
        )
    device = task.decoder.device
    return Summary(
        spec=spec,
        recipe=task.named_recipe.model_dump(),
        sparsity=task.sparsity.key,
        perplexity=perplexity,
        warnings=warnings,
        dense=task.decoder.left_dense(),
        versions={"python": platform.python_version()} | {name: version(name) for name in DECIDING},
        work=work.digest,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    )


def _record(index: int) -> str:
    return f"block-{index:05}"


def _block(row: Json) -> PrunedBlock:
    return PrunedBlock(**{**row, "matrices": [PrunedMatrix(**one) for one in row["matrices"]]})
