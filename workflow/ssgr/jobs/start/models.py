"""Models: whether there is such a folder, and whether what is asked fits its context."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from ssgr.cluster.sizing import configs
from ssgr.config import Model
from ssgr.config.folders import nearest_model
from ssgr.jobs.start.entries import Entries, Found

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def models_found(entries: Entries, found: Found) -> None:
    """Look at the models that are used, and at what is asked of them."""
    for name, entry in entries.models.items():
        place = f"models.{name}"
        found.mistakes += _path(f"{place}.path", entry)
        found.warnings += _said(place, entry)
        limit = configs.positions(entry)
        if limit is not None:
            found.mistakes += _beyond(name, entry, limit, entries)
    found.warnings += [*_without_vllm(entries.models), *_twice(entries.models)]
    drawn = entries.sampling
    if drawn is not None and drawn.temperature == 0 and drawn.n > 1:
        found.warnings.append(
            f"sampling.temperature: 0 is greedy: all {drawn.n} responses to a problem are the same"
        )


def _twice(models: Mapping[str, Model]) -> Iterator[str]:
    """Entries that differ in nothing that is run."""
    seen: dict[str, str] = {}
    for name, entry in models.items():
        other = seen.setdefault(entry.model_dump_json(exclude={"role"}), name)
        if other != name:
            yield (
                f"models.{name} and models.{other} are the same: each is sampled and pruned by "
                "itself"
            )


def _path(place: str, entry: Model) -> Iterator[str]:
    """What is wrong with a model's path."""
    folder = Path(entry.location)
    if folder.is_dir():
        if not (folder / configs.CONFIG).is_file():
            inside = sorted(path.parent for path in folder.glob(f"*/{configs.CONFIG}"))
            hint = f": did you mean {str(inside[0])!r}?" if inside else ""
            yield f"{place}: the folder {entry.path!r} holds no {configs.CONFIG}{hint}"
        return
    near = nearest_model(entry.path)
    if not HUB_ID.fullmatch(entry.path):
        address = "/".join(urlsplit(entry.path).path.strip("/").split("/")[:2])
        meant = near or ("://" in entry.path and address)
        hint = f": did you mean {meant!r}?" if meant else ", which is written owner/name"
        yield f"{place}: there is no folder {entry.path!r} here, and it is no hub id{hint}"
    elif near and entry.revision is None and not configs.is_cached(entry):
        yield (
            f"{place}: there is no folder {entry.path!r} here: did you mean {near!r}? If it is a "
            "model of the hub, say its `revision` (main, or a commit)"
        )


def _said(place: str, entry: Model) -> Iterator[str]:
    """What may be a mistake."""
    if Path(entry.location).is_dir():
        if entry.revision is not None:
            yield f"{place}.revision: {entry.path} is a folder here, its `revision` means nothing"
    elif entry.revision is None and not configs.is_cached(entry):
        yield f"{place}.path: no folder {entry.path!r} here, taken for a hub id"
    for key in ("python", "evaluation_python"):
        python = getattr(entry.execution, key)
        if python and not shutil.which(os.path.expanduser(python)):
            yield f"{place}.execution.{key}: there is no interpreter {python!r} on this machine"


def _without_vllm(models: Mapping[str, Model]) -> Iterator[str]:
    """Environments that lack the engine of some models, each once."""
    lacking: dict[str | None, list[str]] = {}
    for name, entry in models.items():
        used = [one for one in (entry, entry.for_evaluation()) if one.engine == "vllm"]
        for python in {one.execution.python for one in used}:
            if _lacks_vllm(python):
                lacking.setdefault(python, []).append(name)
    for python, names in lacking.items():
        where = "the interpreter that runs Snakemake" if python is None else python
        yield (
            f"{where} has no vllm beside it, the engine of {', '.join(names)}: name an interpreter "
            "that has by `execution.python` of the entry, or give --sdm conda"
        )


def _lacks_vllm(python: str | None) -> bool:
    """Whether an environment is here and vLLM is not in it; looked up, not run."""
    if python is None:
        return find_spec("vllm") is None
    found = shutil.which(os.path.expanduser(python))
    there = list(Path(found).parent.parent.glob("lib/python3*/site-packages")) if found else []
    return bool(there) and not any((folder / "vllm").is_dir() for folder in there)


def _beyond(name: str, entry: Model, limit: int, entries: Entries) -> Iterator[str]:
    """What is longer than the model's context."""
    said = f"the {limit:,} positions of models.{name} (max_position_embeddings)"
    kinds, is_pruned = entries.calibrations, name in entries.pruned
    generates = entry.engine != "server" and any(
        not kind.is_reference and (kind.generator or name) == name for kind in kinds.values()
    )
    answers = {
        "sampling": entries.sampling if generates else None,
        "evaluation": entries.evaluation if is_pruned else None,
    }
    for key, sampling in answers.items():
        if sampling is not None and sampling.max_tokens >= limit:
            yield (
                f"{key}.max_tokens: {sampling.max_tokens} leaves no room for a prompt in {said}: "
                f"prompt and response share them, so lower it well below {limit}"
            )
    lengths = {"budget": entries.budget.tokens if entries.budget else None}
    lengths |= {f"calibrations.{label}": kind.tokens for label, kind in kinds.items()}
    for key, tokens in lengths.items() if is_pruned else ():
        if tokens is not None and tokens > limit:
            yield f"{key}.tokens: {tokens} is beyond {said}: {limit} at most"
