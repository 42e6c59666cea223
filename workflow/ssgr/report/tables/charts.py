"""The chart of an experiment: bars with error bars, or lines with bands where the axis is ordered.

The axis of the table's columns runs along x, the calibrations side by side; a panel for each of the
settings that are left. Published numbers are hollow diamonds, joined where ours are; the dense
model is a line across.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import altair as alt
import polars as pl

from ssgr.config import Config
from ssgr.config.labels import pruner_name, sparsity_name
from ssgr.jobs.grid import DENSE
from ssgr.report.appearance import HUES, INK, hues_of
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
from ssgr.report.tables.order import Order, order
from ssgr.report.tables.published import AVERAGE

WIDEST_LINES = 520
SETTING = ("model", "pruner", "sparsity")
TITLES = {"pass@1": "pass@1, %", "response_tokens": "mean length, tokens"}
PUBLISHED = "published"


@dataclass(frozen=True)
class Frame:
    """What all layers of a panel share: its width in pixels, the y axis, what is chosen."""

    width: int
    layout: Layout
    y: alt.Y
    chosen: alt.Parameter

    def of(self, column: str) -> alt.Y:
        """The y axis for another column."""
        other = self.y.copy()
        other["shorthand"] = f"{column}:Q"
        return other


def draw(cells: pl.DataFrame, config: Config, name: str, layout: Layout) -> alt.ConcatChart:
    """Draw the chart of an experiment.

    Args:
        cells: its Cells.
        config: the whole configuration.
        name: of the experiment.
        layout: room for the chart.
    """
    experiment = config.experiments[name]
    rows = _rows(cells, config, name)
    along = order(config, name)
    x = along.of if along else experiment.columns
    pruned = rows.filter(pl.col("label") != DENSE)
    settings = [axis for axis in SETTING if axis != x]
    varying = [axis for axis in settings if pruned[axis].n_unique() > 1]
    panels = pruned.partition_by(settings, maintain_order=True)
    abreast, width = layout.panel(len(panels))
    y = alt.Y("value:Q", title=TITLES[experiment.measure],
              scale=alt.Scale(domain=_reach(rows, bool(along)), nice=True))  # fmt: skip
    chosen = chosen_in_legend()
    drawn: list[Panel] = []
    for panel in panels:
        dense = rows.filter(
            pl.col("label") == DENSE, pl.col("model").is_in(panel["model"].implode())
        )
        if along:
            frame = Frame(min(width, WIDEST_LINES), layout, y, chosen)
            layers = _lines(panel, dense, along, frame)
        else:
            frame = Frame(width, layout, y, chosen)
            layers = _bars(panel, dense, x, colour(_labels(rows), hues_of(cells, config), layout),
                           frame)  # fmt: skip
        title = ", ".join(_named(axis, panel[axis][0]) for axis in varying)
        pane = alt.layer(*layers).properties(width=frame.width, height=layout.height)
        drawn.append(pane.properties(title=title) if title else pane)
    return finish(drawn, abreast, chosen)


def _rows(cells: pl.DataFrame, config: Config, name: str) -> pl.DataFrame:
    """The numbers that are drawn, with displayed names and what each says of itself."""
    experiment = config.experiments[name]
    names = {key: entry.label or key for key, entry in config.benchmarks.items()}
    decimals, unit = (1, "%") if experiment.measure == "pass@1" else (0, "tokens")
    published = pl.format(", published {}", fixed("published", decimals)).fill_null("")
    return (
        cells.filter(pl.col("measure").cast(pl.String) == experiment.measure)
        .with_columns(
            name=pl.col("benchmark").replace(names),
            error=(pl.col("high") - pl.col("low")) / 2,
        )
        .with_columns(
            said=pl.format(
                f"{{}}, {{}}: {{}} ± {{}} {unit}{{}}",
                "label",
                "name",
                fixed("value", decimals),
                fixed("error", decimals),
                published,
            )
        )
        .select(*SETTING, "label", "benchmark", "name", "value", "low", "high", "published", "said")
    )


def _reach(rows: pl.DataFrame, zoomed: bool) -> list[float]:
    """The range of all panels: bars start at 0, lines at the lowest number that they show."""
    shown = ("value", "low", "high", "published")
    ends = rows.select(low=pl.min_horizontal(*shown).min(), high=pl.max_horizontal(*shown).max())
    low, high = (float(end) for end in ends.row(0))
    return [low if zoomed else 0.0, high or 1.0]


def _named(axis: str, key: str) -> str:
    return {"pruner": pruner_name, "sparsity": sparsity_name}.get(axis, str)(key)


def _labels(rows: pl.DataFrame) -> list[str]:
    """The labels of a legend, the dense model's last."""
    labels: list[str] = rows["label"].unique(maintain_order=True).to_list()
    return sorted(labels, key=lambda label: label == DENSE)


def _bars(
    panel: pl.DataFrame, dense: pl.DataFrame, x: str, hue: alt.Color, frame: Frame
) -> Sequence[alt.Chart]:
    """Bars of a panel, side by side by calibration, and the dense model across each group."""
    shown = {"benchmark": pl.col("name"), "calibration": pl.col("label")}
    place = shown.get(x, pl.col(x).map_elements(lambda key: _named(x, key), return_dtype=pl.String))
    panel = panel.with_columns(at=place)
    groups = panel["at"].unique(maintain_order=True).to_list()
    axis = alt.X("at:N", title=None, sort=groups, axis=band_axis(groups, frame.width))
    bars = alt.Chart(panel).encode(x=axis)
    if x != "calibration":
        bars = bars.encode(xOffset=alt.XOffset("label:N", sort=_labels(panel)))
    seen, error = faint_unless(frame.chosen), faint_unless(frame.chosen, 0.75)
    layers = [
        bars.mark_bar().encode(y=frame.y, color=hue, description="said", opacity=seen),
        bars.mark_rule(color=INK).encode(
            y=frame.of("low"), y2="high:Q", description="said", opacity=error
        ),
        *_published(bars, panel, frame),
    ]
    if len(dense):
        shared = ["benchmark"] if x == "benchmark" else ["model", "benchmark"]
        across = panel.select("at", *shared).unique(maintain_order=True).join(dense, on=shared)
        start, end = axis.copy(), alt.X2("at:N", bandPosition=1)
        start["bandPosition"] = 0
        line = alt.Chart(across).mark_rule(strokeWidth=2.2)
        layers.append(line.encode(x=start, x2=end, y=frame.y, color=hue, description="said"))
    return layers


def _lines(
    panel: pl.DataFrame, dense: pl.DataFrame, along: Order, frame: Frame
) -> Sequence[alt.Chart]:
    """Lines with bands along an ordered axis: one a benchmark, or one a calibration."""
    key, series = ("label", "name") if along.of == "calibration" else ("sparsity", "label")
    at = pl.col(key).replace_strict(along.numbers, return_dtype=pl.Float64)
    panel = panel.with_columns(at=at).with_columns(label=pl.col(series)).sort("at")
    names = sorted(_labels(panel), key=lambda name: name == AVERAGE)
    hues = dict(zip((name for name in names if name != AVERAGE), cycle(HUES), strict=False))
    hue = colour(names, hues | {AVERAGE: INK}, frame.layout)
    hue["legend"]["symbolOpacity"] = 1  # that of the bands is low
    kind: dict[str, Any] = {"type": "log", "base": 2} if along.doubling else {"zero": False}
    axis = alt.X(
        "at:Q",
        title=along.title,
        scale=alt.Scale(**kind, nice=False, padding=14),
        axis=alt.Axis(grid=False, values=sorted(set(panel["at"])), format=",.6~g"),
    )
    base, chosen = alt.Chart(panel).encode(x=axis, color=hue), frame.chosen
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36, filled=True))
    layers = [
        base.mark_area().encode(y=frame.of("low"), y2="high:Q", opacity=faint_unless(chosen, 0.12)),
        line.encode(y=frame.y, description="said", opacity=faint_unless(chosen)),
        *_published(base, panel, frame, joined=True),
    ]
    shown = dense.filter(pl.col("name").is_in(panel["name"].unique().to_list()))
    return layers + (_dense_lines(shown, series, hue, frame) if len(shown) else [])


def _dense_lines(dense: pl.DataFrame, series: str, hue: alt.Color, frame: Frame) -> list[alt.Chart]:
    """The dense model across a panel of lines, in the colour of a benchmark where those differ."""
    base = alt.Chart(dense.with_columns(label=pl.col(series))).encode(y=frame.y)
    rule = base.mark_rule(strokeDash=[6, 3], strokeWidth=1.4, color=INK)
    said = base.mark_text(align="right", dy=-7, text=DENSE, color=INK)
    return [
        rule.encode(description="said", **({"color": hue} if series == "name" else {})),
        said.encode(x=alt.value(frame.width)),
    ]


def _published(
    base: alt.Chart, panel: pl.DataFrame, frame: Frame, *, joined: bool = False
) -> list[alt.Chart]:
    """The published numbers, if there are any; ``joined`` by dashed lines."""
    if panel["published"].is_null().all():
        return []
    there = base.properties(data=panel.drop_nulls("published").with_columns(kind=pl.lit(PUBLISHED)))
    there = there.encode(y=frame.of("published"), opacity=faint_unless(frame.chosen))
    legend = alt.Legend(orient="top", symbolSize=70, symbolStrokeWidth=1.2, symbolFillColor="white")
    of_kind: dict[str, Any] = {"title": None, "legend": legend}
    marks = there.mark_point(strokeWidth=1.2, size=52, fill="white").encode(
        shape=alt.Shape("kind:N", scale=_only("diamond"), **of_kind),
        stroke=alt.Stroke("kind:N", scale=_only(INK), **of_kind),
        description="said",
    )
    marks.encoding.color = alt.Undefined  # Vega-Lite warns of a colour beside a stroke
    line = there.mark_line(strokeDash=[2, 3], strokeWidth=1.2)
    return [line, marks] if joined else [marks]


def _only(shown: str) -> alt.Scale:
    return alt.Scale(domain=[PUBLISHED], range=[shown])
