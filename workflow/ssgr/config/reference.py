"""The configuration's reference page, from its schema: ``python -m ssgr.config.reference``."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ssgr import config
from ssgr.grading.conventions import Conventions

SECTIONS: dict[str, type[BaseModel]] = {
    "The whole file": config.Config,
    "`pool`": config.Pool,
    "`run`": config.Run,
    "`models`, an entry": config.Model,
    "`models`, `execution` of an entry": config.Execution,
    "`models`, `server` of an entry": config.Server,
    "`sources`, an entry": config.Source,
    "`benchmarks`, an entry": config.Benchmark,
    "`data: {loader: abacus}`": config.AbacusSet,
    "`data: {loader: file}`": config.FileSet,
    "`data: {loader: hub}`": config.HubSet,
    "`data: {loader: parts}`": config.PartsSet,
    "`conventions` of a source or benchmark": Conventions,
    "`calibrations`, an entry": config.Calibration,
    "`experiments`, an entry": config.Experiment,
    "`sampling`": config.PoolSampling,
    "`evaluation`": config.Sampling,
    "`filters`": config.Filters,
    "`budget`": config.Budget,
    "`grading`": config.Grading,
    "`pruning`": config.Constants,
    "`pruning.objective`": config.Objective,
    "`pruning.search`": config.Search,
    "`pruners`, an entry": config.Recipe,
}
HEAD = """# Configuration reference

Written by `python -m ssgr.config.reference > config/README.md` from `workflow/ssgr/config`, the
only schema; a test holds the two together. `config.yaml` is the run on the embedded model; your own
file holds only what differs from it and is given by `--configfile`, or as the `config:` of a
`module` in a workflow of your own. Paths are relative to the working directory.
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for title, model in SECTIONS.items():
        doc = " ".join((model.__doc__ or "").split())
        rows = "\n".join(_rows(model))
        parts.append(f"\n## {title}\n\n{doc}\n\n| key | type | default | meaning |\n"
                     f"|---|---|---|---|\n{rows}\n")  # fmt: skip
    return "".join(parts)


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        default = "required" if field.default is PydanticUndefined else _code(field.default)
        kind = _type(model.model_json_schema()["properties"][name])
        yield f"| `{name}` | {kind} | {default} | {field.description or ''} |"


def _code(value: object) -> str:
    shown = "" if isinstance(value, BaseModel) or value is None else str(value)
    return f"`{shown}`".replace("\n", "\\n") if shown else ""


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema or "oneOf" in schema:
        kinds = [_type(part) for part in schema.get("anyOf", schema.get("oneOf", []))]
        return " or ".join(kind for kind in dict.fromkeys(kinds) if kind != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return re.sub(r"(?<!^)([A-Z])", r" \1", schema["$ref"].rpartition("/")[2]).lower()
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "pair"
    if "patternProperties" in schema:
        return "entries by name"
    return str(schema.get("type", "any"))


if __name__ == "__main__":
    print(reference(), end="")
