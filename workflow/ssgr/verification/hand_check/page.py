"""The page on which a person labels: one file that works offline, and is read back by `outcome`.

What a model wrote is untrusted: it reaches the page only as JSON in which no ``<`` is left, is
shown only as text, and the page's own policy forbids any other script and every connection.
"""

from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from pydantic import ValidationError

from ssgr.errors import TableError
from ssgr.verification.hand_check.intervals import upper_limits
from ssgr.verification.hand_check.sample import Sample

DIGITS = 6


def render(sample: Sample) -> str:
    """Return the page, with the exact limits of every count that can occur on it."""
    script, style = _own("page.js"), _own("style.css")
    environment = Environment(
        loader=PackageLoader("ssgr.verification.hand_check", "."),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        sample=sample,
        shown=len(sample.items),
        total=sum(cell.count for cell in sample.population),
        sides=[_side(sample, stratum) for stratum in sample.strata()],
        payload=sample.model_dump(mode="json"),
        limits={count: _rounded(len(sample.items), count) for count in {1, len(sample.strata())}},
        script=Markup(script),
        style=Markup(style),
        script_hash=_digest(script),
        style_hash=_digest(style),
    )


def _side(sample: Sample, stratum: str) -> dict[str, object]:
    """How many verdicts a stratum has, and how many of them were drawn."""
    cells = [one.count for one in sample.population if sample.stratum(one.verdict) == stratum]
    drawn = [item for item in sample.items if sample.stratum(item.verdict) == stratum]
    return {"name": stratum, "there": sum(cells), "drawn": len(drawn)}


def _own(name: str) -> str:
    return resources.files("ssgr.verification.hand_check").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _rounded(largest: int, strata: int) -> list[list[float]]:
    return [[round(limit, DIGITS) for limit in row] for row in upper_limits(largest, strata)]


class _Payload(HTMLParser):
    """The text and the digest of the script element with the sample."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.text = self.digest = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script" and ("id", "sample") in attrs
        if self.inside:
            self.digest = dict(attrs).get("data-digest") or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data


def read(path: Path) -> Sample:
    """Return the sample that a page shows.

    Raises:
        TableError: the file is not such a page, or its sample was edited.
    """
    parser = _Payload()
    try:
        parser.feed(path.read_text("utf-8"))
        sample = Sample.model_validate_json(parser.text)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise TableError(
            f"{path} is no page of `ssgr hand-check` (of this version): name the file that the "
            f"labels were made on. {str(error).splitlines()[0]}"
        ) from error
    if sample.digest != parser.digest:
        raise TableError(f"{path} was edited: what it shows is not what its digest says")
    return sample
