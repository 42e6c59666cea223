"""The single checks of a verification: each returns what stands against a file, in words."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import dataframely as dy
import polars as pl

from ssgr.config import Sampling
from ssgr.errors import PoolError, TableError
from ssgr.pool.files import Folder, PartName
from ssgr.pool.store import (
    MANIFEST,
    Receipt,
    ResponsesReceipt,
    check_manifest,
    read_receipt,
    receipt_path,
)
from ssgr.storage.tables import parse

R = TypeVar("R", bound=Receipt)


@dataclass(frozen=True)
class Read:
    """A Parquet file and its receipt, as far as they could be read."""

    receipt: Receipt | None
    table: pl.DataFrame | None
    faults: list[str]


@dataclass
class Sampled:
    """A folder of responses that is being verified: what all its parts have in common.

    ``questions`` has the digest of each shard's; ``seen`` of each problem the samples found so far,
    as bits, and the files that hold them; ``drawn`` counts each shard's responses.
    """

    folder: Folder
    digest: str | None = None
    sampling: Sampling | None = None
    questions: dict[str, str] = field(default_factory=dict)
    seen: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    drawn: dict[str, int] = field(default_factory=dict)


def read_part(path: Path, receipt_kind: type[R], schema: type[dy.Schema], shallow: bool) -> Read:
    """Read a Parquet file and its receipt; what stands against either is among the faults."""
    receipt, table, faults = None, None, []
    try:
        receipt = read_receipt(path, receipt_kind)
    except PoolError:
        lost = "is not readable" if receipt_path(path).exists() else "is missing"
        faults.append(f"its receipt {receipt_path(path).name} {lost}")
    try:
        data = path.read_bytes()
    except OSError as error:
        return Read(receipt, None, [*faults, f"cannot be read ({error.strerror})"])
    if receipt and len(data) != receipt.bytes:
        faults.append(f"has {len(data):,} bytes, its receipt says {receipt.bytes:,}")
    elif receipt and not shallow and sha256(data).hexdigest() != receipt.sha256:
        faults.append("its checksum is not that of its receipt: it was edited or damaged")
    try:
        table = parse(data, schema, path)
    except TableError as error:
        faults.append(str(error).removeprefix(str(path)).strip().rstrip("."))
    return Read(receipt, table, faults)


def read_manifest(path: Path, at: Sampled) -> list[str]:
    """Read the folder's manifest into ``at``."""
    try:
        at.digest = check_manifest(at.folder.path, {})
        at.sampling = Sampling.model_validate(json.loads(path.read_bytes())["sampling"])
    except (PoolError, OSError, ValueError, KeyError, TypeError) as error:
        if not at.folder.parts and not path.exists():
            return []
        return ["is missing" if not path.exists() else f"is not a readable manifest ({error})"]
    if at.sampling.key != at.folder.sampling:
        return [f"says sampling {at.sampling.key}, its folder's name {at.folder.sampling}"]
    return []


def order(part: PartName, at: Sampled) -> list[str]:
    """A part whose predecessor is missing is never read."""
    if part.number and PartName(part.shard, part.number - 1) not in at.folder.parts:
        return [f"part {part.number - 1} of its shard is missing, so no run sees this one"]
    return []


def provenance(part: PartName, read: Read, at: Sampled) -> list[str]:
    """Compare the receipt's manifest with the folder's, its questions with the shard's."""
    if not isinstance(read.receipt, ResponsesReceipt):
        return []
    faults = []
    if at.digest and read.receipt.manifest != at.digest:
        said = f"was made under the manifest {read.receipt.manifest}"
        faults.append(f"{said}, {MANIFEST} is {at.digest}")
    if at.questions.setdefault(part.shard, read.receipt.questions) != read.receipt.questions:
        faults.append("answers other questions than the shard's first part")
    return faults


def gaps(part: PartName, read: Read, at: Sampled) -> list[str]:
    """Look for problems that a shard's first part lacks, and for responses it says it has."""
    if read.table is None or not isinstance(read.receipt, ResponsesReceipt):
        return []
    receipt = read.receipt
    at.drawn[part.shard] = drawn = at.drawn.get(part.shard, 0) + len(read.table)
    faults = []
    if part.number == 0 and (begun := read.table["problem_id"].n_unique()) != receipt.asked:
        faults.append(f"holds responses to {begun} of its shard's {receipt.asked} problems")
    if at.sampling and receipt.complete_for.demands is None:
        whole = receipt.asked * at.sampling.n
        if drawn != whole:
            faults.append(f"and the parts before it hold {drawn} of the {whole} responses it names")
    return faults


def counts(read: Read) -> list[str]:
    """Compare rows, tokens and problems with the receipt."""
    if read.table is None or read.receipt is None:
        return []
    found = {
        "rows": len(read.table),
        "tokens": read.table["tokens"].sum(),
        "problems": read.table["problem_id"].n_unique(),
    }
    said = read.receipt.model_dump(include=set(found))
    return [
        f"has {found[name]:,} {name}, its receipt says {number:,}"
        for name, number in said.items()
        if number != found[name]
    ]


def contents(read: Read, at: Sampled) -> list[str]:
    """Look for rows that no sampling makes."""
    if read.table is None:
        return []
    length = pl.col("token_ids").list.len()
    rules = {
        "an empty prompt": pl.col("prompt_token_ids").list.len() == 0,
        "an empty response": length == 0,
        "another number of tokens than `tokens` says": length != pl.col("tokens"),
    }
    if at.sampling:
        n, longest = at.sampling.n, at.sampling.max_tokens
        rules[f"a sample number beyond the {n} of the sampling"] = pl.col("sample") >= n
        rules[f"more than the {longest} tokens of the sampling"] = length > longest
    broken = read.table.select(
        **{rule: expression.sum() for rule, expression in rules.items()}
    ).row(0)
    return [
        f"{count} of its responses have {rule}"
        for rule, count in zip(rules, broken, strict=True)
        if count
    ]


def twice(read: Read, at: Sampled, path: Path) -> list[str]:
    """Look for responses that an earlier part, or another shard, has too; remember these."""
    if read.table is None:
        return []
    doubled: dict[str, int] = {}
    for problem_id, samples in read.table.group_by("problem_id").agg("sample").iter_rows():
        bits = sum(1 << sample for sample in samples)
        earlier = at.seen.setdefault(problem_id, [])
        for others, name in earlier:
            if common := bits & others:
                doubled[name] = doubled.get(name, 0) + common.bit_count()
                bits &= ~others
        if bits:
            earlier.append((bits, path.name))
    return [
        f"{count} of its (problem, sample) are in {name} too. Shards overlap when pool.shard_size "
        "has changed"
        for name, count in doubled.items()
    ]
