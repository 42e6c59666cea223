"""Where the numbers of a page come from, and how to cite them."""

import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from typing import Any

import yaml

from ssgr.config import Benchmark, Config, Source, Strict
from ssgr.jobs.grid import weights
from ssgr.report.citation import entries
from ssgr.root import ROOT
from ssgr.storage.provenance import code_digest

SOFTWARE = ("ssgr", "torch", "transformers", "vllm", "math-verify", "polars", "scipy", "altair",
            "vl-convert-python", "snakemake")  # fmt: skip
Row = dict[str, Any]


def provenance(
    config: Config,
    *,
    models: Iterable[str],
    sources: Iterable[str],
    benchmarks: Iterable[str],
    made: datetime | None = None,
    versions: Mapping[str, str] | None = None,
) -> Row:
    """Return what the template of provenance shows.

    Args:
        config: what was run.
        models: names of the models that a page speaks of; likewise sources and benchmarks.
        made: the date shown; default is now.
        versions: name and version of the software that ran; default is what is installed here.
    """
    problems: list[tuple[str, str, Source | Benchmark]] = [
        (name, "source", config.sources[name]) for name in sources
    ]
    problems += [(name, "benchmark", config.benchmarks[name]) for name in benchmarks]
    return {
        "models": [{"name": name, **_model(config, name)} for name in models],
        "problems": [
            {"name": name, "use": use, "data": _said(entry.data), "method": entry.method}
            for name, use, entry in problems
        ],
        "settings": {
            "Responses of the pool": _said(config.sampling),
            "Responses to benchmarks": _said(config.evaluation),
            "Calibration budget": _said(config.budget),
            "Quality filters": _said(config.filters),
            "Pruning": _said(config.pruning),
            "Grading": f"{_said(config.grading)}, code of the grader {_grader()}",
        },
        "digest": digest(config),
        "yaml": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        "made": made or datetime.now(UTC),
        "versions": installed_versions() if versions is None else versions,
        "citations": entries(ROOT / "CITATION.cff"),
    }


def digest(config: Config) -> str:
    """Return a digest of all that a configuration says, defaults included."""
    said = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return sha256(said.encode()).hexdigest()[:16]


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the software that a run rests on, as far as it is installed."""
    found = {"Python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _grader() -> str:
    return code_digest("ssgr.grading", "ssgr.grading.quality")


def _model(config: Config, name: str) -> Row:
    entry = config.models[name]
    answers = entry.for_evaluation().engine
    engines = entry.engine if answers == entry.engine else f"{entry.engine}, {answers} (benchmarks)"
    return {
        "path": entry.path,
        "revision": entry.revision or weights(entry),
        "engine": engines,
        "dtype": entry.dtype,
        "prompt": entry.prompt,
    }


def _said(settings: Strict) -> str:
    """Settings in one line: ``n 16, temperature 0.6, …``; what is left out (null) is not said."""
    said = {name: value for name, value in settings.model_dump(mode="json").items()
            if value is not None}  # fmt: skip
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in said.items())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_plain(one)}" for key, one in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return str(value)
