"""What a pruned checkpoint says of itself: the files beside its weights, and reading them."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from ssgr.config.sparsity import Sparsity
from ssgr.errors import ModelError, TableError
from ssgr.pruning.names import SUMMARY

MATRICES = "pruning.parquet"
"""A PruningReport: one pruned matrix a row."""
BLOCKS = "blocks.parquet"
"""A BlockReport: one pruned block a row."""
"""A `Summary`."""


class Perplexity(BaseModel):
    """Of the dense and of the pruned model on so many tokens of held-back calibration text."""

    model_config = ConfigDict(frozen=True)

    dense: float
    pruned: float
    tokens: int


class Summary(BaseModel):
    """How a checkpoint was made and what came out; ``spec`` is what asked for it.

    ``sparsity`` is a key of `Sparsity`, ``warnings`` are of the checkpoint as a whole, in words,
    ``dense`` says which matrices of blocks were left as they are, besides embeddings and head.
    ``work`` is the digest of what decides the result (`ssgr.pruning.progress`), ``encoding`` that
    of how the dense model's tokenizer encodes (`ssgr.sampling.tokenizer`), empty if not known.
    """

    model_config = ConfigDict(frozen=True)

    spec: dict[str, Any] = {}
    recipe: dict[str, Any]
    sparsity: str
    perplexity: Perplexity | None = None
    warnings: list[str] = []
    dense: list[str] = []
    versions: dict[str, str] = {}
    device: str = ""
    work: str = ""
    encoding: str = ""

    @field_validator("spec", mode="before")
    @classmethod
    def _from_text(cls, spec: object) -> object:
        return json.loads(spec or "{}") if isinstance(spec, str) else spec

    @property
    def pattern(self) -> Sparsity:
        """The sparsity that was asked for."""
        return Sparsity.parse(self.sparsity)


def check_encoding(folder: Path, encoding: str) -> None:
    """Refuse a checkpoint whose tokenizer does not encode as that of its dense model did.

    Args:
        folder: a checkpoint; another model's folder, or one that does not say, passes.
        encoding: the digest of how its tokenizer encodes.

    Raises:
        ModelError: it is another one.
        TableError: `pruning.json` is not a summary.
    """
    said = read_summary(folder).encoding if (folder / SUMMARY).is_file() else ""
    if said not in ("", encoding):
        raise ModelError(
            f"the tokenizer in {folder} encodes otherwise (digest {encoding}) than that of the "
            f"dense model did when it was pruned ({said}): the model would be asked something "
            "else than the dense one. Restore its tokenizer files, prune again, or install the "
            "version of transformers that it was pruned with (pruning.json names it)."
        )


def read_summary(folder: Path) -> Summary:
    """Return what a checkpoint's `pruning.json` says.

    Raises:
        TableError: the file is missing, or is not a summary.
    """
    path = folder / SUMMARY
    try:
        return Summary.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise TableError(
            f"{folder} has no {SUMMARY}: expected a checkpoint that `ssgr prune` wrote"
        ) from error
    except (OSError, ValidationError, ValueError) as error:
        raise TableError(f"{path} is not the summary of a checkpoint: {error}") from error
