"""The model card of a pruned checkpoint, and the folder to publish with it."""

from pathlib import Path
from typing import Any

import polars as pl
import yaml
from huggingface_hub import ModelCardData
from jinja2 import Environment

from ssgr.config.labels import pruner_name, sparsity_name
from ssgr.jobs.grid import NONE
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES, read_summary
from ssgr.publish.cards.facts import Facts, facts_of
from ssgr.report import typesetting
from ssgr.report.citation import entries
from ssgr.root import ROOT
from ssgr.storage import tables
from ssgr.storage.atomic import take_along, whole_folder, write_text

README = "README.md"
SHOWN_KEYS = ("source", "tau", "length", "budget", "pruner")
BLOCK = r"^.*?\.\d+\."
"""The block's name, at the beginning of that of a matrix."""
EXPERT = r"\.\d+\."
REPORTS = {MATRICES: tables.PruningReport, BLOCKS: tables.BlockReport}
PRIVATE = "prune"
"""The part of a spec that holds the command as it was given: paths, addresses of servers."""


def card(facts: Facts) -> str:
    """Return the model card, in Markdown with front matter."""
    method = str(facts.summary.recipe.get("method", "pruning"))
    pattern, keys = facts.summary.pattern, facts.origin.keys
    sparsity = sparsity_name(facts.summary.sparsity).replace("\u00a0", " ")
    data = ModelCardData(
        base_model=facts.origin.dense.hub,
        license=facts.origin.dense.license,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["pruned", "sparse", method, *([sparsity] if pattern.group else []), "ssgr"],
    )
    weights = (pl.col("rows").cast(pl.Int64) * pl.col("columns")).alias("weights")
    counted = facts.matrices.select(weights, zeros=pl.col("achieved_sparsity") * weights).sum()
    template = environment().get_template("model.md.j2")
    return template.render(
        front=data.to_yaml(),
        citation="\n".join(entries(ROOT / "CITATION.cff")),
        facts=facts,
        dense=facts.origin.dense,
        summary=facts.summary,
        pruner=pruner_name(method),
        sparsity=sparsity,
        is_24=(pattern.zeros, pattern.group) == (2, 4),
        zeros=counted["zeros"][0],
        prunable=counted["weights"][0],
        keys={key: keys[key] for key in SHOWN_KEYS if keys.get(key, NONE) != NONE},
        recipe=yaml.safe_dump(facts.summary.recipe, sort_keys=False).strip(),
        layers=layers(facts.matrices).to_dicts(),
        blocks=facts.blocks.to_dicts(),
        scores=_compared(facts.scores),
        flagged=facts.matrices.filter(pl.col("warnings") != "").to_dicts(),
    )


def layers(matrices: pl.DataFrame) -> pl.DataFrame:
    """Return a PruningReport with the experts of a block as one row: their means, worst condition.

    ``count`` is how many matrices a row is of, ``warnings`` how many of them have one.
    """
    folded = pl.col("matrix").str.replace(BLOCK, "").str.replace_all(EXPERT, ".*.")
    return matrices.group_by("block", folded, maintain_order=True).agg(
        pl.len().alias("count"),
        pl.col("rows", "columns").first(),
        pl.col("achieved_sparsity", "relative_error").mean(),
        pl.col("condition", "damping").max(),
        pl.col("dead_inputs").sum(),
        (pl.col("warnings") != "").sum().alias("warnings"),
    )


def write_card(folder: Path, scores: pl.DataFrame | None = None) -> None:
    """Write a checkpoint's card into its folder; raises as `facts_of` and `write_text`."""
    write_text(folder / README, card(facts_of(folder, scores)))


def publish(folder: Path, out: Path, scores: pl.DataFrame | None = None) -> None:
    """Write a checkpoint as a folder to upload, with its scores and without this machine's paths.

    Nothing in ``folder`` changes; the weights in ``out`` are hard links if that can be.

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


def _compared(scores: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Per benchmark the rows of the dense and of the pruned model, in percent."""
    if scores is None:
        return []
    found = []
    for part in scores.partition_by("benchmark", maintain_order=True):
        rows = {"dense" if row["dense"] else "pruned": row for row in part.to_dicts()}
        found.append({"benchmark": part["benchmark"][0], "dense": None, **rows})
    return found


def environment() -> Environment:
    """Return what renders the cards' templates."""
    found = typesetting.environment("ssgr.publish.cards")
    found.filters |= {"three": _three, "size": _size, "cell": _cell}
    return found.overlay(autoescape=False, keep_trailing_newline=True)  # it is Markdown


def _three(number: float | None) -> str:
    """Three significant digits; a dash for what is not known."""
    if number is None:
        return "\N{EN DASH}"
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if 100 <= abs(rounded) < 1e6 else f"{number:.3g}"


def _size(count: int) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min((len(str(count)) - 1) // 3, len(units) - 1)
    return f"{count / 1000**power:.3g} {units[power]}"


def _cell(text: object) -> str:
    """Text that can stand in a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
