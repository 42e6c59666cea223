"""One shard of a pool: whether it holds what is needed, and how it grows by a part.

A pool may extend another, which is only read: the other's parts count as its own and are linked
into it when they are used, so that whoever reads it sees one pool. Where the two have drawn
different parts of a shard they go different ways, each with its own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from ssgr.errors import PoolError
from ssgr.pool import store
from ssgr.pool.receipts import SampledShard, open_part, refer
from ssgr.selection.early_stop import Needs, joined
from ssgr.storage.permissions import link, write_text
from ssgr.storage.provenance import describe, rows_digest
from ssgr.storage.tables import Responses

Parts = list[tuple[Path, store.ResponsesReceipt]]


@dataclass(frozen=True)
class Asked:
    """The problems of a shard, as far as a pool must know them: how many, and two digests."""

    count: int
    questions: str
    answers: str

    @classmethod
    def of(cls, problems: pl.DataFrame) -> "Asked":
        """Return what a table of problems asks, and what counts as right."""
        return cls(
            len(problems),
            rows_digest(problems.select("problem_id", "question").iter_rows()),
            rows_digest(problems.select("problem_id", "answer").iter_rows()),
        )


@dataclass(frozen=True)
class Shard:
    """A shard as an experiment wants it.

    ``path`` is its first part, ``manifest`` what its folder must say, ``needs`` what it must
    settle as judged by ``judge`` (how, and by which code); ``asked`` is None where its problems are
    not at hand, and then they are not compared. ``base`` is where the first part lies in the pool
    that this one extends.
    """

    path: Path
    manifest: Mapping[str, object]
    needs: Needs
    judge: str
    asked: Asked | None = None
    base: Path | None = None

    @property
    def lock(self) -> Path:
        """What is held while the shard grows."""
        return self.path.with_name(f".{self.path.stem}.lock")

    @property
    def journal(self) -> Path:
        """Where responses are kept until their part appears."""
        return self.path.with_name(f".{self.path.stem}.journal")

    def parts(self) -> Parts:
        """Return the shard's parts with their receipts, and those that `adopted` would add.

        Raises:
            PoolError: the folder has another manifest, a part another one than the folder, or
                responses to other questions.
        """
        own = self._parts_of(self.path)
        return own if self.base is None else own + self._inherited(own, self.base)

    def inherits(self) -> bool:
        """Whether there are parts of the pool that this one extends which are not linked yet."""
        return self.base is not None and bool(self._inherited(self._parts_of(self.path), self.base))

    def adopted(self) -> "Shard":
        """Link what is inherited, under the lock; return the shard as it stands in its own pool.

        Raises:
            PoolError: a link cannot be made; and what :meth:`parts` raises.
        """
        if self.base is not None:
            for part, _ in self._inherited(self._parts_of(self.path), self.base):
                take_over(part, self.path.with_name(part.name))
        return replace(self, base=None)

    def claim(self) -> None:
        """Make the shard's folder and its manifest, that of the extended pool if it has one.

        Raises:
            PoolError: the folder belongs to something else, or cannot be written.
        """
        store.claim(self.path.parent, self.manifest, self.base and self.base.parent)

    def _inherited(self, own: Parts, base: Path) -> Parts:
        """Parts present only in the base pool; empty if the two have diverged."""
        theirs = self._parts_of(base)
        manifests = {receipt.manifest for _, receipt in (*own, *theirs)}
        digest = store.check_manifest(self.path.parent, self.manifest)
        one = len(manifests | {digest} - {None}) == 1
        same = all(mine[1].sha256 == its[1].sha256 for mine, its in zip(own, theirs, strict=False))
        return theirs[len(own) :] if one and same else []

    def _parts_of(self, first: Path) -> Parts:
        digest = store.check_manifest(first.parent, self.manifest)
        found: Parts = []
        for part in store.parts(first):
            receipt = store.read_receipt(part, store.ResponsesReceipt)
            if receipt.manifest != digest:
                raise PoolError(
                    f"{part} was not made under the {store.MANIFEST} beside it: it comes from "
                    "another pool, model or sampling. Move it and its receipt away."
                )
            if self.asked and receipt.questions != self.asked.questions:
                raise PoolError(
                    f"{part} holds responses to other questions than this source has now: its "
                    "data or its generator has changed. Give the changed source another name or "
                    "another pool.path, or purge these responses (ssgr pool purge)."
                )
            found.append((part, receipt))
        return found

    def complete(self) -> bool:
        """Whether the parts' receipts say that they settle the needs."""
        return self.needs.covered_by(joined(self._settled(self.parts()), self.needs.filters))

    def left_a_journal(self) -> bool:
        """Whether a run broke off between its part and the end of its journal; we may clear up."""
        return self.journal.exists() and os.access(self.path.parent, os.W_OK)

    def responses(self) -> pl.DataFrame:
        """Return what the parts hold, their checksums compared."""
        tables = [
            open_part(part.parent, refer(part.parent, part, receipt), Responses)
            for part, receipt in self.parts()
        ]
        return pl.concat([Responses.create_empty(), *tables])

    def grow(self, responses: pl.DataFrame, *, seconds: float, **facts: object) -> None:
        """Publish those of ``responses`` that no part has yet as the shard's next part.

        If there are none, the last part's receipt learns what it settles.

        Raises:
            PoolError: the manifest is gone: somebody purged the pool meanwhile.
            TableError: the part cannot be written.
        """
        assert self.asked is not None
        parts = self.parts()
        settles = {
            "complete_for": joined([*self._settled(parts), self.needs], self.needs.filters),
            "judge": self.judge,
            "answers": self.asked.answers,
        }
        new = responses.join(self.responses(), on=["problem_id", "sample"], how="anti")
        if new.is_empty():
            if parts:
                part, receipt = parts[-1]
                learnt = receipt.model_copy(update=settles)
                write_text(store.receipt_path(part), learnt.model_dump_json(indent=1) + "\n")
            return
        digest = store.check_manifest(self.path.parent, self.manifest)
        if digest is None:
            raise PoolError(
                f"{self.path.parent} lost its {store.MANIFEST}: it was purged while this job drew. "
                f"What it drew is in {self.journal}; run again."
            )
        store.publish(
            new,
            Responses,
            store.numbered(self.path, len(parts)),
            describe(**self.manifest, questions=self.asked.questions),
            store.ResponsesReceipt,
            problems=new["problem_id"].n_unique(),
            tokens=new["tokens"].sum(),
            manifest=digest,
            asked=self.asked.count,
            questions=self.asked.questions,
            seconds=seconds,
            **settles,
            **facts,
        )

    def sampled(self, pool: Path) -> SampledShard:
        """Return the local receipt: references to the parts."""
        return SampledShard(
            parts=tuple(refer(pool, part, receipt) for part, receipt in self.parts())
        )

    def _settled(self, parts: Parts) -> list[Needs]:
        """What the parts settle: as this judge judges, or because every response is there."""
        return [
            receipt.complete_for
            for _, receipt in parts
            if receipt.complete_for.demands is None
            or (
                receipt.judge == self.judge
                and (self.asked is None or receipt.answers == self.asked.answers)
            )
        ]


def take_over(part: Path, own: Path) -> None:
    """Link a part of another pool, and its receipt first, as a part of the own pool.

    Raises:
        PoolError: a link cannot be made.
    """
    link(store.receipt_path(part), store.receipt_path(own))
    link(part, own)
