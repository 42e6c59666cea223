"""How responses are judged, as a spec: what a job passes on and a pool remembers."""

from functools import cache
from hashlib import blake2b

from pydantic import Field

from ssgr.config import Strict
from ssgr.config.conventions import DEFAULT, MethodName, NamedConventions
from ssgr.storage.provenance import code_digest


class Judging(Strict):
    """How a source's responses are judged."""

    method: MethodName = Field("math", description="how an answer is judged")
    conventions: NamedConventions = Field(
        DEFAULT, description="what counts as the same answer: a preset's name, or settings"
    )
    think_open: str = Field("<think>", description="tag that opens the thinking")
    think_close: str = Field("</think>", description="tag that closes the thinking")
    time_limit: float = Field(5.0, gt=0, description="seconds of processor time for one verdict")
    workers: int = Field(1, ge=1, description="judging processes (execution only)")

    @property
    def identity(self) -> str:
        """What decides a verdict, in one line: how responses are judged, and by which code."""
        return f"{self.model_dump_json(exclude={'workers'})} {_code()}"

    @property
    def digest(self) -> str:
        """A short form of the identity, for a path."""
        return blake2b(self.identity.encode(), digest_size=4).hexdigest()


@cache
def _code() -> str:
    """Asked for by every shard of a plan; the code does not change while a process runs."""
    return code_digest("ssgr.grading", "ssgr.grading.quality")
