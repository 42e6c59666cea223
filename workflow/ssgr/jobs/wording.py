"""A mistake in a configuration, in the words of its user instead of pydantic's."""

import re
import types
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from ssgr.config import Config

NUMBERS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def nearest(name: str, valid: Collection[str]) -> str:
    """Return the valid name that is nearest, and all that there are, as the end of a sentence."""
    return f"{_meant(name, valid)}; valid: {', '.join(sorted(valid))}" if valid else ""


LOADERS = ("abacus", "file", "hub", "parts")
KINDS = re.compile(r"(str|bool|int|float|list\[.*\])$")


def told(errors: Iterable[ErrorDetails]) -> list[str]:
    """The mistakes in words; of a value that may be of several kinds one alone."""
    found: dict[tuple[object, ...], str] = {}
    for number, detail in enumerate(errors):
        *above, last = detail["loc"] or ("",)
        if detail["type"].partition("_")[0] in ("string", *NUMBERS, "list") and KINDS.match(
            str(last)
        ):
            found.setdefault(tuple(above), _readable({**detail, "loc": tuple(above)}))
        else:
            found[*detail["loc"], number] = _readable(detail)
    return list(found.values())


def _readable(detail: ErrorDetails) -> str:
    location = _as_written(detail["loc"]) or [""]
    place = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        return f"{place}: unknown key{nearest(str(location[-1]), _fields(detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{place}: is missing"
    shown = detail["input"]
    if {"urls", "server"} & set(location) and isinstance(shown, str):
        shown = "…"  # it may hold a password
    message = _in_words({**detail, "input": shown}, _fields(detail["loc"]))
    if isinstance(shown, str | int | float) and repr(shown) not in message and shown != "…":
        message = f"{message}, not {shown!r}"
    return f"{place}: {message}" if place else message


def _as_written(location: tuple[str | int, ...]) -> list[str | int]:
    """A place without what pydantic adds: `[key]`, and the loader of a set or of a part of one."""
    before = ("", "", *location)
    return [
        part
        for k, part in enumerate(location)
        if part != "[key]"
        and not (part in LOADERS and (before[k + 1] == "data" or before[k] == "parts"))
    ]


def _fields(location: tuple[str | int, ...]) -> list[str]:
    """Names of the fields of the model at ``location`` of a Config."""
    at: Any = Config
    for part in location:
        options = list(_models(at))
        loaders = options if len(options) > 1 else []  # else `parts` is a field, not the tag
        tagged = [m for m in loaders if part in get_args(_annotation(m, "loader"))]
        holding = [m for m in options if part in m.model_fields]
        if tagged:
            at = tagged[0]
        elif holding:
            at = _annotation(holding[0], str(part))
        else:
            at = get_args(at)[-1] if get_args(at) else None
    return [name for model in _models(at) for name in model.model_fields]


def _annotation(model: type[BaseModel], field: str) -> Any:
    return model.model_fields[field].annotation if field in model.model_fields else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models an annotation names directly (through Optional, Union, Annotated)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for part in get_args(annotation):
            yield from _models(part)


def _in_words(detail: ErrorDetails, fields: Sequence[str]) -> str:
    """Return what was expected, and what was probably meant.

    Args:
        detail: one error of pydantic.
        fields: keys that may stand at its place; none where no keys are expected.
    """
    kind, shown, context = detail["type"], detail["input"], detail.get("ctx", {})
    empty = "" if shown is not None else "is empty (null): "
    if kind.startswith(("model_", "dict_", "mapping_")):
        keys = f": {', '.join(fields[:6])}{' …' if len(fields) > 6 else ''}" if fields else ""
        what = f", not {_kind(shown)}" if shown is not None else ""
        return f"{empty}expected an entry with keys{keys}{what}"
    if kind == "list_type":
        meant = f" (did you mean [{shown}]?)" if isinstance(shown, str | int | float) else ""
        return f"{empty}expected a list, as in [a, b]{meant}"
    if kind == "too_short":
        return "is empty: expected at least one entry"
    if kind == "string_type":
        quoted = f" (did you mean '{shown}', in quotes?)" if isinstance(shown, int | float) else ""
        what = f", not {_kind(shown)}" if shown is not None else ""
        return f"{empty}expected a text{what}{quoted}"
    if kind.partition("_")[0] in NUMBERS:
        return f"{empty}expected {NUMBERS[kind.partition('_')[0]]}"
    if kind.startswith("union_tag"):
        tags = re.findall(r"\w+", str(context.get("expected_tags", "")))
        return _loader(context, tags)
    if kind == "literal_error":
        valid = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return f"{empty}expected {context.get('expected')}{_meant(str(shown), valid)}"
    if kind == "string_pattern_mismatch":
        return _pattern(str(shown), str(context.get("pattern", "")))
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{empty}{message}{_share(shown, context)}"


def _meant(name: str, valid: Collection[str]) -> str:
    lowered = {each.lower(): each for each in valid}
    close = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "an entry with keys" if isinstance(value, dict) else repr(value)


def _loader(context: dict[str, Any], tags: Sequence[str]) -> str:
    expected = f"expected loader: {', '.join(tags) or 'abacus, file, hub, parts'}"
    tag = context.get("tag")
    return f"{expected}{_meant(str(tag), tags)}, not {tag!r}" if tag else f"{expected}; it has none"


def _pattern(shown: str, pattern: str) -> str:
    """What a text must look like; an address of the hub holds the name that is meant."""
    if "/" in pattern:
        parts = urlsplit(shown).path.strip("/").removeprefix("datasets/").split("/")
        meant = f" (did you mean {'/'.join(parts[:2])!r}?)" if "://" in shown else ""
        return f"expected owner/name{meant}"
    if "A-Z" in pattern:
        near = re.sub(r"[^A-Za-z0-9._-]+", "-", shown).strip("-._")
        meant = f" (did you mean {near!r}?)" if near and near != shown else ""
        return f"expected a name of letters, digits, '.', '_' and '-'{meant}"
    return (
        f"expected a name of small letters, digits and '_'{', or a .py file' * ('.py' in pattern)}"
    )


def _share(shown: object, context: dict[str, Any]) -> str:
    """A share that was written in percent."""
    most = context.get("le", context.get("lt"))
    number = isinstance(shown, int | float) and most == 1 and 1 < shown <= 100
    return f" (did you mean {float(shown) / 100:g}?)" if number else ""  # type: ignore[arg-type]
