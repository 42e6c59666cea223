"""`prune`: a model folder and a calibration set become a pruned Hugging Face folder."""

from pathlib import Path

from pydantic import Field, field_validator

from ssgr.commands.flags import A_MODEL, GPUS, ModelFlag
from ssgr.config import Pruning, Strict
from ssgr.devices import keep
from ssgr.provenance import describe
from ssgr.tables import TokenSequences, read


class PruneCommand(Strict):
    """Prune a model folder on a calibration set into an ordinary Hugging Face folder."""

    model: ModelFlag = Field(description=f"dense model: {A_MODEL}")
    calibration: Path | None = Field(
        None, description="Parquet file with a token_ids column; not needed by magnitude"
    )
    pruner: str = Field("sparsegpt", description="how weights are chosen and updated")
    sparsity: str = Field("50", description="percent, or N:M (N zeros in every M), e.g. 2:4")
    settings: Pruning = Field(Pruning(), description="constants of the pruner")
    device: str = Field("auto", description="cpu, cuda, ...; auto takes a GPU if there is one")
    gpus: int | None = Field(None, ge=0, description=GPUS)
    out: Path = Field(description="folder to write")

    @field_validator("sparsity", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> str:
        return str(value)

    def cli_cmd(self) -> None:
        """Prune and write."""
        if self.gpus is not None:
            keep(self.gpus, f"pruning {self.out.name}")
        from ssgr.pruning.checkpoint import prune_checkpoint
        from ssgr.pruning.pruner import PrunerSettings
        from ssgr.sparsity import Sparsity

        sequences: list[list[int]] = []
        if self.calibration is not None:
            sequences = read(self.calibration, TokenSequences, cast=True)["token_ids"].to_list()
        report = prune_checkpoint(
            self.model.location,
            self.out,
            sequences=sequences,
            pruner=self.pruner,
            sparsity=Sparsity.parse(self.sparsity),
            settings=PrunerSettings(**self.settings.model_dump()),
            device=self.device,
            dtype=self.model.dtype,
            revision=self.model.revision,
            trust_remote_code=self.model.trust_remote_code,
            spec=describe(prune=self.model_dump(exclude={"out", "gpus"})),
        )
        print(report.select("matrix", "sparsity", "relative_error", "seconds"))
