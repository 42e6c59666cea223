"""What a rule and its command share: a job's spec, the paths, and INTERFACE.yaml for others."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssgr.__main__ import COMMANDS, main
from ssgr.commands.grade import GradeCommand
from ssgr.commands.select import TallyCommand
from ssgr.jobs import grid, paths
from workflow_dag import dag

SPEC = {"length": "median", "tau": "0.75", "budget": {"sequences": 3, "tokens": 40}, "samples": 4,
        "pool": "pool", "graded": ["a.json"]}  # fmt: skip


def test_every_rule_has_one_param_and_its_command_knows_all_of_it(
    tmp_path: Path, root: Path
) -> None:
    targets = ["report", "table8", "verification", "hand_check", "plan", "paper_page"]
    jobs = [job for job in dag(root, tmp_path, *targets) if job.command]
    assert len({job.rule for job in jobs}) >= 15
    for job in jobs:
        assert list(job.params) == ["spec"], job.rule
        spec = json.loads(job.params["spec"])
        unknown = (
            spec.keys()
            - COMMANDS[str(job.command).replace("-", "_")].model_fields.keys()
            - {"made_with"}
        )
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


def test_the_interface_names_every_path_and_wildcard(root: Path) -> None:
    said = yaml.safe_load((root / "INTERFACE.yaml").read_text())
    for name, path in said["results"].items():
        assert path == getattr(paths, name.upper())
    for name, path in said["pool"].items():
        assert path == getattr(paths, f"POOL_{name.upper()}")
    used = {key for pattern in paths.OUTPUTS.values() for key in re.findall(r"{(\w+)}", pattern)}
    assert used | {"grader"} == said["wildcards"].keys() == grid.KEYS.keys() | {"shard"}
    for rule, pattern in paths.OUTPUTS.items():
        assert any(pattern.startswith(path) for path in said["results"].values()) or (
            rule in ("sample", "grade")  # receipts: what they say of the pool is ours
        )


def test_no_module_but_paths_spells_a_path_of_keys(root: Path) -> None:
    """A ``key={...}`` folder in a string belongs into `ssgr.jobs.paths`."""
    spelled = re.compile(rf"[\"/']({'|'.join(grid.KEYS)})={{")
    package = root / "workflow" / "ssgr"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if spelled.search(path.read_text())
    }
    assert found == {"jobs/paths.py"}
