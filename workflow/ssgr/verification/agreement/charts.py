"""The chart of the agreement page: the distribution of the correctness ratio under each method."""

from collections.abc import Iterable

import altair as alt
import polars as pl

from ssgr.report.appearance import CORRECT, INK, MUTED
from ssgr.report.drawing import AXES, GAP, Layout, finish

BINS = 20
HEIGHT = 120
ABREAST = 3


def distribution(ratios: pl.DataFrame) -> pl.DataFrame:
    """Return how many problems of each method (as of `rates.ratios`) fall into each bin of c.

    Columns: method, right (upper end of the bin, which belongs to it: c <= tau is left of tau's
    line), problems; all bins of all methods. The first bin holds c = 0 alone.
    """
    place = (pl.col("ratio") * BINS - 1e-9).ceil().clip(0, BINS).cast(pl.Int64)
    counts = ratios.group_by("method", place.alias("bin")).agg(problems=pl.len().cast(pl.Int64))
    bins = pl.DataFrame({"bin": range(BINS + 1)}, schema={"bin": pl.Int64})
    every = ratios.select("method").unique(maintain_order=True).join(bins, how="cross")
    filled = every.join(counts, on=["method", "bin"], how="left", maintain_order="left")
    problems = pl.col("problems").fill_null(0)
    return filled.select("method", right=pl.col("bin") / BINS, problems=problems)


def ratio_panels(
    ratios: pl.DataFrame, configured: str, taus: Iterable[float], layout: Layout
) -> alt.ConcatChart:
    """Histograms of c, a panel per method; the outline is the configured one's, dashed the taus."""
    counts = distribution(ratios).with_columns(
        left=pl.col("right") - 1 / BINS,
        said=pl.format("{}: c up to {}: {} problems", "method", "right", "problems"),
    )
    base = counts.filter(method=configured)
    last = base.tail(1).with_columns(left="right", problems=pl.lit(0, dtype=pl.Int64))
    panels = counts.partition_by("method", maintain_order=True)
    abreast = min(len(panels), ABREAST if layout.columns > 1 else 1)
    width = (layout.width - GAP * (abreast - 1)) // abreast - AXES
    x = alt.X(
        "left:Q",
        title="correctness ratio c",
        scale=alt.Scale(domain=[-1 / BINS, 1], nice=False),
        axis=alt.Axis(grid=False, values=[0, 0.25, 0.5, 0.75, 1], format=".2f"),
    )
    scale = alt.Scale(domain=[0, max(1, *counts["problems"].to_list())], nice=True)
    y = alt.Y("problems:Q", title="problems", scale=scale, axis=alt.Axis(tickCount=4))
    marks = alt.Chart(pl.DataFrame({"at": sorted(taus)}, schema={"at": pl.Float64}))
    line = marks.mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    outline = alt.Chart(pl.concat([base, last])).mark_line(
        interpolate="step-after", color=MUTED, strokeWidth=1.2
    )
    drawn = []
    for rows in panels:
        method = rows["method"][0]
        bars = alt.Chart(rows).mark_rect(color=CORRECT, stroke="white", strokeWidth=0.5)
        layers = [bars.encode(x=x, x2="right", y=y, y2=alt.datum(0), description="said")]
        if method != configured:
            layers.append(outline.encode(x="left:Q", y="problems:Q"))
        title = f"{method} (configured)" if method == configured else method
        panel = alt.layer(*layers, line, title=title)
        drawn.append(panel.properties(width=width, height=HEIGHT))
    return finish(drawn, abreast)
