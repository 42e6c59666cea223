"""``python -m ssgr STAGE --help``: the stage commands, which work with or without Snakemake."""

import sys

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    CliApp,
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
from ssgr.errors import SsgrError


class Stages(BaseSettings):
    """Prune large reasoning models on their own correct, hard, medium-length reasoning."""

    model_config = SettingsConfigDict(
        cli_prog_name="python -m ssgr",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=False,
        cli_enforce_required=False,
        env_prefix="SSGR_STAGE_",
    )

    problems: CliSubCommand[ProblemsCommand]
    sample: CliSubCommand[SampleCommand]
    sample_shard: CliSubCommand[SampleShardCommand]
    lend_node: CliSubCommand[LendNodeCommand]
    grade: CliSubCommand[GradeCommand]
    grade_shard: CliSubCommand[GradeShardCommand]
    verdicts: CliSubCommand[VerdictsCommand]
    audit: CliSubCommand[AuditCommand]
    hand_check: CliSubCommand[HandCheckCommand]
    hand_checked: CliSubCommand[HandCheckedCommand]
    tally: CliSubCommand[TallyCommand]
    select: CliSubCommand[SelectCommand]
    prune: CliSubCommand[PruneCommand]
    check: CliSubCommand[CheckCommand]
    archive: CliSubCommand[ArchiveCommand]
    publish: CliSubCommand[PublishCommand]
    export: CliSubCommand[ExportCommand]
    score: CliSubCommand[ScoreCommand]
    report: CliSubCommand[ReportCommand]
    experiment: CliSubCommand[ExperimentCommand]
    paper: CliSubCommand[PaperCommand]
    pool: CliSubCommand[PoolCommand]
    plan: CliSubCommand[PlanCommand]
    status: CliSubCommand[StatusCommand]

    def cli_cmd(self) -> None:
        """Run the stage that was named."""
        CliApp.run_subcommand(self)


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; a user's mistake ends with its message and exit code 1, no traceback."""
    try:
        CliApp.run(Stages, cli_args=sys.argv[1:] if arguments is None else arguments)
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
