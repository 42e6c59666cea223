"""The page on which a person labels: one HTML file that works offline, and reading it back.

Responses are untrusted. They reach the page as JSON without ``<`` and are shown as text only. The
page's content security policy forbids all other scripts and every connection.
"""

import re
from base64 import b64encode
from hashlib import sha256
from importlib import resources
from pathlib import Path

from markupsafe import Markup
from pydantic import ValidationError

from ssgr.errors import TableError
from ssgr.report.typesetting import environment
from ssgr.verification.hand_check.intervals import upper_limits
from ssgr.verification.hand_check.sample import Sample

PACKAGE = "ssgr.verification.hand_check"
DIGITS = 6
SAMPLE = re.compile(r'<script [^>]*id="sample" data-digest="(\w*)">(.*?)</script>', re.DOTALL)


def render(sample: Sample) -> str:
    """Return the page, with the exact limits of every count that can occur on it."""
    script, style = _own("page.js"), _own("style.css")
    largest = len(sample.items)
    template = environment(PACKAGE).get_template("template.html.j2")
    return template.render(
        sample=sample,
        shown=largest,
        total=sum(cell.count for cell in sample.population),
        sides=[_side(sample, stratum) for stratum in sample.strata()],
        payload=sample.model_dump(mode="json"),
        limits={
            strata: [_rounded(n, strata) for n in range(largest + 1)]
            for strata in {1, len(sample.strata())}
        },
        script=Markup(script),
        style=Markup(style),
        script_hash=_digest(script),
        style_hash=_digest(style),
    )


def _side(sample: Sample, stratum: str) -> dict[str, object]:
    """How many verdicts a stratum has, and how many of them were drawn."""
    there = sum(c.count for c in sample.population if sample.stratum(c.verdict) == stratum)
    drawn = sum(sample.stratum(item.verdict) == stratum for item in sample.items)
    return {"name": stratum, "there": there, "drawn": drawn}


def _rounded(n: int, strata: int) -> list[float]:
    return [round(limit, DIGITS) for limit in upper_limits(n, strata)]


def _own(name: str) -> str:
    return resources.files(PACKAGE).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def read(path: Path) -> Sample:
    """Return the sample that a page shows.

    Raises:
        TableError: the file is not such a page, or its sample was edited.
    """
    try:
        found = SAMPLE.search(path.read_text("utf-8"))
        digest, payload = found.groups() if found else ("", "")
        sample = Sample.model_validate_json(payload)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise TableError(
            f"{path} is no page of `ssgr hand-check` (of this version): name the file that the "
            f"labels were made on. {str(error).splitlines()[0]}"
        ) from error
    if sample.digest != digest:
        raise TableError(f"{path} was edited: what it shows is not what its digest says")
    return sample
