"""What all pages share: how templates are found, how numbers are written, the style sheet."""

from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup


def environment(package: str) -> Environment:
    """Return what renders the templates of a package, with the filters for numbers."""
    found = Environment(
        loader=PackageLoader(package, "."),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"three": _three_digits, "two": _two_digits}
    found.globals |= {"signed": signed}
    return found


def style(package: str) -> Markup:
    """Return the style sheet of a package."""
    return Markup(resources.files(package).joinpath("style.css").read_text("utf-8"))


def signed(points: float) -> str:
    """A difference with its sign and one decimal; a true minus, and no sign for 0.0."""
    text = f"{abs(points):.1f}"
    sign = "" if text == "0.0" else "+" if points > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text}"


def _three_digits(number: float) -> str:
    """A number with three significant digits, whole if it is larger."""
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{number:.3g}"


def _two_digits(percent: float) -> str:
    """A percentage with one decimal, or with two significant digits if it is small."""
    return f"{percent:.1f}" if percent >= 9.95 else f"{percent:.2g}"
