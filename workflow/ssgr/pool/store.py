"""Parts of a shard, their receipts, and the manifest that all parts of a folder share."""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TypeVar

import dataframely as dy
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from ssgr.config import Model, Sampling
from ssgr.errors import PoolError
from ssgr.selection.early_stop import Needs
from ssgr.storage import tables
from ssgr.storage.lock_owner import user
from ssgr.storage.permissions import (
    make_folder,
    take_after_folder,
    unreadable,
    unwritable,
    whole_file,
    write_text,
)
from ssgr.storage.provenance import SAMPLING_VERSION, fingerprint

MANIFEST = "manifest.json"
ENCODING = "encoding"
"""Of the manifest: the digest of how the tokenizer encodes; pools of before have none."""
SOURCE_OF_MODEL = {"path", "revision", "dtype", "trust_remote_code"}
TURNS = {"system", "chat", "chat_template_kwargs"}
"""What changes a prompt besides `prompt`; named only where set, so that older pools stay valid."""
READ_ONLY = 0o444
"""What a part may have of its folder's permissions: it never changes."""
DRAW_AGAIN = (
    "Restore it from a copy, or delete it and the shard's later parts, each with its receipt, and "
    "the results/receipts of those who use it: what they held is drawn again"
)


class Receipt(BaseModel):
    """What a part holds and who made it. ``sha256`` and ``bytes`` are of its Parquet file."""

    model_config = ConfigDict(frozen=True, extra="allow")

    sha256: str
    bytes: int
    rows: int
    made: str
    host: str
    user: str


class ResponsesReceipt(Receipt):
    """Of a part with responses.

    ``problems`` counts the distinct ones in it, ``tokens`` sums over responses, ``manifest`` is the
    manifest's digest. ``asked`` counts the shard's problems, ``questions`` and ``answers`` are
    their digests. ``complete_for`` says what the shard settles as judged by ``judge``; ``seconds``
    is from the loaded engine to the last response, without what it took to draw the ``resumed``
    responses that a run left which was cut off.
    """

    problems: int
    tokens: int
    manifest: str
    asked: int
    questions: str
    answers: str
    complete_for: Needs
    judge: str
    seconds: float
    resumed: int
    gpus: int
    versions: dict[str, str]

    @property
    def gpu_seconds(self) -> float:
        """Seconds times GPUs."""
        return self.seconds * self.gpus

    @property
    def cpu_seconds(self) -> float:
        """Seconds of a job without a GPU."""
        return 0.0 if self.gpus else self.seconds


class GradesReceipt(Receipt):
    """Of a part with grades: ``of`` is the sha256 of the responses that were graded.

    ``answers`` is the digest of the reference answers that they were judged by.
    """

    of: str
    answers: str


R = TypeVar("R", bound=Receipt)


def manifest(model: Model, sampling: Sampling) -> dict[str, object]:
    """Return what every part drawn from ``model`` by ``sampling`` has in common."""
    source = model.model_dump(include=SOURCE_OF_MODEL)
    found = fingerprint(model.location)
    turns = model.model_dump(include=turns_set(model))
    return {
        "model": {**source, "path": None if found else model.path, "fingerprint": found},
        "engine": model.engine,
        "prompt": {"user": model.prompt, **turns} if turns else model.prompt,
        "sampling": sampling.model_dump(),
        "version": SAMPLING_VERSION,
    }


def turns_set(model: Model) -> set[str]:
    """Return those of ``TURNS`` that an entry sets otherwise than by default."""
    return {name for name in TURNS if getattr(model, name) != Model.model_fields[name].default}


def check_manifest(folder: Path, wanted: Mapping[str, object]) -> str | None:
    """Compare a folder's manifest with what is wanted; return its digest, None if there is none.

    Another's manifest without a single response under it counts as none: a start that failed.

    Raises:
        PoolError: names the manifest, the part that differs, and the ways out.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        stored = json.loads(data)
    except FileNotFoundError:
        if any(folder.glob("*.parquet")):
            raise PoolError(
                f"{folder} holds Parquet files but no {MANIFEST}: they were not made by this "
                "pipeline (or by an early version of it). Move them away."
            ) from None
        return None
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (OSError, ValueError) as error:
        raise PoolError(f"{path} is not readable JSON ({error}): restore it, or purge") from error
    for part, value in wanted.items():
        if stored.get(part) == value or (part == ENCODING and stored.get(part) is None):
            continue
        if not _holds_responses(folder):
            return None
        if part == ENCODING:
            raise _other_encoding(path, stored[ENCODING], value)
        raise PoolError(
            f"{path} says {part} = {json.dumps(stored.get(part))}, the configuration says "
            f"{json.dumps(value)}. A pool never mixes two: give this one another name "
            "(models, sources) or another pool.path, or purge what the pool holds of it "
            "(ssgr pool purge)."
        )
    return sha256(data).hexdigest()[:16]


def _other_encoding(path: Path, stored: object, wanted: object) -> PoolError:
    return PoolError(
        f"{path} was drawn with a tokenizer that encodes otherwise (digest {stored}) than the "
        f"model's does now ({wanted}): another version of transformers reads it otherwise, or "
        "its files were replaced. A pool never mixes two: install what drew it, or give this "
        "one another pool.path, or purge what the pool holds of it (ssgr pool purge)."
    )


def encoding_of(parts: Iterable[Path]) -> str | None:
    """Return the digest of the tokenizer that drew some parts; None where it is not known.

    Raises:
        PoolError: they were drawn with several.
    """
    known: dict[str, Path] = {}
    for path in sorted({part.with_name(MANIFEST) for part in parts}):
        try:
            found = json.loads(path.read_bytes()).get(ENCODING)
        except (OSError, ValueError) as error:
            raise PoolError(f"{path} is not readable JSON ({error}): restore it") from error
        if found:
            known[found] = path
    if len(known) > 1:
        named = ", ".join(map(str, known.values()))
        raise PoolError(f"{named} were drawn with tokenizers that encode differently")
    return next(iter(known), None)


def _holds_responses(folder: Path) -> bool:
    """Whether anything was drawn under a folder's manifest: a part, or responses in a journal."""
    from ssgr.sampling.journal import holds_responses

    return any(folder.glob("*.parquet")) or any(map(holds_responses, folder.glob(".*.journal")))


def check_shard_size(folder: Path, size: int) -> None:
    """Compare the shards that a folder holds with the size that is wanted.

    Raises:
        PoolError: names a shard of another size; nothing of it would be found.
    """
    for path in sorted(folder.glob("*.parquet")):
        first, _, last = path.name.partition(".")[0].partition("-")
        if first.isdigit() and last.isdigit() and int(last) - int(first) != size:
            raise PoolError(
                f"{path} is a shard of {int(last) - int(first)} problems, pool.shard_size says "
                f"{size}: with another size everything would be drawn again. Set pool.shard_size: "
                f"{int(last) - int(first)}, or choose another pool.path."
            )


def claim(folder: Path, wanted: Mapping[str, object], base: Path | None = None) -> str:
    """Return the digest of the folder's manifest; the first to come writes it.

    One under which nothing was ever drawn is replaced.

    Args:
        folder: of a (model, source, sampling).
        wanted: what the manifest must say.
        base: the same folder of a pool that this one extends; its manifest, if any, is copied.

    Raises:
        PoolError: the folder belongs to something else, or cannot be written.
    """
    failed = (folder / MANIFEST).exists()  # if it does not count: another's start that failed
    found = check_manifest(folder, wanted)
    text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
    if base is not None and check_manifest(base, wanted) is not None:
        text = (base / MANIFEST).read_text()
    try:
        if found is None:
            make_folder(folder)
            with whole_file(folder / MANIFEST) as aside:
                aside.write_text(text)
                take_after_folder(aside)
                if failed:
                    os.replace(aside, folder / MANIFEST)
                else:
                    with suppress(FileExistsError):  # another was first: compare with its own
                        os.link(aside, folder / MANIFEST)
            found = check_manifest(folder, wanted)
    except OSError as error:
        raise unwritable(folder / MANIFEST, error) from error
    if found is None:
        raise PoolError(f"{folder / MANIFEST} vanished while it was written: run again")
    return found


def parts(shard: Path) -> list[Path]:
    """Return the parts of a shard in order: ``shard`` itself, then ``….1.parquet`` …

    Args:
        shard: path of the first part, whether it exists or not.

    Raises:
        PoolError: a part is missing before a later one.
    """
    found: list[Path] = []
    while (part := numbered(shard, len(found))).is_file():
        found.append(part)
    for later in shard.parent.glob(f"{shard.stem}.*.parquet"):
        if later not in found:
            raise PoolError(
                f"{later} is there, {numbered(shard, len(found)).name} before it is not. "
                f"{DRAW_AGAIN}."
            )
    return found


def numbered(shard: Path, number: int) -> Path:
    """Return the path of a shard's part; the first, number 0, is the shard's own."""
    return shard.with_name(f"{shard.stem}.{number}.parquet") if number else shard


def receipt_path(part: Path) -> Path:
    """Return where the receipt of a part lies."""
    return part.with_suffix(".json")


def read_receipt(part: Path, kind: type[R]) -> R:
    """Read the receipt of a part.

    Raises:
        PoolError: it is missing, or not a receipt.
    """
    path = receipt_path(part)
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise PoolError(
            f"{part} has no receipt {path.name} beside it: it was put there by hand, or the "
            f"receipt was deleted. {DRAW_AGAIN}."
        ) from None
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (OSError, ValidationError) as error:
        raise PoolError(f"{path} is not a readable receipt: {error}") from error


def publish(
    table: pl.DataFrame,
    schema: type[dy.Schema],
    part: Path,
    spec: str,
    kind: type[Receipt],
    **facts: object,
) -> None:
    """Write a part and its receipt; the part gets its name last, read-only, and never changes.

    Both take after their folder, whatever the umask (`ssgr.storage.permissions`).

    The caller holds the lock under which the part is made: what a killed run left of it is removed.

    Raises:
        TableError: the table breaks its schema, or cannot be written.
    """

    def seal(aside: Path) -> None:
        receipt = kind.model_validate(
            {
                "sha256": checksum(aside),
                "bytes": aside.stat().st_size,
                "rows": len(table),
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": socket.gethostname(),
                "user": user(),
                **facts,
            }
        )
        write_text(receipt_path(part), receipt.model_dump_json(indent=1) + "\n")
        for written in (aside, receipt_path(part), part.parent):
            _sync(written)  # a journal is deleted once its part is there: it must be on the disk
        take_after_folder(aside, mask=READ_ONLY)

    for name in (part.name, receipt_path(part).name):
        for left in part.parent.glob(f".{name}.*.partial"):
            with suppress(PermissionError):  # another user's, in a sticky folder
                left.unlink(missing_ok=True)
    tables.write(table, schema, part, spec, seal)
    _sync(part.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
