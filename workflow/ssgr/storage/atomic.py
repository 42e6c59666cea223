"""Folders and small files that appear whole or not at all: written aside, then renamed."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ssgr.errors import SsgrError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out``, which becomes ``out`` when the block ends well.

    Raises:
        SsgrError: ``out`` holds something already, or cannot be written (read-only, disk full).
    """
    if out.exists() and not (out.is_dir() and next(out.iterdir(), None) is None):
        raise SsgrError(f"{out} exists and is not an empty folder: remove it, or choose another")
    aside = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        aside.mkdir(parents=True)
        yield aside
        os.replace(aside, out)  # an empty folder may be replaced
    except OSError as error:
        raise SsgrError(
            f"{out} cannot be written: {error.strerror or error}. Make room, or give the folder "
            "write permission, and run again."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def take_along(files: Iterable[Path], folder: Path, *, link: bool = False) -> None:
    """Copy files into a folder; with ``link`` as hard links where the file system has them."""
    for file in files:
        target = folder / file.name
        if link:
            try:
                os.link(file.resolve(), target)
                continue
            except OSError:  # another file system, or one without hard links
                target.unlink(missing_ok=True)
        shutil.copyfile(file, target)


def write_text(path: Path, text: str) -> None:
    """Write a small file of UTF-8 text; raises what :func:`write_bytes` raises."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all.

    Raises:
        SsgrError: it cannot be written (read-only, disk full); names the file.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        raise SsgrError(
            f"{path} cannot be written ({error.strerror or error}): make room, or give its folder "
            "write permission"
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
