"""`export`: a calibration set as a dataset folder for quantisers."""

from pathlib import Path

from pydantic import Field

from ssgr.commands.flags import A_MODEL, ModelFlag
from ssgr.config import Strict


class ExportCommand(Strict):
    """Write a calibration set as a Hugging Face dataset folder, for quantisers and others."""

    calibration: Path = Field(description="what `select` wrote, or a Parquet file with token_ids")
    out: Path = Field(description="folder to write")
    model: ModelFlag | None = Field(
        None, description=f"whose tokens they are, if the file does not say: {A_MODEL}"
    )
    license: str | None = Field(None, description="of the data, for the card: an SPDX identifier")

    def cli_cmd(self) -> None:
        """Export."""
        from ssgr.publish.quantisers import export

        export(self.calibration, self.out, model=self.model, licence=self.license)
        print(f"{self.out} is a dataset folder; its README.md says how quantisers take it.")
