"""`pool`: how far a source is sampled, and where that is kept."""

import os

from pydantic import Field, model_validator

from ssgr.config.base import Folder, Strict


class Pool(Strict):
    """How far a source is sampled, and in what shards.

    Problems are visited in their seeded order, a wave of shards at a time, until every
    calibration has its budget, and no further.
    """

    path: Folder = Field("pool", description="folder shared between experiments and users")
    extend: Folder | None = Field(
        None,
        description="a folder of one's own, where `path` may not be written, or shall not be: it "
        "takes over by links what `path` holds, and what is sampled and graded beyond goes there",
    )
    problems: int | None = Field(
        None, ge=1, description="visit at most so many problems of a source; default: all of them"
    )
    shard_size: int = Field(
        64, ge=1, description="problems in one shard (one job); names the shards, so keep it"
    )
    wave: int = Field(4, ge=1, description="shards sampled before looking whether more are needed")
    give_up: int = Field(
        8,
        ge=1,
        description="waves without a single candidate after which a calibration is given up: a "
        "verifier or a band that fits nothing would visit the whole source",
    )

    @property
    def folder(self) -> str:
        """The pool that is used and grows: `extend` if it is set, else `path`."""
        return self.extend or self.path

    @property
    def base(self) -> str | None:
        """The pool that is only read, if another extends it."""
        return self.path if self.extend else None

    @model_validator(mode="after")
    def _apart(self) -> "Pool":
        if self.extend and os.path.abspath(self.extend) == os.path.abspath(self.path):
            raise ValueError(
                f"extend {self.extend} is the pool itself: name another folder, or leave it out"
            )
        return self
