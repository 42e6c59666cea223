"""Charts as files for LaTeX and slides: SVG, and PDF with its fonts embedded; no network."""

import io

import altair as alt

from ssgr.report.drawing import Layout

PRINT = Layout("print", 760, 2, 210)
"""Room for a chart across both columns of a paper."""


def to_svg(chart: alt.ConcatChart) -> str:
    """Return a chart as an SVG document on a white ground."""
    out = io.StringIO()
    chart.properties(background="white").save(out, format="svg")
    return out.getvalue()


def to_pdf(chart: alt.ConcatChart) -> bytes:
    """Return a chart as a PDF of one page, cut to the chart."""
    out = io.BytesIO()
    chart.save(out, format="pdf")
    return out.getvalue()
