"""``python -m ssgr STAGE --help``: the stage commands, which work with or without Snakemake."""

import argparse
import sys
from typing import Any

from pydantic import Field, ValidationError, create_model
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    CliSubCommand,
    SettingsConfigDict,
    SettingsError,
)

from ssgr.commands.archive import ArchiveCommand
from ssgr.commands.audit import AuditCommand, VerdictsCommand
from ssgr.commands.check import CheckCommand
from ssgr.commands.experiment import ExperimentCommand
from ssgr.commands.export import ExportCommand
from ssgr.commands.grade import GradeCommand, GradeShardCommand
from ssgr.commands.hand_check import HandCheckCommand, HandCheckedCommand
from ssgr.commands.lend_node import LendNodeCommand
from ssgr.commands.outcome import PaperCommand, ReportCommand, ScoreCommand
from ssgr.commands.plan import PlanCommand
from ssgr.commands.pool import PoolCommand
from ssgr.commands.problems import ProblemsCommand
from ssgr.commands.prune import PruneCommand
from ssgr.commands.publish import PublishCommand
from ssgr.commands.sample import SampleCommand, SampleShardCommand
from ssgr.commands.select import SelectCommand, TallyCommand
from ssgr.commands.status import StatusCommand
from ssgr.config import Strict
from ssgr.errors import SsgrError

COMMANDS: dict[str, type[Strict]] = {
    "problems": ProblemsCommand,
    "sample": SampleCommand,
    "sample_shard": SampleShardCommand,
    "lend_node": LendNodeCommand,
    "grade": GradeCommand,
    "grade_shard": GradeShardCommand,
    "verdicts": VerdictsCommand,
    "audit": AuditCommand,
    "hand_check": HandCheckCommand,
    "hand_checked": HandCheckedCommand,
    "tally": TallyCommand,
    "select": SelectCommand,
    "prune": PruneCommand,
    "check": CheckCommand,
    "archive": ArchiveCommand,
    "publish": PublishCommand,
    "export": ExportCommand,
    "score": ScoreCommand,
    "report": ReportCommand,
    "experiment": ExperimentCommand,
    "paper": PaperCommand,
    "pool": PoolCommand,
    "plan": PlanCommand,
    "status": StatusCommand,
}


class _Base(BaseSettings):
    """Prune large reasoning models on their own correct, hard, medium-length reasoning."""

    model_config = SettingsConfigDict(
        cli_prog_name="ssgr",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=False,
        cli_enforce_required=False,
        env_prefix="SSGR_STAGE_",
    )

    def cli_cmd(self) -> None:
        """Run the stage that was named."""
        CliApp.run_subcommand(self)


def _told(command: type[Strict]) -> str:
    """A command's docstring, its first sentence."""
    return (command.__doc__ or "").partition("\n")[0]


Stages: type[_Base] = create_model(  # type: ignore[call-overload]
    "Stages",
    __base__=_Base,
    __doc__=_Base.__doc__,
    **{
        name: (CliSubCommand[command], Field(description=_told(command)))  # type: ignore[misc,valid-type]
        for name, command in COMMANDS.items()
    },
)


class _Help(argparse.HelpFormatter):
    """Help that begins with what a command does, not with a screen of nested flags."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """Name the command; its flags follow with their meanings."""
        if prefix is None:  # else it is asked for the name of a command
            named = [
                "COMMAND" if isinstance(each, argparse._SubParsersAction) else str(each.metavar)
                for each in actions
                if not each.option_strings
            ]
            usage, actions = " ".join([self._prog, *named, "[FLAGS]"]), []
        super().add_usage(usage, actions, groups, prefix)


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; a user's mistake ends with its message and exit code 1, no traceback."""
    try:
        given = sys.argv[1:] if arguments is None else arguments
        source = CliSettingsSource[Any](Stages, formatter_class=_Help)
        CliApp.run(Stages, cli_args=given, cli_settings_source=source)
    except ValidationError as error:
        print(*(f"error: {_flag(detail)}" for detail in error.errors()), sep="\n", file=sys.stderr)
        return 1
    except SettingsError as error:
        print(f"error: {error}: {error.__cause__ or 'it is no JSON'}", file=sys.stderr)
        return 1
    except SsgrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _flag(detail: ErrorDetails) -> str:
    name = "--" + ".".join(str(part) for part in detail["loc"][1:]).replace("_", "-")
    if detail["type"] == "missing":
        return f"{name}: is missing"
    message = detail["msg"].removeprefix("Value error, ")
    secret = "urls" in detail["loc"] or "server" in detail["loc"]  # it may hold a password
    return f"{name}: {message}" + ("" if secret else f", not {detail['input']!r}")


if __name__ == "__main__":
    sys.exit(main())
