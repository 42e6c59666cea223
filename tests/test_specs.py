"""A job's spec: a rule's only param, read by its command; flags by hand say the same."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ssgr.__main__ import Stages, main
from ssgr.commands.grade import GradeCommand
from ssgr.commands.select import TallyCommand
from workflow_dag import dag

SPEC = {"length": "median", "tau": "0.75", "budget": {"sequences": 3, "tokens": 40}, "samples": 4,
        "pool": "pool", "graded": ["a.json"]}  # fmt: skip


def commands() -> dict[str, type[BaseModel]]:
    """The command classes by the name on the command line."""
    fields = Stages.model_fields.items()
    return {name.replace("_", "-"): get_args(field.annotation)[0] for name, field in fields}


def test_every_rule_has_one_param_and_its_command_knows_all_of_it(
    tmp_path: Path, root: Path
) -> None:
    targets = ["report", "table8", "verification", "hand_check", "plan", "paper_page"]
    jobs = [job for job in dag(root, tmp_path, *targets) if job.command]
    assert len({job.rule for job in jobs}) >= 15
    for job in jobs:
        assert list(job.params) == ["spec"], job.rule
        spec = json.loads(job.params["spec"])
        unknown = spec.keys() - commands()[str(job.command)].model_fields.keys() - {"made_with"}
        assert not unknown, job.rule


def test_a_spec_and_flags_make_the_same_command() -> None:
    flags = {**SPEC, "out": "x.parquet"}
    made_with = {"made_with": {"code": "of another version"}}
    of_spec = TallyCommand.model_validate(
        {"spec": json.dumps(SPEC | made_with), "out": "x.parquet"}
    )
    assert of_spec == TallyCommand.model_validate(flags).model_copy(update={"spec": of_spec.spec})
    assert of_spec.model_dump() == TallyCommand.model_validate(flags).model_dump()


def test_flags_go_before_the_spec_at_any_depth() -> None:
    spec = json.dumps({"judging": {"method": "choice", "workers": 1}, "problems": "spec.parquet"})
    flags: dict[str, Any] = {"judging": {"workers": 3}, "problems": "flag.parquet"}
    command = GradeCommand.model_validate({"spec": spec, "responses": "r", "out": "o", **flags})
    assert (command.judging.method, command.judging.workers) == ("choice", 3)
    assert command.problems == Path("flag.parquet")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{length", "--spec is no JSON"),
        ("[1]", "--spec is no JSON object"),
        (json.dumps(SPEC | {"lenght": "median"}), "--lenght"),
        (json.dumps(SPEC | {"tau": "1.5"}), "tau '1.5'"),
    ],
)
def test_a_wrong_spec_is_refused(spec: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tally", "--spec", spec, "--out", "x.parquet"]) == 1
    assert said in capsys.readouterr().err
