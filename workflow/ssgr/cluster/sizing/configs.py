"""Where a model's ``config.json`` is found: in its folder, or in the hub's cache. Read, not asked.

The network is used by `fetched` alone: planning on demand may ask the hub, a Snakefile never does.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ssgr.cluster.sizing.families import shape_of
from ssgr.cluster.sizing.shape import Shape
from ssgr.config import Model
from ssgr.errors import ModelError

CONFIG = "config.json"


@dataclass(frozen=True)
class Found:
    """A model's shape; None with the reason in words, if it is not known."""

    shape: Shape | None
    why: str = ""


Lookup = Callable[[Model], Found]
"""How a registry entry's shape is found: `at_hand` or `fetched`."""


def at_hand(entry: Model) -> Found:
    """Return the shape of a model whose config is on this machine."""
    folder = Path(entry.location)
    if folder.is_dir():
        return _read(folder / CONFIG)
    return _cached(entry.location, entry.revision)


def fetched(entry: Model) -> Found:
    """Return the shape of a model; the config of a hub id is fetched if it is not at hand."""
    found = at_hand(entry)
    if found.shape is not None or Path(entry.location).is_dir():
        return found
    from huggingface_hub import hf_hub_download

    try:
        return _read(Path(hf_hub_download(entry.location, CONFIG, revision=entry.revision)))
    except Exception as error:  # the hub client raises many kinds, offline included
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Found(None, f"{found.why}, nor can it be fetched: {reason}")


def is_cached(entry: Model) -> bool:
    """Whether the hub's cache holds the config of a hub id."""
    return _cached_file(entry.location, entry.revision) is not None


def positions(entry: Model) -> int | None:
    """Return the longest sequence that a model was made for; None where that is not known here.

    vLLM may stretch a context by its rope scaling: then nothing is said of it.
    """
    folder = Path(entry.location)
    file = folder / CONFIG if folder.is_dir() else _cached_file(entry.location, entry.revision)
    try:
        found = json.loads(file.read_text("utf-8")) if file else None
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    inner = found.get("text_config")
    told = found | inner if isinstance(inner, dict) else found
    scaled = told.get("rope_scaling") or told.get("rope_parameters") or {}
    kind = scaled.get("rope_type", scaled.get("type")) if isinstance(scaled, dict) else "unknown"
    most = told.get("max_position_embeddings")
    plain = kind in (None, "default", "llama3")
    return most if isinstance(most, int) and most > 0 and plain else None


def _cached_file(repo: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        file = try_to_load_from_cache(repo, CONFIG, revision=revision)
    except HFValidationError:  # no name that the hub could have
        return None
    return Path(file) if isinstance(file, str) else None


def _cached(repo: str, revision: str | None) -> Found:
    """The shape of a hub id from the hub's cache; looked for anew until it is there."""
    file = _cached_file(repo, revision)
    if file is not None:
        return _read(file)
    at = f" at {revision}" if revision else ""
    return Found(None, f"config.json of {repo}{at} is not in the hub's cache")


def _read(file: Path) -> Found:
    if not file.is_file():
        return Found(None, f"there is no {file}")
    return _parsed(file, file.stat().st_mtime_ns)


@cache
def _parsed(file: Path, mtime: int) -> Found:
    """The shape in a file; read once while it stays as it is."""
    try:
        contents = json.loads(file.read_text("utf-8"))
        if not isinstance(contents, dict):
            return Found(None, f"{file} holds no JSON object")
        return Found(shape_of(contents))
    except (OSError, ValueError) as error:
        return Found(None, f"{file} cannot be read as JSON: {error}")
    except ModelError as error:
        return Found(None, str(error))
