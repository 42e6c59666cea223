"""A checkpoint as a folder to upload: with its scores, without what is this machine's business."""

from pathlib import Path

import polars as pl

from ssgr.pruning.output.summary import BLOCKS, MATRICES, SUMMARY, read_summary
from ssgr.publish.cards.model import README, write_card
from ssgr.storage import tables
from ssgr.storage.atomic import take_along, whole_folder

REPORTS = {MATRICES: tables.PruningReport, BLOCKS: tables.BlockReport}
PRIVATE = "prune"
"""The part of a spec that holds the command as it was given: paths, addresses of servers."""


def publish(folder: Path, out: Path, scores: pl.DataFrame | None = None) -> None:
    """Write ``out``: the checkpoint ``folder``, its weights as hard links if that can be.

    Args:
        folder: what `ssgr prune` wrote; nothing in it changes.
        out: folder to write.
        scores: for the card, as of `ssgr.publish.cards.facts.Facts`.

    Raises:
        SsgrError: ``out`` exists, or cannot be written.
        TableError: one of the checkpoint's reports is missing, or is none.
    """
    made_anew = {README, SUMMARY, *REPORTS}
    files = [file for file in folder.iterdir() if file.is_file() and file.name not in made_anew]
    weights = [file for file in files if file.suffix == ".safetensors"]
    others = [file for file in files if file not in weights and not file.name.startswith(".")]
    summary = read_summary(folder)
    spec = {key: value for key, value in summary.spec.items() if key != PRIVATE}
    with whole_folder(out) as aside:
        take_along(weights, aside, link=True)
        take_along(others, aside)
        said = summary.model_copy(update={"spec": spec})
        (aside / SUMMARY).write_text(said.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for name, schema in REPORTS.items():
            tables.write(tables.read(folder / name, schema), schema, aside / name)
        write_card(aside, scores)
