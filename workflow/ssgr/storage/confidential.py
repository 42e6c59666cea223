"""Tables whose text must not leave the user's cache: GPQA's questions, and responses to them.

The authors of GPQA ask that its questions never appear in plain text where a crawler could find
them. Such a table stands in a folder of the user's cache that only she can read, and the place
where the workflow expects it is a link to it: to publish, commit or pack `results` takes no
question along. Every table that is made of a confidential one and could quote it is put there too.
"""

import os
from pathlib import Path

from ssgr.errors import TableError

VARIABLE = "SSGR_CONFIDENTIAL"


def folder() -> Path:
    """Return where confidential tables stand: $SSGR_CONFIDENTIAL, or a folder of the cache."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "ssgr" / "confidential"


def is_confidential(path: Path) -> bool:
    """Whether a table, or what its link leads to, stands in the folder."""
    return path.resolve().is_relative_to(folder().resolve())


def place(path: Path, *, like: Path | None = None) -> Path:
    """Return where a table belongs that the workflow expects at ``path``: in the folder.

    Args:
        path: what the caller will look for; `link` makes it lead here.
        like: a table that this one is made of: if that is not confidential, nor is this one, and
            ``path`` is returned.

    Raises:
        TableError: the folder cannot be made, or others can read it.
    """
    if like is not None and not is_confidential(like):
        return path
    _require_folder()
    hidden = folder().joinpath(*path.absolute().parts[1:])
    hidden.parent.mkdir(parents=True, exist_ok=True)
    return hidden


def link(path: Path, hidden: Path) -> None:
    """Make ``path`` lead to the table at ``hidden``, whole or not at all; nothing if it is that."""
    if path == hidden:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    aside.unlink(missing_ok=True)
    aside.symlink_to(hidden)
    os.replace(aside, path)


def _require_folder() -> None:
    where = folder()
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_to = where.stat().st_mode & 0o077
    except OSError as error:
        raise TableError(
            f"{where}, where confidential tables are kept, cannot be made: {error.strerror}. Name "
            f"another folder by the variable {VARIABLE}."
        ) from error
    if open_to:
        raise TableError(
            f"{where}, where confidential tables are kept, can be read by others: "
            f"`chmod 700 {where}`, or name another folder by the variable {VARIABLE}."
        )
