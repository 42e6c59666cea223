"""The charts of scores and errors: tables in, Altair charts out. A calibration has one colour.

Each chart is drawn twice, for a desktop and for a phone: text in a shrunken chart is unreadable.
"""

from dataclasses import replace

import altair as alt
import polars as pl

from ssgr.config.labels import setting_name
from ssgr.jobs.grid import DENSE
from ssgr.report.appearance import INK
from ssgr.report.drawing import (
    Layout,
    Panel,
    band_axis,
    chosen_in_legend,
    colour,
    faint_unless,
    finish,
    fixed,
)

WIDEST_BAR = 44
Hues = dict[str, str]


def accuracy(
    scores: pl.DataFrame, names: dict[str, str], hues: Hues, layout: Layout
) -> alt.ConcatChart:
    """pass@1 with 95 % error bars per benchmark and calibration, a panel per pruner and sparsity.

    Args:
        scores: one model's scores with the average, as of ``comparison.with_average``.
        names: displayed name of each benchmark key, in order.
        hues: colour of each label.
        layout: room for the chart.
    """
    percent = scores.with_columns(
        value=100 * pl.col("pass_at_1"), error=196 * pl.col("standard_error")
    ).with_columns(
        low=(pl.col("value") - pl.col("error")).clip(0, 100),
        high=(pl.col("value") + pl.col("error")).clip(0, 100),
        said=pl.format("{} ± {} %", fixed("value", 1), fixed("error", 1)),
    )
    return _by_benchmark(percent, names, hues, layout, "pass@1, %")


def lengths(
    scores: pl.DataFrame, names: dict[str, str], hues: Hues, layout: Layout
) -> alt.ConcatChart:
    """Mean response length (the paper's Figure 5), in tokens; arguments as of accuracy."""
    tokens = scores.with_columns(value=pl.col("mean_tokens")).with_columns(
        said=pl.format("{} tokens", fixed("value", 0))
    )
    return _by_benchmark(tokens, names, hues, layout, "mean length, tokens")


def truncation(
    scores: pl.DataFrame, names: dict[str, str], hues: Hues, layout: Layout
) -> alt.ConcatChart:
    """Share of responses cut at the longest length; arguments as of accuracy."""
    low = replace(layout, height=layout.height // 2)
    percent = scores.with_columns(value=100 * pl.col("truncated")).with_columns(
        said=pl.format("{} % truncated", fixed("value", 1))
    )
    return _by_benchmark(percent, names, hues, low, "truncated, %")


def block_errors(blocks: pl.DataFrame, hues: Hues, layout: Layout) -> alt.ConcatChart:
    """Relative error of what leaves each block, a line per calibration, a panel per setting.

    ``blocks`` are one model's rows with a measured error.
    """
    panels = blocks.partition_by("pruner", "sparsity", maintain_order=True)
    abreast, width = layout.panel(len(panels))
    highest = 100 * float(blocks["relative_error"].max() or 0)  # type: ignore[arg-type]
    labels = blocks["label"].unique(maintain_order=True).to_list()
    chosen = chosen_in_legend()
    drawn: list[Panel] = []
    for panel in panels:
        said = pl.format("{}, block {}: {} %", "label", "block", fixed("percent", 2))
        rows = panel.with_columns(percent=100 * pl.col("relative_error")).with_columns(said=said)
        count = rows["block"].n_unique()
        base = alt.Chart(rows, title=setting_name(panel["pruner"][0], panel["sparsity"][0]))
        lines = base.mark_line(
            strokeWidth=2, point=alt.OverlayMarkDef(size=36, filled=True)
        ).encode(
            x=alt.X("block:Q", title="block", axis=alt.Axis(
                grid=False, format="d", tickMinStep=1, tickCount=min(count, 10))),
            y=alt.Y("percent:Q", title="error of hidden states, %",
                    scale=alt.Scale(domain=[0, highest], nice=True)),
            color=colour(labels, hues, layout),
            description="said",
            opacity=faint_unless(chosen),
        )  # fmt: skip
        drawn.append(lines.properties(width=width, height=layout.height))
    return finish(drawn, abreast, chosen)


def _by_benchmark(
    rows: pl.DataFrame, names: dict[str, str], hues: Hues, layout: Layout, title: str
) -> alt.ConcatChart:
    """Grouped bars of ``value`` with the dense model as a line across each group.

    ``rows`` hold label, benchmark, value, said, and low and high where there is an error.
    """
    named = rows.with_columns(
        name=pl.col("benchmark").replace_strict(names, return_dtype=pl.String),
        said=pl.format("{}, {}: {}", "label", pl.col("benchmark").replace(names), "said"),
    )
    dense = named.filter(pl.col("label") == DENSE)
    panels = named.filter(pl.col("label") != DENSE).partition_by(
        "pruner", "sparsity", maintain_order=True
    )
    abreast, room = layout.panel(len(panels))
    bars = max(panel["label"].n_unique() for panel in panels)
    width = min(room, len(names) * (bars * WIDEST_BAR + 24))
    labels = [label for label in named["label"].unique(maintain_order=True) if label != DENSE]
    reach = "high" if "high" in named.columns else "value"
    highest = float(named[reach].max() or 0)  # type: ignore[arg-type]
    order = list(names.values())
    x = alt.X("name:N", title=None, sort=order, axis=band_axis(order, width))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domain=[0, max(highest, 1)], nice=True))
    hue = colour([*labels, DENSE], hues, layout)
    chosen = chosen_in_legend()
    drawn = [
        _groups(panel, dense, x, y, hue, chosen).properties(width=width, height=layout.height)
        for panel in panels
    ]
    return finish(drawn, abreast, chosen)


def _groups(
    panel: pl.DataFrame,
    dense: pl.DataFrame,
    x: alt.X,
    y: alt.Y,
    hue: alt.Color,
    chosen: alt.Parameter,
) -> Panel:
    """One pruner at one sparsity: its bars, their error bars, the dense model's lines."""
    offset = alt.XOffset("label:N", sort=panel["label"].unique(maintain_order=True).to_list())
    bars = alt.Chart(panel).encode(x=x, xOffset=offset)
    bar = bars.mark_bar().encode(y=y, color=hue, description="said", opacity=faint_unless(chosen))
    layers = [bar]
    if "low" in panel.columns:
        low = y.copy()
        low["shorthand"] = "low:Q"
        layers.append(
            bars.mark_rule(color=INK).encode(
                y=low, y2="high:Q", description="said", opacity=faint_unless(chosen, 0.75)
            )
        )
    start, end = x.copy(), alt.X2("name:N", bandPosition=1)
    start["bandPosition"] = 0
    across = alt.Chart(dense).mark_rule(strokeWidth=2.2)
    layers.append(across.encode(x=start, x2=end, y=y, color=hue, description="said"))
    heading = setting_name(panel["pruner"][0], panel["sparsity"][0])
    return alt.layer(*layers).properties(title=heading)
