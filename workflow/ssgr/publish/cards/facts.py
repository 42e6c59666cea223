"""What a model card is made of: a checkpoint's own files, and scores, which come later.

The pruning job writes into the checkpoint's spec what only it knows (the dense model, its licence,
the calibration set's funnel), so that a card needs no other file of the run.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from huggingface_hub import ModelCard
from pydantic import BaseModel, ValidationError

from ssgr.config import Model
from ssgr.errors import ReportError, TableError
from ssgr.jobs.grid import CHECKPOINT_KEYS, NONE
from ssgr.jobs.paths import keys_of
from ssgr.pruning.model.weights import WeightFiles
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES, Summary, read_summary
from ssgr.storage import tables

FUNNEL = "funnel.parquet"
SCORES = "scores.parquet"


class Dense(BaseModel):
    """The model that was pruned; ``hub`` is its id if it came from the Hub."""

    name: str
    hub: str | None
    license: str | None


class Calibrated(BaseModel):
    """What a checkpoint was calibrated on, in sequences and tokens; ``funnel`` is a Funnel."""

    sequences: int
    tokens: int
    funnel: list[dict[str, str | int]]


class Origin(BaseModel):
    """Where a checkpoint comes from; ``keys`` are its point's in the workflow, if it is of one."""

    dense: Dense
    calibrated: Calibrated | None
    keys: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """Everything a card is made of.

    ``matrices`` is a PruningReport, ``blocks`` a BlockReport; ``scores`` holds benchmark,
    ``dense`` (whether it is the dense model's row) and the Scores columns. ``weights`` are all of
    the model's, ``bytes`` what they take, ``packed`` what they would take in an archive.
    """

    origin: Origin
    summary: Summary
    matrices: pl.DataFrame
    blocks: pl.DataFrame
    scores: pl.DataFrame | None
    weights: int
    bytes: int
    packed: int


def origin_of(model: Model, folder: Path, calibration: Path | None, out: Path) -> dict[str, Any]:
    """Return what the job that prunes ``model`` into ``out`` puts into the checkpoint's spec.

    ``folder`` is the model's on this machine; a funnel beside ``calibration`` is taken along.
    """
    license = _license(folder / "README.md")
    hub = None if Path(model.location).is_dir() else model.location
    dense = Dense(name=name_of(model), hub=hub, license=license)
    keys = keys_of(out / SUMMARY)
    if calibration is None:
        return Origin(dense=dense, calibrated=None, keys=keys).model_dump()
    token_ids = tables.read(calibration, tables.TokenSequences, cast=True)["token_ids"]
    calibrated = Calibrated(
        sequences=len(token_ids),
        tokens=int(token_ids.list.len().sum()),
        funnel=funnel_beside(calibration),
    )
    keys = keys_of(calibration) | keys
    return Origin(dense=dense, calibrated=calibrated, keys=keys).model_dump()


def funnel_beside(calibration: Path) -> list[dict[str, Any]]:
    """Return the Funnel rows beside a calibration set; empty if it has none."""
    path = calibration.with_name(FUNNEL)
    return tables.read(path, tables.Funnel).to_dicts() if path.is_file() else []


def name_of(model: Model) -> str:
    """Return how a card calls a model: its id on the Hub, or the name of its folder."""
    folder = Path(model.location)
    return folder.resolve().name if folder.is_dir() else model.location


def _license(card: Path) -> str | None:
    """The licence that the dense model's card names, if there is one."""
    try:
        found = ModelCard.load(card, ignore_metadata_errors=True).data.get("license")
    except (OSError, ValueError):  # there is no card, or it is none
        return None
    return found if isinstance(found, str) else None


def facts_of(folder: Path, scores: pl.DataFrame | None = None) -> Facts:
    """Read what a checkpoint's folder says of it; ``scores`` as in `Facts`.

    Raises:
        TableError: one of its reports is missing, or is none.
        ModelError: its weights are missing.
    """
    summary = read_summary(folder)
    matrices = tables.read(folder / MATRICES, tables.PruningReport)
    try:
        origin = Origin.model_validate(summary.spec)
    except ValidationError as error:
        raise TableError(f"{folder / SUMMARY} does not say where it comes from: {error}") from error
    stored = WeightFiles.of_folder(folder).tensors.values()
    weights = sum(math.prod(tensor.shape) for tensor in stored)
    size = sum(path.stat().st_size for path in {tensor.file for tensor in stored})
    return Facts(
        origin=origin,
        summary=summary,
        matrices=matrices,
        blocks=tables.read(folder / BLOCKS, tables.BlockReport),
        scores=scores,
        weights=weights,
        bytes=size,
        packed=size - _saved(matrices, round(size / max(weights, 1))),
    )


def _saved(matrices: pl.DataFrame, width: int) -> int:
    """Bytes that an archive saves, of weights of ``width`` bytes: `ssgr.publish.archive`."""
    rows, columns = (pl.col(name).cast(pl.Int64) for name in ("rows", "columns"))
    zeros = pl.col("achieved_sparsity") * rows * columns * width
    masks = rows * (((columns + 7) // 8) + 8) + 16
    return int(matrices.select((zeros - masks).clip(0).sum()).item())


def scores_of(root: Path, keys: Mapping[str, str]) -> pl.DataFrame:
    """Return the scores of a checkpoint, whose keys are given, and of its dense model.

    ``root`` holds ``scores.parquet`` in ``key=value`` folders. Columns as of ``Facts.scores``.

    Raises:
        ReportError: the checkpoint's keys are not known, or there are no scores of it.
    """
    missing = [key for key in CHECKPOINT_KEYS if key not in keys]
    if missing:
        raise ReportError(
            f"whose scores under {root} are this checkpoint's is not known, since it was not made "
            f"by the workflow (it has no {', '.join(missing)})"
        )
    own_keys = {key: keys[key] for key in CHECKPOINT_KEYS}
    found = []
    for path in sorted(root.rglob(SCORES)):
        place = keys_of(path)
        own = own_keys.items() <= place.items()
        dense = place.get("model") == keys["model"] and place.get("pruner") == NONE
        if own or dense:
            named = {"benchmark": pl.lit(place.get("benchmark", "")), "dense": pl.lit(dense)}
            found.append(tables.read(path, tables.Scores).with_columns(**named))
    if not any(not one["dense"][0] for one in found):
        point = ", ".join(map("=".join, own_keys.items()))
        raise ReportError(f"{root} holds no {SCORES} of {point}")
    return pl.concat(found).sort("benchmark", "dense")
