"""What all charts share: their room, their colours, their fonts, and how they become SVG."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl
from markupsafe import Markup

from ssgr.report.appearance import HAIRLINE, INK, MUTED

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
CHARACTER = 6.4  # pixels, of a 12-pixel label
AXES = 62  # pixels left of a plot that its axis takes
GAP = 24
LEGEND_SYMBOL = 36
FAINT = 0.15
Panel = alt.Chart | alt.LayerChart | alt.FacetChart


@dataclass(frozen=True)
class Layout:
    """Room for a chart, in pixels: ``width`` of the page, at most ``columns`` panels abreast."""

    name: str
    width: int
    columns: int
    height: int

    def panel(self, panels: int) -> tuple[int, int]:
        """Return how many panels stand abreast, and the width of each one's plot."""
        abreast = max(1, min(self.columns, panels))
        return abreast, (self.width - GAP * (abreast - 1)) // abreast - AXES


DESKTOP = Layout("wide", 1040, 2, 230)
PHONE = Layout("narrow", 372, 1, 190)


def fixed(column: str, decimals: int) -> pl.Expr:
    """A number column as text with a fixed number of decimals."""
    return pl.col(column).map_elements(lambda x: f"{x:.{decimals}f}", return_dtype=pl.String)


def colour(labels: Sequence[str], hues: dict[str, str], layout: Layout) -> alt.Color:
    """Colour by calibration ``label``, with a legend above the panels, wrapped to the layout."""
    entry = max(len(label) for label in labels) * CHARACTER + LEGEND_SYMBOL
    fits = sum(len(label) * CHARACTER + LEGEND_SYMBOL for label in labels) < layout.width - AXES
    columns = len(labels) if fits else max(1, int((layout.width - AXES) // entry))
    legend = alt.Legend(
        orient="top", symbolType="square", symbolSize=110, symbolStrokeWidth=0, columns=columns
    )
    scale = alt.Scale(domain=list(labels), range=[hues[label] for label in labels])
    return alt.Color("label:N", title=None, scale=scale, legend=legend)


def chosen_in_legend() -> alt.Parameter:
    """What is clicked in the legend, in a page whose charts are live; at first everything."""
    return alt.selection_point(name="chosen", fields=["label"], bind="legend")


def faint_unless(chosen: alt.Parameter, opacity: float = 1) -> Any:
    """Opacity of a mark of a ``label``: little, while another is chosen."""
    return alt.condition(chosen, alt.value(opacity), alt.value(opacity * FAINT))


def band_axis(names: Sequence[str], width: int) -> alt.Axis:
    """Axis of named groups; names that do not fit side by side are slanted."""
    fits = max(len(name) for name in names) * CHARACTER < width / len(names)
    if fits:
        return alt.Axis(grid=False, ticks=False, labelPadding=6, labelAngle=0)
    return alt.Axis(grid=False, ticks=False, labelPadding=6, labelAngle=-35, labelAlign="right")


def finish(panels: Sequence[Panel], columns: int, *params: alt.Parameter) -> alt.ConcatChart:
    """Lay panels out in rows of ``columns``, in the report's type and lines."""
    with warnings.catch_warnings():  # one parameter for all panels is what is meant
        warnings.filterwarnings("ignore", "Automatically deduplicated", UserWarning)
        panes = alt.concat(*panels, columns=columns, spacing=GAP).add_params(*params)
    chart: alt.ConcatChart = (
        panes
        .resolve_scale(xOffset="independent")
        .configure(font=FONT, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=MUTED, titleColor=MUTED, labelFontSize=12, titleFontSize=12,
            titleFontWeight="normal", gridColor=HAIRLINE, domainColor=MUTED, tickColor=MUTED,
            domain=False, ticks=False, labelPadding=6, tickCount=5,
        )
        .configure_axisX(domain=True)
        .configure_legend(labelFontSize=13, labelColor=INK, offset=12, columnPadding=18)
        .configure_title(fontSize=14, color=INK, anchor="start", offset=10)
    )  # fmt: skip
    return chart


def svg(chart: alt.ConcatChart, name: str) -> str:
    """Draw a chart as an SVG element that can stand in a page beside others.

    ``name`` is unique in the page: SVG ids are the page's. What a mark says of itself becomes its
    tooltip, so that the page needs no script.
    """
    drawn = io.StringIO()
    chart.save(drawn, format="svg")
    text = re.sub(r' id="', f' id="{name}-', drawn.getvalue())
    text = re.sub(r'(url\(#|href="#)', rf"\1{name}-", text)
    text = re.sub(
        r'<(path|line) (?=[^>]*aria-label="([^"]*)")(?=[^>]*role="graphics-symbol")([^>]*)/>',
        r"<\1 \3><title>\2</title></\1>",
        text,
    )
    return text.replace("<svg ", f'<svg id="{name}" ', 1)


def figure(name: str, draw: Callable[[Layout], alt.ConcatChart]) -> Markup:
    """Draw a chart for wide pages and for phones; the style sheet shows one of them."""
    drawings = [
        f'<div class="{layout.name}">{svg(draw(layout), f"{name}-{layout.name}")}</div>'
        for layout in (DESKTOP, PHONE)
    ]
    return Markup("\n".join(drawings))
