"""The configuration for people and editors: its reference page and its JSON schema.

``python -m ssgr.config.reference config`` writes README.md and schema.json into the folder config.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ssgr import config
from ssgr.config.conventions import Conventions
from ssgr.config.expand import LISTS

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

Written by `python -m ssgr.config.reference config` from `workflow/ssgr/config`, with `schema.json`,
by which editors complete and check keys; a test holds them together. A file of yours names the
schema in its first line: `# yaml-language-server: $schema=PATH/config/schema.json`.
`config.yaml` is the run on the embedded model; your own file holds only what differs from it and
is given by `--configfile`, or as the `config:` of a `module` in a workflow of your own. Paths are
relative to the working directory. `tau` or `tokens` of a calibration may be a list: it then stands
for a calibration of each value, `Tau: {tau: [0.25, 0.50], ...}` for Tau-0.25 and Tau-0.50, and
`calibrations: [Tau]` of a run or an experiment for both.
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


def schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file, which holds only what differs.

    So nothing is required, a null takes an entry out, and what may be a list of columns (see
    `ssgr.config.expand`) is one or a list.
    """
    found = config.Config.model_json_schema()
    columns = found["$defs"]["Calibration"]["properties"]
    for name in (*LISTS, "label", "role"):
        one = {key: columns[name].pop(key) for key in ("anyOf", "type") if key in columns[name]}
        columns[name]["anyOf"] = [one, {"type": "array", "items": one}]
    for registry in ("models", "sources", "benchmarks", "calibrations", "pruners", "experiments"):
        entries = found["properties"][registry]["patternProperties"]
        for pattern, entry in entries.items():
            entries[pattern] = {"anyOf": [entry, {"type": "null"}]}
    optional = _optional(found)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **optional}


def _optional(part: Any) -> Any:
    """A schema that requires nothing, and tells loaders apart by what they are given."""
    if isinstance(part, list):
        return [_optional(each) for each in part]
    if not isinstance(part, dict):
        return part
    dropped = ("discriminator", *(("required",) if isinstance(part.get("required"), list) else ()))
    renamed = {"anyOf" if key == "oneOf" else key: each for key, each in part.items()}
    return {key: _optional(each) for key, each in renamed.items() if key not in dropped}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "README.md").write_text(reference())
    (folder / "schema.json").write_text(json.dumps(schema(), indent=1) + "\n")
