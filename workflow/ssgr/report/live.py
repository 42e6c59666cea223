"""Charts that answer to the pointer: what a page needs to redraw them, without a network.

The drawn SVG stays in the page. It is what is read without script, on paper, and until the script
has come to a chart; the script then draws the same specification over it with Vega.
"""

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from ssgr.report.drawing import DESKTOP, PHONE, Layout, svg

_GLOBALS = "window.vegaEmbed = vegaEmbed;"


@cache
def script() -> Markup:
    """Return the script elements of a page with charts: Vega, and what draws with it.

    About 0.9 MB, once per page; it comes from vl-convert, the library that draws the SVG, in the
    version of Vega-Lite that Altair writes.
    """
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    vega = vl_convert.javascript_bundle(_GLOBALS, vl_version=version)
    own = resources.files("ssgr.report").joinpath("page.js").read_text("utf-8")
    return Markup("\n".join(f"<script>{_closed(text)}</script>" for text in (vega, own)))


def figure(name: str, draw: Callable[[Layout], alt.ConcatChart]) -> Markup:
    """Draw a chart for wide pages and for phones, each still and with what it was drawn from.

    ``name`` is unique in the page. The style sheet shows one of the two, and the script redraws
    that one when it comes into sight.
    """
    return Markup("\n").join(_drawing(name, draw(layout), layout) for layout in (DESKTOP, PHONE))


def _drawing(name: str, chart: alt.ConcatChart, layout: Layout) -> Markup:
    return Markup('<div class="chart {}" data-name="{}">{}{}</div>').format(
        layout.name, name, Markup(svg(chart, f"{name}-{layout.name}")), specification(chart)
    )


def specification(chart: alt.ConcatChart) -> Markup:
    """Return a chart as a script element that holds data, no code.

    What a mark says of itself to a screen reader (``description``) it says to the pointer too.
    """
    spec: dict[str, Any] = chart.to_dict()
    _tell(spec)
    text = json.dumps(spec, separators=(",", ":")).replace("<", r"\u003c")
    return Markup(f'<script type="application/json">{text}</script>')


def _tell(part: object) -> None:
    """Copy ``description`` to ``tooltip`` in every encoding that has none."""
    if isinstance(part, list):
        for one in part:
            _tell(one)
    elif isinstance(part, dict):
        encoding = part.get("encoding")
        if isinstance(encoding, dict) and "description" in encoding:
            encoding.setdefault("tooltip", encoding["description"])
        for name, one in part.items():
            if name not in ("data", "datasets"):
                _tell(one)


def _closed(code: str) -> str:
    """Code that cannot end its script element early."""
    return code.replace("</script", r"<\/script").replace("<!--", r"<\!--")
