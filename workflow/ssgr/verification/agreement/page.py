"""The page of the agreement between grading methods, as one self-contained HTML file.

It shares the report's style sheet and charts. Numbers are formatted here and in the template; they
are computed in `rates` and `selections`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.grading.methods import METHODS
from ssgr.report.drawing import figure
from ssgr.report.filters import excerpt
from ssgr.report.pool_statistics import bands
from ssgr.report.provenance import installed_versions
from ssgr.report.typesetting import environment, style
from ssgr.selection.rules import MARGIN
from ssgr.verification.agreement import charts, rates
from ssgr.verification.agreement.gather import AuditedPool
from ssgr.verification.agreement.rates import RESPONSE
from ssgr.verification.agreement.selections import overlap

Row = dict[str, Any]
SHOWN = 12
"""Ways to disagree that are shown."""
LISTED = 20
"""Responses that are listed by name."""
END = 240
"""Characters shown of the end of a response."""
NEARLY = 0.9995
"""Shares that would be rounded to 100 %."""


def render(
    pools: Sequence[AuditedPool],
    config: Config,
    *,
    made: datetime | None = None,
    versions: Mapping[str, str] | None = None,
) -> str:
    """Return the page, with a date (now) and the versions of software (those installed)."""
    package = "ssgr.verification.agreement"
    template = environment(package).get_template("template.html.j2")
    return template.render(
        config=config,
        style=style("ssgr.report") + style(package),
        pools=[_pool(pool, config) for pool in pools],
        made=made or datetime.now(UTC),
        versions=installed_versions() if versions is None else versions,
    )


def _pool(pool: AuditedPool, config: Config) -> Row:
    """Everything that the page says of one pool."""
    order = pl.Enum(list(dict.fromkeys([pool.configured, *METHODS])))
    verdicts = pool.verdicts.sort(pl.col("method").cast(order), *RESPONSE)
    said = rates.said(verdicts)
    made_for = said.filter("decides")["method"].to_list()
    compared = verdicts.filter(pl.col("method").is_in([*made_for, pool.configured]))
    pairs = {(row["method"], row["other"]): row for row in rates.pairwise(compared).to_dicts()}
    ways = rates.disagreements(compared)
    rest = ways.slice(SHOWN)
    return {
        "model": pool.model,
        "source": pool.source,
        "configured": pool.configured,
        "responses": len(pool.grades),
        "problems": pool.grades["problem_id"].n_unique(),
        "judged_otherwise": pool.judged_otherwise,
        "methods": said.to_dicts(),
        "compared": compared["method"].unique(maintain_order=True).to_list(),
        "not_made_for": said.filter(~pl.col("decides"))["method"].to_list(),
        "pairs": pairs,
        "agrees": _agrees(pairs, pool.configured),
        "contradicted": int(ways.filter("contradiction")["responses"].sum()),
        "unread": int(ways.filter(~pl.col("contradiction"))["responses"].sum()),
        "ways": _ways(ways.head(SHOWN), compared, pool),
        "more_ways": {"ways": len(rest), "responses": int(rest["responses"].sum())},
        "times": rates.times(verdicts, pool.problems).to_dicts(),
        "selections": [_selection(label, compared, pool, config) for label in pool.calibrations],
        **_ratios(compared, pool, config),
    }


def _agrees(pairs: Mapping[tuple[str, str], Row], configured: str) -> list[tuple[str, str]]:
    """On how many responses the configured method agrees with others, and with which, in words."""
    others: dict[str, list[str]] = {}
    for (method, other), row in pairs.items():
        if method == configured != other:
            off = row["only_method"] + row["only_other"]
            share = f"all but {off:,}" if off else "all"
            if row["share"] < NEARLY:
                share = f"{100 * row['share']:.1f}\u00a0%"
            others.setdefault(share, []).append(other)
    return [(" and ".join(filter(None, [", ".join(names[:-1]), names[-1]])), share)
            for share, names in others.items()]  # fmt: skip


def _ways(ways: pl.DataFrame, verdicts: pl.DataFrame, pool: AuditedPool) -> list[Row]:
    """Ways to disagree: who says what, and examples with question, gold and answers."""
    methods = verdicts["method"].unique(maintain_order=True).to_list()
    shown = ways.select(pl.col("examples").explode()).unnest("examples")
    texts = pool.texts(shown)
    seen = verdicts.join(shown, on=RESPONSE, how="semi", maintain_order="left")
    seen = seen.join(pool.problems, on="problem_id", maintain_order="left")
    examples = {
        key: _example(rows, texts[key])
        for key, rows in seen.partition_by(RESPONSE, as_dict=True, maintain_order=True).items()
    }
    return [
        {
            **way,
            "says": [(method, way[method]) for method in methods],
            "examples": [examples[one["problem_id"], one["sample"]] for one in way["examples"]],
        }
        for way in ways.to_dicts()
    ]


def _example(rows: pl.DataFrame, text: str) -> Row:
    """A response as each method sees it; methods that read the same answer stand together."""
    problem = rows.row(0, named=True)
    read = list(rows.select("extracted", "method", "verdict").iter_rows())
    read.sort(key=lambda row: (row[0] is None, row[0] or ""))
    return {
        "problem_id": problem["problem_id"],
        "sample": problem["sample"],
        "question": excerpt(problem["question"]),
        "end": excerpt(text[-END:]),
        "gold": excerpt(problem["answer"]),
        "answers": [
            {"text": found and excerpt(found), "says": [said for _, *said in group]}
            for found, group in groupby(read, key=lambda row: row[0])
        ],
    }


def _ratios(compared: pl.DataFrame, pool: AuditedPool, config: Config) -> Row:
    """The chart of c, and who changes the side of which threshold."""
    ratios = rates.ratios(compared)
    kept = [band for band in bands(config, pool.source) if band != (0.0, 1.0)]
    ends = {end for band in kept for end in band if MARGIN < end < 1 - MARGIN}
    sides = rates.sides(ratios, pool.configured, kept)
    means = ratios.group_by("method", maintain_order=True).agg(mean=pl.col("ratio").mean())
    return {
        "mean_ratio": dict(means.iter_rows()),
        "bands": [{"low": low, "high": high} for low, high in kept],
        "sides": {(row["low"], row["high"], row["method"]): row for row in sides.to_dicts()},
        "ratios": figure(
            f"ratios-{pool.model}-{pool.source}",
            lambda layout: charts.ratio_panels(ratios, pool.configured, ends, layout),
        ),
    }


def _selection(label: str, compared: pl.DataFrame, pool: AuditedPool, config: Config) -> Row:
    """What one calibration would take under each method, of the problems that it visited."""
    calibration, shards = pool.calibrations[label]
    grades = pool.grades.filter(pl.col("shard").is_in(list(shards))).drop("shard")
    by_method = compared.partition_by("method", as_dict=True, maintain_order=True)
    verdicts = {str(method): rows for (method,), rows in by_method.items()}
    budget = config.budget.of_calibration(calibration)
    rows = overlap(grades, verdicts, pool.configured, calibration, config.filters, budget)
    return {
        "label": label,
        "tau": calibration.tau,
        "length": calibration.length,
        "problems": grades["problem_id"].n_unique(),
        "sequences": budget.sequences,
        "listed": LISTED,
        "rows": rows,
        "configured": next(row for row in rows if row["method"] == pool.configured),
    }
