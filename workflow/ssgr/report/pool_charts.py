"""The charts of a pool: correctness ratios of its problems, lengths of its responses."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from ssgr.report.appearance import CORRECT, INK, STOPPED, WRONG
from ssgr.report.drawing import CHARACTER, Layout, Panel, finish
from ssgr.report.pool_statistics import UNKNOWN, Bands

BINS = 32
HEIGHT = 190
FILL = 0.86
"""Share of its place that a bar takes."""
BETWEEN = 12
"""Pixels between the names under bars."""


def ratios(problems: pl.DataFrame, bands: Bands, n: int, layout: Layout) -> alt.ConcatChart:
    """Histogram of the correctness ratio c = k/n over the problems of one source's pool.

    Problems that were stopped early stand beside it, in bars of their own.

    Args:
        problems: as of ``pool_statistics.by_problem``.
        bands: of c, that calibrations of this run keep; their ends are drawn as lines.
        n: responses that a full pool has of each problem.
        layout: room for the chart.
    """
    half = 0.5 / n
    _, width = layout.panel(2)
    stopped = _stopped(problems, half, width)
    bars = pl.concat([_exact(problems, half, n), stopped.select(_BAR)])
    edge = max([1 + half, *stopped["edge"]])
    names = dict(stopped.select("at", "name").iter_rows())
    histogram = (
        alt.Chart(bars)
        .mark_rect()
        .encode(
            x=_axis(f"correctness ratio c = k/{n}", [-half, edge], names),
            x2="right",
            y=alt.Y("problems:Q", title="problems", scale=alt.Scale(domainMin=0, nice=True)),
            y2=alt.datum(0),
            color=_meaning(bars["kind"].unique(maintain_order=True).to_list(), n),
            description="said",
        )
    )
    return finish(
        [alt.layer(histogram, *_limits(bands, half)).properties(width=width, height=HEIGHT)], 1
    )


_BAR = ("left", "right", "problems", "kind", "said")
_EXACT, _STOPPED = "exact", "stopped"
_ONE = pl.col("problems") == 1
_COUNTED = pl.format(
    "{} {}", "problems", pl.when(_ONE).then(pl.lit("problem")).otherwise(pl.lit("problems"))
)


def _exact(problems: pl.DataFrame, half: float, n: int) -> pl.DataFrame:
    """A bar for each c of the problems whose n responses are all drawn: columns _BAR."""
    counts = problems.filter("whole").group_by("correct").agg(problems=pl.len()).sort("correct")
    at = pl.col("correct") / n
    return counts.with_columns(
        left=at - FILL * half,
        right=at + FILL * half,
        kind=pl.lit(_EXACT),
        said=pl.format("c = {} / {}: {}", "correct", pl.lit(n), _COUNTED),
    ).select(_BAR)


def _stopped(problems: pl.DataFrame, half: float, width: int) -> pl.DataFrame:
    """A bar for each thing known of the others: columns _BAR, at, name, edge (of its place)."""
    counts = (
        problems.filter(~pl.col("whole"))
        .group_by("known")
        .agg(problems=pl.len(), middle=(pl.col("low") + pl.col("high")).mean())
        .sort(pl.col("known") == UNKNOWN, "middle", "known")
        .with_row_index("place")
    )
    start = 1 + 2 * half
    room = max(2 * half, _room(counts["known"].to_list(), start + half, width))
    at = start + (pl.col("place") + 0.5) * room
    return counts.with_columns(
        left=at - FILL * half,
        right=at + FILL * half,
        kind=pl.lit(_STOPPED),
        said=pl.format("stopped early, c {}: {}", "known", _COUNTED),
        at=at,
        name="known",
        edge=at + 0.5 * room,
    )


def _room(names: Sequence[str], before: float, width: int) -> float:
    """How much of the axis a name needs, if ``width`` pixels hold them all and ``before``."""
    pixels = max(map(len, names), default=0) * CHARACTER + BETWEEN
    return pixels * before / max(width - len(names) * pixels, width / 2)


def _axis(title: str, domain: list[float], names: dict[float, str]) -> alt.X:
    """The axis of c, which goes on beyond 1 with named places."""
    said = "format(datum.value, '.2f')"
    for at, name in names.items():
        said = f"abs(datum.value - {at}) < 1e-6 ? '{name}' : {said}"
    values = [0, 0.25, 0.5, 0.75, 1, *names]
    axis = alt.Axis(
        grid=False, values=values, tickCount=len(values), labelExpr=said, labelOverlap=False
    )
    return alt.X("left:Q", title=title, scale=alt.Scale(domain=domain, nice=False), axis=axis)


def _meaning(kinds: Sequence[str], n: int) -> alt.Color:
    """Colours of the kinds of bars, with a legend if some problems were stopped."""
    said = f"datum.label == '{_EXACT}' ? 'all {n} drawn: c is exact' : 'stopped early'"
    hues = {_EXACT: CORRECT, _STOPPED: STOPPED}
    legend = alt.Legend(
        orient="top", symbolType="square", symbolStrokeWidth=0, symbolSize=110, labelExpr=said
    )
    scale = alt.Scale(domain=list(kinds), range=[hues[kind] for kind in kinds])
    return alt.Color(
        "kind:N", title=None, scale=scale, legend=legend if _STOPPED in kinds else None
    )


def _limits(bands: Bands, half: float) -> list[Panel]:
    """Named vertical lines at the ends of the bands; 0 and 1 are no limits."""
    highest = {(high + half, f"τ = {high:.2f}") for _, high in bands if high < 1}
    lowest = {(low - half, f"c ≥ {low:.2f}") for low, _ in bands if low > 0}
    ordered = enumerate(sorted(highest | lowest))
    return [_limit(at, name, 14 * row) for row, (at, name) in ordered]


def _limit(at: float, name: str, drop: int) -> Panel:
    """A named vertical line, its name ``drop`` pixels below the top."""
    base = alt.Chart(pl.DataFrame({"at": [at], "name": [name]})).encode(x="at:Q")
    text = base.mark_text(align="right", dx=-5, baseline="top", color=INK, fontSize=12)
    line = base.mark_rule(color=INK, strokeDash=[4, 3])
    return alt.layer(line, text.encode(y=alt.value(2 + drop), text="name:N"))


def lengths(rows: pl.DataFrame, layout: Layout) -> alt.ConcatChart:
    """Token lengths of the correct and of the wrong responses of one source's pool."""
    longest = max(float(rows["tokens"].max() or 1), 1.0)  # type: ignore[arg-type]
    areas = (
        alt.Chart(length_shares(rows, longest))
        .mark_area(interpolate="step-after", opacity=0.55, line={"strokeWidth": 1.5})
        .encode(
            x=alt.X("start:Q", title="response length, tokens", axis=alt.Axis(grid=False),
                    scale=alt.Scale(domain=[0, longest], nice=False)),
            y=alt.Y("share:Q", title="% of its kind", stack=None),
            color=alt.Color(
                "verdict:N",
                title=None,
                scale=alt.Scale(domain=["correct", "wrong"], range=[CORRECT, WRONG]),
                legend=alt.Legend(orient="top", symbolType="square"),
            ),
        )
    )  # fmt: skip
    _, width = layout.panel(2)
    return finish([areas.properties(width=width, height=HEIGHT)], 1)


def length_shares(rows: pl.DataFrame, longest: float) -> pl.DataFrame:
    """Return what share of the correct and of the wrong responses falls into each bin of length.

    Every problem weighs 1, shared by its responses: one that was stopped early counts in full.

    Args:
        rows: one source's rows of ``ReportTables.pool``.
        longest: upper end of the last of BINS bins, in tokens.

    Returns:
        verdict, bin, share (in percent of the verdict) and start (of the bin, in tokens); a last
        bin of share 0 closes the outline.
    """
    step = longest / BINS
    judged = rows.select(
        verdict=pl.when("correct").then(pl.lit("correct")).otherwise(pl.lit("wrong")),
        bin=(pl.col("tokens") / step).floor().clip(0, BINS - 1).cast(pl.Int64),
        weight=1 / pl.len().over("problem_id"),
    )
    counts = (
        judged.with_columns(total=pl.col("weight").sum().over("verdict"))
        .group_by("verdict", "bin")
        .agg(share=100 * pl.col("weight").sum() / pl.col("total").first())
    )
    every = pl.DataFrame({"bin": range(BINS + 1)}, schema={"bin": pl.Int64})
    return (
        every.join(judged.select("verdict").unique(), how="cross")
        .join(counts, on=["verdict", "bin"], how="left")
        .with_columns(pl.col("share").fill_null(0.0), start=pl.col("bin") * step)
        .sort("verdict", "bin")
    )
