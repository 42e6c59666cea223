"""The page of a run: tables and charts set in one HTML file that needs no network.

Everything is inlined: the style sheet, each chart as SVG, once for a wide page and once for a
phone, and the script that makes them answer to the pointer; without script all is read as well.
Numbers are formatted here and in the templates, nowhere computed.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import altair as alt
import polars as pl

from ssgr.config import REFERENCE_LENGTHS, Config
from ssgr.config.labels import setting_name
from ssgr.jobs.grid import NONE
from ssgr.report import breakdowns, charts, pool_charts, pool_statistics, pruning
from ssgr.report.appearance import AVERAGE, benchmark_names, calibration_names, colours
from ssgr.report.comparison import compare, headline, with_average
from ssgr.report.drawing import Layout
from ssgr.report.gather import ReportTables
from ssgr.report.live import figure, script
from ssgr.report.provenance import provenance
from ssgr.report.responses import responses
from ssgr.report.samples import confidential
from ssgr.report.typesetting import environment, style
from ssgr.report.visited import KEYS

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
    names = calibration_names(config)
    tables = tables.called(names)
    averaged = compare(with_average(tables.scores))
    hues = {names.get(label, label): hue for label, hue in colours(config).items()}
    run = config.selection()
    return (
        environment("ssgr.report")
        .get_template("template.html.j2")
        .render(
            config=config,
            title=config.title,
            style=style("ssgr.report"),
            script=script(),
            sentences=headline(tables.findings, config),
            hues=hues,
            several_models=len(run.models) > 1,
            header=_header(tables.scores, config),
            models=[
                {"name": model}
                | _results(averaged.filter(pl.col("model") == model), config, hues)
                | _calibrations(tables, model)
                | pruning.section(tables.checkpoints, tables.blocks, model, hues)
                for model in config.run.models
            ],
            pools=_pools(tables, config),
            timed_out=tables.scores["timed_out"].sum(),
            responses=responses(tables.scores, config),
            samples=tables.samples,
            confidential=confidential(config, run.benchmarks),
            breakdowns=breakdowns.sections(tables.breakdowns, config),
            provenance=provenance(
                config,
                models=run.models,
                sources=dict.fromkeys(entry.source for entry in run.calibrations.values()),
                benchmarks=run.benchmarks,
                made=made,
                versions=versions,
            ),
        )
    )


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


def _pools(tables: ReportTables, config: Config) -> list[Row]:
    """Charts, counts, costs and losses of each pool that calibrations are taken from."""
    found = []
    for rows in tables.pool.partition_by(KEYS, maintain_order=True):
        keys = rows.row(0, named=True)
        own = {key: keys[key] for key in KEYS}
        cost = tables.costs.filter(**own).row(0, named=True)
        usual = config.sources[keys["source"]].method
        filters = tables.removed.filter(**own).to_dicts()
        judged = {"judged_by": None if keys["verifier"] == usual else keys["verifier"]}
        found.append(_pool(rows, cost, config) | own | judged | {"filters": filters})
    return [pool | {"name": _pool_name(pool, found)} for pool in found]


def _pool_name(pool: Row, pools: list[Row]) -> str:
    """A pool by its source, if that says which one it is."""
    if sum(one["source"] == pool["source"] for one in pools) == 1:
        return str(pool["source"])
    by = f", judged by {pool['judged_by']}" if pool["judged_by"] else ""
    return f"{pool['model']} on {pool['source']}{by}"


def _pool(rows: pl.DataFrame, cost: Row, config: Config) -> Row:
    source, name = cost["source"], "-".join(cost[key] for key in KEYS)
    n, bands = config.sampling.n, pool_statistics.bands(config, source)
    problems = pool_statistics.by_problem(rows, n, bands)
    found = pool_statistics.extent(problems, cost["tokens"], cost["source_problems"], n)
    return {
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
