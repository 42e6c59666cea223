"""`sample` and `sample-shard`: responses to problems, as a table or as a shard of the pool."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from ssgr.cluster.gpu_lease import keep
from ssgr.commands.flags import GPUS, Command
from ssgr.config import Model, Sampling
from ssgr.errors import ConfigError, PoolError
from ssgr.grading.alarms import say, unclosed
from ssgr.grading.spec import Judging
from ssgr.pool import receipts, store
from ssgr.pool.shards import Asked, Shard
from ssgr.selection.early_stop import Needs
from ssgr.storage.confidential import link, place
from ssgr.storage.locks import only_one
from ssgr.storage.permissions import check_rights
from ssgr.storage.provenance import describe, fingerprint
from ssgr.storage.tables import Problems, Responses, read, read_spec, write

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ssgr.sampling import EarlyStop, Engine, Journal, Sampled


class SampleCommand(Command):
    """Sample responses to a problem set."""

    problems: Path = Field(description="Problems table")
    model: Model = Field(description="registry entry of the dense model: prompt, dtype, engine")
    checkpoint: str | None = Field(None, description="sample this pruned folder in its place")
    sampling: Sampling = Field(description="how responses are drawn")
    gpus: int | None = Field(None, ge=0, description=GPUS)
    out: Path = Field(description="Responses table to write")

    def cli_cmd(self) -> None:
        """Load the model, sample, write; a run that was cut off goes on from its journal."""
        problems = read(self.problems, Problems)
        spec = describe(
            **store.manifest(self.model, self.sampling),
            checkpoint=self.checkpoint and fingerprint(self.checkpoint),
            questions=Asked.of(problems).questions,
        )
        # a job that a killed Snakemake left behind may still be at it
        out = place(self.out, like=self.problems)
        with only_one(out.with_name(f".{out.name}.lock"), f"sampling {out}"):
            if not out.exists() or read_spec(out) != spec:
                self._sample(problems, spec, out)
        link(self.out, out)

    def _sample(self, problems: pl.DataFrame, spec: str, out: Path) -> None:
        from ssgr.pruning.output.summary import check_encoding
        from ssgr.sampling import Journal, tokenizer_of
        from ssgr.sampling.tokenizer import encoding_digest

        tokenizer = tokenizer_of(self.model, self.checkpoint)
        if self.checkpoint:
            check_encoding(Path(self.checkpoint), encoding_digest(tokenizer))
        journal = Journal.open(out.with_name(f".{out.name}.journal"), spec)
        try:
            sampled = _sample(
                self.model,
                self.checkpoint,
                self.gpus,
                problems,
                self.sampling,
                tokenizer,
                journal=journal,
            )
        except BaseException:
            journal.leave()
            raise
        write(sampled.responses, Responses, out, spec)
        journal.remove()


class SampleShardCommand(Command):
    """Make sure that the pool holds a shard's responses: what is missing is sampled, once.

    Any number of these may run at a time, on the same shard too.
    """

    problems: Path = Field(description="Problems table of the source")
    model: Model = Field(description="registry entry of the dense model: prompt, dtype, engine")
    sampling: Sampling = Field(description="how responses are drawn")
    first: int = Field(ge=0, description="first problem (row) of the shard")
    last: int = Field(ge=1, description="row after its last problem")
    pool: Path = Field(description="the pool's folder")
    shard: Path = Field(description="the shard's file in the pool")
    needs: Needs = Field(description="what may be looked at: sampling stops early beyond it")
    judging: Judging = Field(description="how responses are judged for that")
    gpus: int | None = Field(None, ge=0, description=GPUS)
    draw: bool = Field(True, description="draw what is missing; else that is an error")
    base: Path | None = Field(None, description="a pool that this one extends; it is only read")
    out: Path = Field(description="receipt to write: which parts of the pool hold the shard")

    def cli_cmd(self) -> None:
        """Look, and draw what is missing under the shard's lock; write the receipt."""
        problems = read(self.problems, Problems).slice(self.first, self.last - self.first)
        manifest = store.manifest(self.model, self.sampling)
        asked = Asked.of(problems)
        base = self.base and self.base / self.shard.relative_to(self.pool)
        shard = Shard(self.shard, manifest, self.needs, self.judging.identity, asked, base)
        if len(problems) and self._is_work(shard):  # a wave may reach beyond the source's end
            self._check_leave(shard)
            shard = self._encoding_known(shard)
            with only_one(shard.lock, f"sampling {self.shard.relative_to(self.pool)}"):
                if shard.inherits():
                    shard.claim()
                shard = shard.adopted()
                if self._lacks(shard):
                    self._draw(shard, problems, asked)
        held = shard.sampled(self.pool)
        receipts.write(held, self.out)
        print(f"{sum(p.rows for p in held.parts)} responses, parts: {[p.path for p in held.parts]}")

    def _lacks(self, shard: Shard) -> bool:
        """Whether there is something to draw, or to clear up after a run that broke off."""
        return not shard.complete() or (self.draw and shard.left_a_journal())

    def _is_work(self, shard: Shard) -> bool:
        return self._lacks(shard) or shard.inherits()

    def _encoding_known(self, shard: Shard) -> Shard:
        """The shard whose manifest says how the tokenizer reads, if something is to be drawn."""
        from ssgr.sampling.tokenizer import encoding_digest

        if not self._lacks(shard):
            return shard
        encoding = {store.ENCODING: encoding_digest(self._tokenizer)}
        return replace(shard, manifest={**shard.manifest, **encoding})

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase":
        from ssgr.sampling.tokenizer import tokenizer_of

        return tokenizer_of(self.model)

    def _check_leave(self, shard: Shard) -> None:
        check_rights(self.shard, self.pool)
        if not self.draw and self._lacks(shard):
            raise PoolError(
                f"{self.shard} was whole when this job was planned, without a GPU; now it is not: "
                "the pool was changed meanwhile. Run again."
            )

    def _draw(self, shard: Shard, problems: pl.DataFrame, asked: Asked) -> None:
        from ssgr.sampling import EarlyStop, Journal
        from ssgr.sampling.engines import versions

        manifest = store.manifest(self.model, self.sampling)  # a journal of before goes on
        journal = Journal.open(shard.journal, describe(**manifest, questions=asked.questions))
        if journal.known:
            shard.claim()
        early = EarlyStop(self.needs, self.judging) if self.needs.demands is not None else None
        draw = partial(
            _sample, self.model, None, self.gpus, problems, self.sampling, self._tokenizer
        )
        try:
            sampled = draw(
                journal=journal, earlier=shard.responses(), early_stop=early, begin=shard.claim
            )
        except BaseException:
            journal.leave()
            raise
        shard.grow(
            sampled.responses,
            seconds=sampled.seconds,
            resumed=len(journal.known),
            gpus=self.gpus or 0,
            versions=versions(self.model.engine),
        )
        journal.remove()


def _sample(
    model: Model,
    checkpoint: str | None,
    gpus: int | None,
    problems: pl.DataFrame,
    sampling: Sampling,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    journal: "Journal",
    earlier: pl.DataFrame | None = None,
    early_stop: "EarlyStop | None" = None,
    begin: Callable[[], object] | None = None,
) -> "Sampled":
    """Sample from a registry entry, or from a pruned folder in its place."""
    from ssgr.sampling import PromptFormat, sample

    folder = checkpoint or model.location
    revision = None if checkpoint else model.revision
    sampled = sample(
        problems,
        name=Path(folder).name,
        template=PromptFormat.of(model),
        sampling=sampling,
        engine=partial(_engine, model, folder, revision, gpus),
        tokenizer=tokenizer,
        tags=(model.think_open, model.think_close),
        journal=journal,
        earlier=earlier,
        early_stop=early_stop,
        begin=begin,
    )
    say(unclosed(sampled.responses, model.think_close))
    return sampled


def _engine(
    model: Model, folder: str, revision: str | None, gpus: int | None, length: int
) -> "Engine":
    """Load the model's engine on devices that no other job has."""
    from ssgr.sampling import load_engine

    try:
        layout = model.execution.layout(gpus)
    except ValueError as error:
        raise ConfigError(f"--gpus {gpus}: {error}.") from None
    each = None if gpus is None else gpus // layout.nodes
    if each is not None:
        keep(each, f"sampling from {Path(folder).name}")
    return load_engine(
        model.engine,
        folder,
        revision=revision,
        dtype=model.dtype,
        trust_remote_code=model.trust_remote_code,
        batch_size=model.execution.batch_size,
        max_length=length,
        layout=layout,
        gpus=each,
        memory_share=model.execution.memory_share,
        server=model.server,
    )
