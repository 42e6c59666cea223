"""Calibration sets for quantisers: a Hugging Face dataset folder that llm-compressor and GPTQ take.

What a quantiser is calibrated on matters as it does for a pruner, and such a set is half the work.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from ssgr.config import Model
from ssgr.errors import SsgrError, TableError
from ssgr.jobs.paths import keys_of
from ssgr.publish.cards.dataset import DatasetFacts, dataset_card
from ssgr.publish.cards.facts import FUNNEL, name_of
from ssgr.storage.atomic import whole_folder
from ssgr.storage.tables import Calibration, Funnel, TokenSequences, read, read_spec

DATA = "data/train-00000-of-00001.parquet"
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "text": pl.String,
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
    "input_ids": pl.List(pl.Int32),
    "attention_mask": pl.List(pl.Int8),
    "problem_id": pl.String,
    "sample": pl.Int32,
    "prompt_tokens": pl.Int32,
    "response_tokens": pl.Int32,
    "correctness_ratio": pl.Float64,
}
"""Columns of the data set; those of which nothing is known are left out."""


def export(
    calibration: Path, out: Path, *, model: Model | None = None, licence: str | None = None
) -> None:
    """Write a calibration set as a Hugging Face dataset folder with a card.

    Args:
        calibration: what `select` wrote, or any Parquet file with ``token_ids``.
        out: folder to write.
        model: whose tokens they are; None is the one that the file names.
        licence: of the data, for the card.

    Raises:
        SsgrError: the model is not known, or ``out`` exists or cannot be written.
        TableError: the file holds no calibration set.
        ModelError: the model has no usable tokenizer.
        PruningError: the file's tokens were made with another tokenizer.
    """
    from ssgr.sampling.tokenizer import encoding_digest, tokenizer_of
    from ssgr.selection.calibration import check_encoding

    model = model or _model_of(calibration)
    tokenizer = tokenizer_of(model)
    sequences = _sequences(calibration)
    check_encoding(calibration, encoding_digest(tokenizer), model.location)
    table = dataset(sequences, lambda ids: str(tokenizer.decode(ids)))
    facts = DatasetFacts(
        name=out.name,
        model=name_of(model),
        columns=table.columns,
        sequences=len(sequences),
        tokens=int(sequences["token_ids"].list.len().sum()),
        longest=max(sequences["token_ids"].list.len()),
        keys=keys_of(calibration),
        funnel=_funnel(calibration),
        licence=licence,
    )
    with whole_folder(out) as aside:
        (aside / DATA).parent.mkdir()
        table.write_parquet(aside / DATA)
        (aside / "README.md").write_text(dataset_card(facts), encoding="utf-8")


def dataset(sequences: pl.DataFrame, decode: Callable[[list[int]], str]) -> pl.DataFrame:
    """Return a calibration set in the columns of ``COLUMNS``, one sequence a row, unpadded.

    ``text`` is what ``decode`` makes of the tokens; ``messages`` question and response as a
    conversation, whole even where the tokens were cut to the budget.
    """
    rows = []
    for row in sequences.iter_rows(named=True):
        ids = row["token_ids"]
        turns = [("user", row.get("question")), ("assistant", row.get("response"))]
        known = all(content is not None for _, content in turns)
        rows.append(
            {
                **row,
                "text": decode(ids),
                "messages": [{"role": r, "content": c} for r, c in turns] if known else None,
                "input_ids": ids,
                "attention_mask": [1] * len(ids),
            }
        )
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    return table.select(column for column in table if column.null_count() < len(table))


def _sequences(calibration: Path) -> pl.DataFrame:
    """The whole Calibration table, or of somebody else's file the tokens."""
    try:
        ours = {*Calibration.column_names()} <= {
            *pl.scan_parquet(calibration, glob=False).collect_schema()
        }
    except (pl.exceptions.PolarsError, OSError):  # `read` says what is wrong
        ours = False
    found = read(calibration, Calibration if ours else TokenSequences, cast=True)
    if found.is_empty():
        raise TableError(f"{calibration} holds no sequence: there is nothing to export")
    return found


def _funnel(calibration: Path) -> list[dict[str, Any]]:
    """The funnel beside a calibration set; empty if it has none."""
    path = calibration.with_name(FUNNEL)
    return read(path, Funnel).to_dicts() if path.is_file() else []


def _model_of(calibration: Path) -> Model:
    """The model that `select` has written into the file's metadata."""
    said = read_spec(calibration) if calibration.is_file() else ""
    try:
        return Model.model_validate(json.loads(said)["select"]["model"])
    except (ValueError, TypeError, KeyError) as error:
        raise SsgrError(
            f"{calibration} does not say whose tokens it holds: name the model by --model"
        ) from error
