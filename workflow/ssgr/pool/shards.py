"""One shard of a pool: whether it holds what is needed, and how it grows by a part."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ssgr.errors import PoolError
from ssgr.pool import store
from ssgr.pool.receipts import SampledShard, open_part, refer
from ssgr.provenance import describe
from ssgr.settling import Needs, joined
from ssgr.tables import Responses


@dataclass(frozen=True)
class Shard:
    """A shard as an experiment wants it.

    ``path`` is its first part, ``manifest`` what its folder must say, ``needs`` what it must
    settle as judged by ``judge`` (how, and by which code).
    """

    path: Path
    manifest: Mapping[str, object]
    needs: Needs
    judge: str

    @property
    def lock(self) -> Path:
        """What is held while the shard grows."""
        return self.path.with_name(f".{self.path.stem}.lock")

    @property
    def journal(self) -> Path:
        """Where responses are kept until their part appears."""
        return self.path.with_name(f".{self.path.stem}.journal")

    def receipts(self) -> list[store.ResponsesReceipt]:
        """Return the receipts of the shard's parts.

        Raises:
            PoolError: the folder has another manifest, or a part another one than the folder.
        """
        digest = store.check_manifest(self.path.parent, self.manifest)
        found = []
        for part in store.parts(self.path):
            receipt = store.read_receipt(part, store.ResponsesReceipt)
            if receipt.manifest != digest:
                raise PoolError(
                    f"{part} was not made under the {store.MANIFEST} beside it: it comes from "
                    "another pool, model or sampling. Move it and its receipt away."
                )
            found.append(receipt)
        return found

    def complete(self) -> bool:
        """Whether the parts' receipts say that they settle the needs."""
        return self.needs.covered_by(joined(self._settled(), self.needs.filters))

    def left_a_journal(self) -> bool:
        """Whether a run broke off between its part and the end of its journal; we may clear up."""
        return self.journal.exists() and os.access(self.path.parent, os.W_OK)

    def check_questions(self, questions: str, problems: Path) -> None:
        """Compare what the parts were asked with the digest of the shard's questions.

        Raises:
            PoolError: names the part.
        """
        for part, receipt in zip(store.parts(self.path), self.receipts(), strict=True):
            if receipt.questions != questions:
                raise PoolError(
                    f"{part} holds responses to other questions than {problems}: the source's "
                    "data or its generator has changed. Give the changed source another name or "
                    "another pool.path, or purge these responses (ssgr pool purge)."
                )

    def responses(self) -> pl.DataFrame:
        """Return what the parts hold, their checksums compared."""
        folder = self.path.parent
        tables = [
            open_part(folder, refer(folder, part, receipt), Responses)
            for part, receipt in zip(store.parts(self.path), self.receipts(), strict=True)
        ]
        return pl.concat([Responses.create_empty(), *tables])

    def grow(
        self, responses: pl.DataFrame, questions: str, *, seconds: float, **facts: object
    ) -> None:
        """Publish those of ``responses`` that no part has yet as the shard's next part."""
        parts = store.parts(self.path)
        new = responses.join(self.responses(), on=["problem_id", "sample"], how="anti")
        if new.is_empty():
            return
        store.publish(
            new,
            Responses,
            store.numbered(self.path, len(parts)),
            describe(**self.manifest, questions=questions),
            store.ResponsesReceipt,
            problems=new["problem_id"].n_unique(),
            tokens=new["tokens"].sum(),
            manifest=store.check_manifest(self.path.parent, self.manifest),
            questions=questions,
            complete_for=joined([*self._settled(), self.needs], self.needs.filters),
            judge=self.judge,
            seconds=seconds,
            **facts,
        )

    def sampled(self, pool: Path) -> SampledShard:
        """Return the local receipt: references to the parts."""
        parts = store.parts(self.path)
        return SampledShard(
            parts=tuple(
                refer(pool, part, receipt)
                for part, receipt in zip(parts, self.receipts(), strict=True)
            )
        )

    def _settled(self) -> list[Needs]:
        """What the parts settle: as this judge judges, or because every response is there."""
        return [
            receipt.complete_for
            for receipt in self.receipts()
            if receipt.judge == self.judge or receipt.complete_for.demands is None
        ]
