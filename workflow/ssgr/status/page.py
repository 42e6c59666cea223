"""The status as one HTML file that needs no network, in the style of the report."""

from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup

from ssgr.report.typesetting import environment, style
from ssgr.status import words
from ssgr.status.look import Status


def render(status: Status, again: float | None = None) -> str:
    """Return the page; ``again`` are seconds after which it loads itself anew."""
    found = environment("ssgr.status")
    folders = ("ssgr.status", "ssgr.report")
    found.loader = ChoiceLoader([PackageLoader(folder, ".") for folder in folders])
    end, basis = words.of_estimate(status)
    wait = round(1000 * again) if again else 0
    return found.get_template("page.html.j2").render(
        status=status,
        words=words,
        title=status.title,
        sentences=[end] if end else [],
        basis=basis,
        states=words.states(status.stages),
        broken=sum(stage.broken_off for stage in status.stages),
        style=style("ssgr.report") + style("ssgr.status"),
        script=Markup(f"<script>setTimeout(() => location.reload(), {wait})</script>" * bool(wait)),
    )
