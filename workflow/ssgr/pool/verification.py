"""Whether a pool is what its receipts say: every file is read once, one part at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tqdm import tqdm

from ssgr.pool import checks
from ssgr.pool.files import Folder, folders, held, kind, shard_in
from ssgr.pool.store import DRAW_AGAIN, MANIFEST, GradesReceipt, ResponsesReceipt
from ssgr.storage.locks import Holder, holders
from ssgr.storage.tables import Grades, Responses

KEY = ["problem_id", "sample"]
MAKE_WHOLE = "Restore the folder and its manifest from a copy, or purge this sampling"
GRADE_AGAIN = "Delete it and its receipt: it is graded again"
LEFTOVERS = {
    "partial": "is what a broken run left of a file. Delete it",
    "receipt": "is a receipt without its Parquet file, left by a broken run. The next run writes "
    "it anew; or delete it",
    "journal": "holds responses of a shard whose drawing broke off. The next run that asks for "
    "the shard continues it",
    "foreign": "is no file of this pipeline. Move it away",
}


@dataclass(frozen=True)
class Finding:
    """Something that a verification found. ``wrong``: the pool cannot be trusted there.

    What is not wrong is a leftover, which nothing reads. ``what`` says what to do, too.
    """

    path: Path
    what: str
    wrong: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.what}."


def verify(pool: Path, *, shallow: bool = False, progress: bool = False) -> list[Finding]:
    """Return what is wrong in a pool, folder by folder, and then its leftovers.

    Args:
        pool: the pool's folder.
        shallow: compute no checksums; everything else is read and checked.
        progress: show a bar on stderr.

    Raises:
        PoolError: there is no such pool.
    """
    sampled, graded = folders(pool, "responses"), folders(pool, "grades")
    total = sum(len(folder.parts) for folder in (*sampled, *graded))
    findings: list[Finding] = []
    with tqdm(total=total, desc="verify", unit="file", disable=not progress, ncols=100) as bar:
        for folder in sampled:
            at = checks.Sampled(folder)
            manifest = folder.path / MANIFEST
            faults = checks.read_manifest(manifest, at)
            findings += [Finding(manifest, f"{fault}. {MAKE_WHOLE}") for fault in faults]
            graders = [one for one in graded if one.key == folder.key]
            for found in _verify_parts(at, graders, shallow):
                findings += found
                bar.update()
    for folder in graded:
        findings += _ungrounded(folder, sampled)
    busy = holders(pool)
    for folder in (*sampled, *graded):
        findings += _leftovers(folder, busy)
    return findings


def _verify_parts(
    at: checks.Sampled, graders: list[Folder], shallow: bool
) -> Iterator[list[Finding]]:
    """Verify the parts of a folder, and the grades of each; yield once per Parquet file."""
    for part in at.folder.parts:
        path = at.folder.file(part)
        read = checks.read_part(path, ResponsesReceipt, Responses, shallow)
        faults = [*read.faults, *checks.order(part, at), *checks.provenance(part, read, at)]
        faults += [*checks.gaps(part, read, at)]
        faults += [*checks.counts(read), *checks.contents(read, at), *checks.twice(read, at, path)]
        yield [Finding(path, f"{fault}. {DRAW_AGAIN}") for fault in faults]
        keys = None if read.table is None else read.table.select(KEY)
        of = read.receipt.sha256 if read.receipt else None
        del read  # the next part is read without this one in memory
        for grader in graders:
            if part in grader.parts:
                yield _verify_grades(grader.file(part), keys, of, shallow)


def _verify_grades(
    path: Path, keys: pl.DataFrame | None, of: str | None, shallow: bool
) -> list[Finding]:
    """Verify the grades of a part; ``keys`` and ``of`` are the part's rows and checksum."""
    read = checks.read_part(path, GradesReceipt, Grades, shallow)
    faults = [*read.faults, *checks.counts(read)]
    if isinstance(read.receipt, GradesReceipt) and of is not None and read.receipt.of != of:
        faults.append(f"was graded from other responses than those of now (sha256 {of[:16]}…)")
    if read.table is not None and keys is not None:
        lacking = len(keys.join(read.table, on=KEY, how="anti"))
        foreign = len(read.table.join(keys, on=KEY, how="anti"))
        if lacking or foreign:
            faults.append(f"lacks {lacking} of the part's responses and has {foreign} others")
    return [Finding(path, f"{fault}. {GRADE_AGAIN}") for fault in faults]


def _ungrounded(folder: Folder, sampled: list[Folder]) -> list[Finding]:
    """Look for grades of parts that are not there."""
    there = {part for one in sampled if one.key == folder.key for part in one.parts}
    lost = (folder.file(part) for part in folder.parts if part not in there)
    return [Finding(path, f"is of a part that is not in the pool. {GRADE_AGAIN}") for path in lost]


def _leftovers(folder: Folder, busy: list[Holder]) -> list[Finding]:
    """Look for what broken runs left, except of the shards that somebody is drawing now."""
    drawn = held(folder, busy)
    found = []
    for name in folder.names:
        of = kind(folder.path / name)
        whole = of == "receipt" and f"{name.removesuffix('.json')}.parquet" in folder.names
        if of in LEFTOVERS and not whole and shard_in(name) not in drawn:
            found.append(Finding(folder.path / name, LEFTOVERS[of], wrong=False))
    return found
