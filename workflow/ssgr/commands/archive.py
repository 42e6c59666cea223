"""`archive pack` and `archive unpack`: a pruned checkpoint without its zeros, and back."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from ssgr.commands.terminal import size
from ssgr.config import Strict


class ArchivePackCommand(Strict):
    """Store values and a bitmask instead of zeros; nothing is rounded."""

    checkpoint: CliPositionalArg[Path] = Field(description="model folder with many zeros")
    out: CliPositionalArg[Path] = Field(description="folder to write")

    def cli_cmd(self) -> None:
        """Pack, and say what it saved."""
        from ssgr.publish.archive import pack

        sizes = pack(self.checkpoint, self.out)
        share = sizes.packed / max(sizes.dense, 1)
        print(
            f"{self.out}: {size(sizes.packed)} instead of {size(sizes.dense)} ({share:.1%}); "
            f"{sizes.matrices} matrices packed. `ssgr archive unpack` gives the same bits back."
        )


class ArchiveUnpackCommand(Strict):
    """Make the model folder again that was packed, bit by bit."""

    archive: CliPositionalArg[Path] = Field(description="folder that `archive pack` wrote")
    out: CliPositionalArg[Path] = Field(description="folder to write")

    def cli_cmd(self) -> None:
        """Unpack."""
        from ssgr.publish.archive import unpack

        unpack(self.archive, self.out)
        print(f"{self.out} is the model that was packed.")


class ArchiveCommand(Strict):
    """A pruned checkpoint without its zeros, for disks and downloads."""

    pack: CliSubCommand[ArchivePackCommand]
    unpack: CliSubCommand[ArchiveUnpackCommand]

    def cli_cmd(self) -> None:
        """Run what was named."""
        CliApp.run_subcommand(self)
