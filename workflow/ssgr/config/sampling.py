"""`sampling` and `evaluation`: how responses are drawn."""

from pydantic import Field, model_validator

from ssgr.config.base import Strict


class Sampling(Strict):
    """How responses are drawn; spelled out in the path, so that a pool never mixes two."""

    n: int = Field(16, ge=1, description="responses per problem")
    temperature: float = Field(0.6, ge=0, description="softmax temperature; 0 is greedy")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus probability mass")
    max_tokens: int = Field(32768, ge=1, description="longest response, in tokens")
    seed: int = Field(0, ge=0, description="seed of all draws")

    @property
    def key(self) -> str:
        """The sampling as a path component, e.g. ``n16-t0.60-p0.95-l32768-s0``."""
        return (
            f"n{self.n}-t{self.temperature:.2f}-p{self.top_p:.2f}-l{self.max_tokens}-s{self.seed}"
        )

    @model_validator(mode="after")
    def _two_decimals(self) -> "Sampling":
        """The path spells two decimals: a third would let two samplings share a folder."""
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if round(value, 2) != value:
                raise ValueError(f"{name} {value} has more than two decimals")
        return self


class PoolSampling(Sampling):
    """How the pool is drawn: a sampling, and whether it may stop early."""

    early_stop: bool = Field(
        True,
        description="draw no response that cannot change a selection (section 4: c > tau is "
        "certain); the selected sets are the same. false draws all n, for statistics of c",
    )

    @property
    def drawn(self) -> Sampling:
        """The sampling parameters without `early_stop`."""
        return Sampling(**self.model_dump(exclude={"early_stop"}))
