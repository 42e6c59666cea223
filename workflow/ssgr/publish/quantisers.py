"""Calibration sets as Hugging Face dataset folders, which llm-compressor and GPTQModel take."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from huggingface_hub import DatasetCardData

from ssgr.config import Model
from ssgr.errors import SsgrError, TableError
from ssgr.jobs.paths import keys_of
from ssgr.publish.cards.facts import funnel_beside, name_of
from ssgr.publish.cards.model import environment
from ssgr.storage.atomic import whole_folder
from ssgr.storage.tables import Calibration, TokenSequences, read, read_spec

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
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K"}
"""The Hub's size categories of at most 1M, by their upper end."""


def export(
    calibration: Path, out: Path, *, model: Model | None = None, licence: str | None = None
) -> None:
    """Write a calibration set as a Hugging Face dataset folder with a card.

    ``calibration`` is what `select` wrote, or any Parquet file with ``token_ids``. ``model`` says
    whose tokens they are; None is the one that the file names.

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
    said: dict[str, Any] = {
        "name": out.name,
        "model": name_of(model),
        "licence": licence,
        "keys": keys_of(calibration),
        "funnel": funnel_beside(calibration),
    }
    with whole_folder(out) as aside:
        (aside / DATA).parent.mkdir()
        table.write_parquet(aside / DATA)
        (aside / "README.md").write_text(dataset_card(table, said), encoding="utf-8")


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


def dataset_card(table: pl.DataFrame, said: Mapping[str, Any]) -> str:
    """Return the card of a data set, in Markdown with the front matter that `datasets` reads.

    ``said``: name, model, licence (or None), keys (its point in the workflow) and funnel (rows).
    """
    lengths = table["input_ids"].list.len()
    size = next((name for end, name in SIZES.items() if len(table) < end), "100K<n<1M")
    files = {"split": "train", "path": "data/train-*.parquet"}
    front = DatasetCardData(
        license=said["licence"],
        task_categories=["text-generation"],
        size_categories=size,
        pretty_name=f"Calibration set {said['name']}",
        tags=["calibration", "pruning", "quantization", "ssgr"],
        configs=[{"config_name": "default", "data_files": [files]}],
    )
    counted = {"sequences": len(table), "tokens": lengths.sum(), "longest": lengths.max()}
    template = environment().get_template("dataset.md.j2")
    return template.render(front=front.to_yaml(), columns=table.columns, **counted, **said)


def _sequences(calibration: Path) -> pl.DataFrame:
    """The whole Calibration table, or of somebody else's file the tokens."""
    try:
        columns = pl.read_parquet_schema(calibration)
    except (pl.exceptions.PolarsError, OSError):  # `read` says what is wrong
        columns = {}
    ours = {*Calibration.column_names()} <= columns.keys()
    found = read(calibration, Calibration if ours else TokenSequences, cast=True)
    if found.is_empty():
        raise TableError(f"{calibration} holds no sequence: there is nothing to export")
    return found


def _model_of(calibration: Path) -> Model:
    """The model that `select` has written into the file's metadata."""
    said = read_spec(calibration) if calibration.is_file() else ""
    try:
        return Model.model_validate(json.loads(said)["select"]["model"])
    except (ValueError, TypeError, KeyError) as error:
        raise SsgrError(
            f"{calibration} does not say whose tokens it holds: name the model by --model"
        ) from error
