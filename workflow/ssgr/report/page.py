"""The page: tables and charts set in one HTML file that needs neither network nor script.

Everything is inlined: the style sheet, and each chart as SVG, once for a wide page and once for a
phone. Numbers are formatted here and in the template, nowhere computed.
"""

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata, resources
from typing import Any

import altair as alt
import polars as pl
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ssgr.config import REFERENCE_LENGTHS, Config
from ssgr.labels import setting_name
from ssgr.points import NONE
from ssgr.report import charts, pool_charts, pool_statistics, pruning
from ssgr.report.appearance import AVERAGE, benchmark_names, colours
from ssgr.report.comparison import compare, headline, with_average
from ssgr.report.drawing import Layout, figure
from ssgr.report.gather import ReportTables

Row = dict[str, Any]
STEPS = {"pool": "visited"}
"""Steps of a funnel that read better under another name."""
SOFTWARE = ("ssgr", "torch", "transformers", "vllm", "math-verify", "polars", "snakemake")


def render(
    tables: ReportTables,
    config: Config,
    *,
    made: datetime | None = None,
    versions: Mapping[str, str] | None = None,
) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        tables: what ``gather`` found.
        config: what was run.
        made: the date shown; default is now.
        versions: name and version of the software that ran; default is what is installed here.
    """
    averaged = compare(with_average(tables.scores))
    hues = colours(config)
    return (
        environment("ssgr.report")
        .get_template("template.html.j2")
        .render(
            config=config,
            style=style("ssgr.report"),
            sentences=headline(averaged, config),
            hues=hues,
            header=_header(tables.scores, config),
            models=[
                {"name": model}
                | _results(averaged.filter(pl.col("model") == model), config, hues)
                | _calibrations(tables, model)
                | pruning.section(tables.checkpoints, tables.blocks, model, hues)
                | {"pools": _pools(tables, model, config), "removed": _removed(tables, model)}
                for model in config.run.models
            ],
            timed_out=tables.scores["timed_out"].sum(),
            source_yaml=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
            made=made or datetime.now(UTC),
            versions=installed_versions() if versions is None else versions,
        )
    )


def environment(package: str) -> Environment:
    """Return what renders the templates of a package, with the filters for numbers."""
    found = Environment(
        loader=PackageLoader(package, "."),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"three": _three_digits, "two": _two_digits}
    return found


def style(package: str) -> Markup:
    """Return the style sheet of a package."""
    return Markup(resources.files(package).joinpath("style.css").read_text("utf-8"))


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the software that a run rests on, as far as it is installed."""
    found = {"Python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _header(scores: pl.DataFrame, config: Config) -> list[Row]:
    """The columns of the main table: name, role and number of problems of each benchmark."""
    problems = dict(scores.select("benchmark", "problems").iter_rows())
    return [
        {"name": name, "role": config.benchmarks[key].role, "problems": problems[key]}
        for key, name in benchmark_names(config).items()
    ]


def _results(averaged: pl.DataFrame, config: Config, hues: dict[str, str]) -> Row:
    """The main table's blocks of one model, and its charts of accuracy and length."""
    model = averaged["model"][0]
    names = benchmark_names(config)
    if len(names) > 1:
        names |= {AVERAGE: AVERAGE}
    averaged = averaged.filter(pl.col("benchmark").is_in(list(names)))
    blocks = averaged.partition_by("pruner", "sparsity", maintain_order=True)
    figures: dict[str, Callable[[Layout], alt.ConcatChart]] = {
        "accuracy": lambda layout: charts.accuracy(averaged, names, hues, layout),
        "lengths": lambda layout: charts.lengths(averaged, names, hues, layout),
        "truncation": lambda layout: charts.truncation(averaged, names, hues, layout),
    }
    return {
        "blocks": [_block(block, list(names)) for block in blocks],
        "truncates": averaged["truncated"].max() != 0,
    } | {name: figure(f"{name}-{model}", draw) for name, draw in figures.items()}


def _block(block: pl.DataFrame, benchmarks: list[str]) -> Row:
    """One pruner at one sparsity: its rows, each with a cell per benchmark and the average."""
    pruner, sparsity = block["pruner"][0], block["sparsity"][0]
    rows = [
        {
            "label": row["label"][0],
            "cells": [row.row(by_predicate=pl.col("benchmark") == key, named=True)
                      for key in benchmarks],
        }
        for row in block.partition_by("label", maintain_order=True)
    ]  # fmt: skip
    return {"heading": None if pruner == NONE else setting_name(pruner, sparsity), "rows": rows}


def _calibrations(tables: ReportTables, model: str) -> Row:
    """One model's calibration sets, each with the steps of its funnel."""
    sets = tables.calibrations.filter(pl.col("model") == model)
    entries = []
    for row in sets.iter_rows(named=True):
        steps = tables.funnel.filter(
            (pl.col("model") == model) & (pl.col("label") == row["label"])
        ).select("step", "problems", "responses")
        widest = max(steps["problems"].max() or 1, 1)
        row["unit"] = "documents" if row["length"] == "text" else "problems"
        row["of_responses"] = row["length"] not in REFERENCE_LENGTHS
        row["steps"] = [
            step | {"share": 100 * step["problems"] / widest,
                    "step": STEPS.get(step["step"], step["step"])}
            for step in steps.to_dicts()
        ]  # fmt: skip
        entries.append(row)
    return {"calibrations": entries}


def _removed(tables: ReportTables, model: str) -> list[Row]:
    """What the quality filters removed of each of one model's pools."""
    own = tables.removed.filter(model=model).partition_by("source", maintain_order=True)
    return [{"source": rows["source"][0], "filters": rows.to_dicts()} for rows in own]


def _pools(tables: ReportTables, model: str, config: Config) -> list[Row]:
    """Charts, counts and costs of the pools that one model's calibrations are taken from."""
    own = tables.pool.filter(pl.col("model") == model)
    found = []
    for rows in own.partition_by("source", maintain_order=True):
        cost = tables.costs.filter(model=model, source=rows["source"][0]).row(0, named=True)
        found.append(_pool(rows, cost, config))
    return found


def _pool(rows: pl.DataFrame, cost: Row, config: Config) -> Row:
    source, name = cost["source"], f"{cost['model']}-{cost['source']}"
    n, bands = config.sampling.n, pool_statistics.bands(config, source)
    problems = pool_statistics.by_problem(rows, n, bands)
    found = pool_statistics.extent(problems, cost["tokens"], cost["source_problems"], n)
    return {
        "source": source,
        "n": n,
        "stopped": problems["whole"].not_().sum(),
        "fewest": problems["drawn"].min(),
        "correct": pool_statistics.correctness(problems),
        "extent": found,
        "scopes": _scopes(found, n),
        "cost": cost,
        "ratios": figure(
            f"ratios-{name}", lambda layout: pool_charts.ratios(problems, bands, n, layout)
        ),
        "lengths": figure(f"pool-{name}", lambda layout: pool_charts.lengths(rows, layout)),
    }


def _scopes(extent: pool_statistics.Extent, n: int) -> list[Row]:
    """What was drawn, and what more would be, each named; what is the same is shown once."""
    named = {
        "drawn": extent.drawn,
        f"all {n} responses to the visited problems": extent.visited,
        f"all {n} responses to every problem": extent.source,
    }
    shown = {scope: name for name, scope in reversed(named.items())}
    most = max(scope.tokens for scope in shown) or 1
    return [
        {"name": name, "scope": scope, "percent": 100 * scope.tokens / most}
        for scope, name in reversed(shown.items())
    ]


def _three_digits(number: float) -> str:
    """A number with three significant digits, whole if it is larger."""
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{number:.3g}"


def _two_digits(percent: float) -> str:
    """A percentage with one decimal, or with two significant digits if it is small."""
    return f"{percent:.1f}" if percent >= 9.95 else f"{percent:.2g}"
