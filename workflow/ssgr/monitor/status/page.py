"""The status as one HTML file that needs no network, in the style of the report."""

from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup

from ssgr.monitor.status import words
from ssgr.monitor.status.look import Status
from ssgr.report.typesetting import environment, style


def render(status: Status, again: float | None = None) -> str:
    """Return the page; ``again`` are seconds after which it loads itself anew."""
    found = environment("ssgr.monitor.status")
    folders = ("ssgr.monitor.status", "ssgr.report")
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
        style=style("ssgr.report") + style("ssgr.monitor.status"),
        script=Markup(f"<script>setTimeout(() => location.reload(), {wait})</script>" * bool(wait)),
    )
