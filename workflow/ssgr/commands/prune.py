"""`prune`: a model folder and a calibration set become a pruned Hugging Face folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from ssgr.cluster.gpu_lease import keep
from ssgr.commands.flags import A_MODEL, GPUS, Command, ModelFlag
from ssgr.config import Constants, Recipe
from ssgr.errors import PruningError
from ssgr.storage.provenance import describe
from ssgr.storage.tables import Prompts, TokenSequences, read

if TYPE_CHECKING:
    from ssgr.pruning.objective import CalibrationSequence


class PruneCommand(Command):
    """Prune a model folder on a calibration set into an ordinary Hugging Face folder.

    Such as `ssgr prune --model FOLDER --calibration calibration.parquet --sparsity 50 --out NEW`.
    A run that was cut off goes on at the block it had reached: give the same command again.
    """

    model: ModelFlag = Field(description=f"dense model: {A_MODEL}")
    calibration: Path | None = Field(
        None, description="Parquet file with a token_ids column; not needed by magnitude"
    )
    held_back: Path | None = Field(
        None, description="another such file, whose perplexity is reported; calibrates nothing"
    )
    pruner: str = Field(
        "sparsegpt", description="how weights are chosen and updated; or a Python file of your own"
    )
    sparsity: str = Field("50", description="percent, or N:M (N zeros in every M), e.g. 2:4")
    settings: Constants = Field(Constants(), description="allocation, objective, constants")
    device: str = Field("auto", description="cpu, cuda, ...; auto takes a GPU if there is one")
    gpus: int | None = Field(None, ge=0, description=GPUS)
    spill: Path | None = Field(
        None, description="folder for hidden states beyond the cap; default: beside the checkpoint"
    )
    cap_mb: int = Field(4096, ge=0, description="MB of hidden states kept in memory")
    out: Path = Field(description="folder to write")
    overwrite: bool = Field(False, description="replace another pruned checkpoint at `out`")

    @field_validator("sparsity", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> str:
        return str(value)

    def cli_cmd(self) -> None:
        """Prune and write."""
        if self.gpus is not None:
            keep(self.gpus, f"pruning {self.out.name}")
        from ssgr.config.sparsity import Sparsity
        from ssgr.pruning.checkpoint import prune_checkpoint
        from ssgr.pruning.checks import check_folders, local_folder
        from ssgr.pruning.output.summary import check_encoding
        from ssgr.publish.cards.facts import origin_of
        from ssgr.publish.cards.model import write_card

        held_back = read(self.held_back, TokenSequences, cast=True) if self.held_back else None
        execution = ("out", "overwrite", "gpus", "spill", "cap_mb")
        asked = self.model_dump(exclude={**dict.fromkeys(execution, True), "model": {"execution"}})
        dense = local_folder(self.model.location, self.model.revision)
        origin = origin_of(self.model, dense, self.calibration, self.out)
        check_folders(dense, self.out)
        encoding = self._encoding(dense)
        self._check_calibration(encoding)

        def finish(folder: Path) -> None:
            check_encoding(folder, self._encoding(folder))
            write_card(folder)

        report = prune_checkpoint(
            dense,
            self.out,
            calibration=self._calibration(),
            held_back=[] if held_back is None else held_back["token_ids"].to_list(),
            recipe=Recipe(method=self.pruner, **self.settings.model_dump()),
            sparsity=Sparsity.parse(self.sparsity),
            device=self.device,
            dtype=self.model.dtype,
            revision=self.model.revision,
            trust_remote_code=self.model.trust_remote_code,
            spec=describe(prune=asked, **origin),
            encoding=encoding,
            spill=self.spill,
            cap_mb=self.cap_mb,
            before_it_appears=finish,
            overwrite=self.overwrite,
        )
        print(report.select("matrix", "achieved_sparsity", "relative_error", "seconds"))

    def _encoding(self, folder: Path) -> str:
        """The digest of how the tokenizer in the model's folder, or a checkpoint's, encodes."""
        from ssgr.sampling.tokenizer import encoding_digest, tokenizer_of

        return encoding_digest(tokenizer_of(self.model, str(folder)))

    def _check_calibration(self, encoding: str) -> None:
        from ssgr.selection.calibration import check_encoding

        for path in filter(None, (self.calibration, self.held_back)):
            check_encoding(path, encoding, self.model.location)

    def _calibration(self) -> list["CalibrationSequence"]:
        """The sequences, with the weight of each token that the objective asks for."""
        from ssgr.pruning.objective import calibration_sequences

        if self.calibration is None:
            return []
        objective = self.settings.objective
        sequences = read(self.calibration, TokenSequences, cast=True)["token_ids"].to_list()
        if objective.tokens in ("all", "inverse-frequency"):
            return calibration_sequences(sequences, objective)
        prompts = read(self.calibration, Prompts, cast=True)["prompt_tokens"].to_list()
        think_close = () if objective.tokens == "decode" else self._think_close()
        return calibration_sequences(
            sequences, objective, prompt_tokens=prompts, think_close=think_close
        )

    def _think_close(self) -> list[int]:
        from ssgr.sampling.tokenizer import tokenizer_of

        tokenizer = tokenizer_of(self.model)
        token_ids: list[int] = tokenizer.encode(self.model.think_close, add_special_tokens=False)
        if not token_ids:
            raise PruningError(f"the tokenizer has no tokens for {self.model.think_close!r}")
        return token_ids
