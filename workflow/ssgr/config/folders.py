"""Folders on this machine whose paths are nearly what was written."""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from ssgr.root import ROOT


def nearest_model(path: str) -> str | None:
    """Return the folder of a model here, or in the checkout, whose path differs by a typing error.

    Names with other numbers are other models: 7B for 8B is no typing error.
    """
    whole = Path(os.path.expanduser(path))
    for start in (Path(whole.anchor),) if whole.is_absolute() else (Path(), ROOT):
        at: Path | None = start
        for part in whole.parts[bool(whole.anchor) :]:
            at = at and _nearest(at, part)
        if at and (at / "config.json").is_file():
            return str(at)
    return None


def _nearest(folder: Path, name: str) -> Path | None:
    """The folder inside of this or nearly this name."""
    if (folder / name).is_dir():
        return folder / name
    try:
        inside = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return None
    alike = [each for each in inside if re.findall(r"\d+", each) == re.findall(r"\d+", name)]
    lowered = {each.lower(): each for each in alike}
    near = get_close_matches(name.lower(), lowered, 1, 0.7)
    return folder / lowered[near[0]] if near else None
