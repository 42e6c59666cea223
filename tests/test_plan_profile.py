"""What the paper's jobs ask a SLURM cluster for, and what is refused before they are submitted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from published_models import cache_configs
from workflow_dag import DagJob, dag

PAPER = "config/paper.yaml"
KINDS = {"models": {"r1-qwen-7b": {"gpu_model": "a100"}}}


@pytest.fixture(scope="module")
def jobs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[DagJob]:
    """The paper's jobs by the slurm profile, with the models' configs in the hub's cache."""
    place = tmp_path_factory.mktemp("paper")
    cache_configs(root, place / "hub_home")
    (place / "kinds.yaml").write_text(yaml.safe_dump(KINDS))
    return dag(
        root, place, "--profile", str(root / "workflow" / "profiles" / "slurm"),
        "--configfile", str(root / PAPER), str(place / "kinds.yaml"),
        HF_HOME=str(place / "hub_home"),
    )  # fmt: skip


def asked(jobs: list[DagJob], rule: str, **wildcards: str) -> dict[str, set[object]]:
    """The values of each resource among some jobs."""
    some = [one for one in jobs if one.rule == rule and wildcards.items() <= one.wildcards.items()]
    assert some
    names = ("gpu", "gpu_model", "mem_mb", "disk_mb", "runtime")
    return {name: {one.resources.get(name) for one in some} for name in names}


@pytest.mark.parametrize(
    ("rule", "wildcards", "expected"),
    [
        # MB: 7,000 for the processes and the weights, 2 bytes of 7.62 and 14.77 billion; disk: logs
        # and a journal. Minutes: 1,024 responses at most, half as much to spare; or the default
        ("sample", {"model": "r1-qwen-7b"}, (1, "a100", 22500, 2500, 384)),
        ("sample", {"model": "qwen3-14b"}, (1, None, 37000, 2500, 720)),
        ("sample_benchmark", {"model": "qwen3-14b"}, (1, None, 37000, 2500, 720)),
        # a block, 4.3 GB of hidden states; on disk the rest of them, and the checkpoint
        ("prune", {"model": "r1-qwen-7b", "budget": "128x16384-s0"},
         (1, "a100", 9500, 28000, 138)),
        ("prune", {"model": "r1-qwen-7b", "budget": "128x512-s0"}, (1, "a100", 5500, 17500, 60)),
        ("prune", {"model": "qwen3-14b"}, (1, None, 10500, 49000, 720)),
        ("select", {}, (0, None, 4000, None, 60)),
        ("tally", {}, (0, None, 2000, None, 60)),
        ("grade", {}, (0, None, 2000, None, 60)),
        ("score", {}, (0, None, 2000, None, 60)),
    ],
)  # fmt: skip
def test_resources_of_each_stage(
    jobs: list[DagJob],
    rule: str,
    wildcards: dict[str, str],
    expected: tuple[int, str | None, int, int | None, int],
) -> None:
    if rule == "prune" and wildcards["model"] == "r1-qwen-7b":
        wildcards = wildcards | {"pruner": "sparsegpt"}
    found = asked(jobs, rule, **wildcards)
    gpu, kind, memory, disk, runtime = expected
    assert found["gpu"] == {gpu}
    assert found["gpu_model"] == {kind}
    assert found["mem_mb"] == {memory}
    if disk is not None:
        assert found["disk_mb"] == {disk}
    assert found["runtime"] == {runtime}


def test_selections_wait_for_counts_and_checkpoints_for_selections(jobs: list[DagJob]) -> None:
    rules = {one.key: one.rule for one in jobs}
    for one in jobs:
        waits = {rules[key] for key in one.after}
        if one.rule == "select":
            assert waits == (
                {"source_problems"} if one.wildcards["tau"] == "none"
                else {"source_problems", "tally"}
            )  # fmt: skip
        if one.rule == "prune":
            assert waits == {"select"}


def parsed(root: Path, directory: Path, changes: object, home: Path) -> tuple[int, str]:
    """Let Snakemake read the paper's configuration with a change; nothing runs."""
    (directory / "mine.yaml").write_text(yaml.safe_dump(changes))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--list-rules", "--directory", str(directory)),
            *("--snakefile", str(root / "workflow" / "Snakefile")),
            *("--configfile", str(root / PAPER), str(directory / "mine.yaml")),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
    )
    return done.returncode, done.stdout + done.stderr


def test_a_job_that_cannot_fit_is_refused_when_the_workflow_is_read(
    root: Path, tmp_path: Path
) -> None:
    cache_configs(root, tmp_path / "hub_home")
    changes = {"models": {"r1-qwen-7b": {"gpu_model": "t4"}}}
    code, said = parsed(root, tmp_path, changes, tmp_path / "hub_home")
    assert code != 0
    assert "models.r1-qwen-7b: a job of sampling does not fit 1 x T4 16GB" in said
    assert "What fits: gpu: 2;" in said


def test_no_job_asks_for_more_memory_than_there_is(root: Path, tmp_path: Path) -> None:
    """Snakemake would refuse it, or never start it."""
    only = "run={benchmarks: [easy], calibrations: [SSGR]}"
    jobs = dag(root, tmp_path, "--cores", "2", "--resources", "mem_mb=900", "--config", only)
    assert {job.resources["mem_mb"] for job in jobs if job.rule in ("sample", "report")} == {900}
    assert max(job.resources.get("mem_mb", 0) for job in jobs) == 900


def test_without_a_config_nothing_is_guessed_and_it_is_said(root: Path, tmp_path: Path) -> None:
    changes = {"models": {"r1-qwen-7b": {"gpu_model": "t4"}, "qwen3-14b": {"mem_mb": 99000}}}
    code, said = parsed(root, tmp_path, changes, tmp_path / "nothing")
    assert code == 0, said
    assert (
        "models.r1-qwen-7b: config.json of deepseek-ai/DeepSeek-R1-Distill-Qwen-7B at "
        "916b56a44061fd5cd7d6a8fb632557ed4f724f60 is not in the hub's cache (`snakemake plan` "
        "fetches it). Its jobs ask for 16,000 MB each"
    ) in said
    assert "models.qwen3-14b" not in said
