"""The profiles: each is read by Snakemake as it is, and the Kubernetes one runs on a stand-in."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.profiles import ProfileConfigFileParser  # type: ignore[import-untyped]

from experiment import Experiment, copy_of_the_workflow, logs

PROFILES = ["local", "slurm", "kubernetes"]
SOURCE = "results/problems/source=stories/problems.parquet"


@pytest.fixture
def profiles(root: Path) -> Path:
    return root / "workflow" / "profiles"


@pytest.fixture
def experiment(root: Path, tmp_path: Path) -> Experiment:
    (tmp_path / "project").mkdir()
    experiment = Experiment(copy_of_the_workflow(root, tmp_path / "project"), tmp_path / "run")
    experiment.configure()
    return experiment


def read(profile: Path) -> dict[str, Any]:
    """A profile as Snakemake's command line gets it."""
    with (profile / "config.yaml").open() as file:
        return dict(ProfileConfigFileParser().parse(file))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_works_as_it_is(experiment: Experiment, profile: str) -> None:
    folder = experiment.workflow / "workflow" / "profiles" / profile
    code, said = experiment.snakemake("--dry-run", "--profile", str(folder))
    assert code == 0, said
    chains = said.count("Group job scoring")
    scored, *_ = re.findall(r"^score\s+(\d+)$", said, re.M)  # said before and after the jobs
    assert chains == (0 if profile == "local" else int(scored))  # of one benchmark each


def test_groups_are_of_rules_that_there_are(root: Path, profiles: Path) -> None:
    """Snakemake ignores a name that is none."""
    text = "".join(path.read_text() for path in (root / "workflow" / "rules").glob("*.smk"))
    rules = set(re.findall(r"^(?:rule|checkpoint) (\w+):|as (\w+) with:", text, re.M))
    names = {name for pair in rules for name in pair if name}
    slurm, kubernetes = (
        yaml.safe_load((profiles / name / "config.yaml").read_text()) for name in PROFILES[1:]
    )
    assert slurm["groups"].keys() <= names
    for key in ("groups", "retries", "jobs", "max-jobs-per-timespan"):
        assert slurm[key] == kubernetes[key]


@pytest.mark.parametrize(("visible", "gpus"), [("0,1,5", 3), ("GPU-a", 1), ("", 0)])
def test_local_counts_the_gpus_it_may_use(
    profiles: Path, monkeypatch: pytest.MonkeyPatch, visible: str, gpus: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    counted = dict(one.split("=") for one in read(profiles / "local")["resources"])
    assert int(counted["gpu"]) == gpus
    assert int(counted["mem_mb"]) > 100


def test_local_counts_the_gpus_of_the_machine(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    counted = dict(one.split("=") for one in read(profiles / "local")["resources"])
    assert int(counted["gpu"]) == len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def script(**resources: object) -> str:
    """A job script as Snakemake writes it."""
    wanted = {"mem_mb": 64000, "disk_mb": 10000, "runtime": 720, **resources}
    properties = {"type": "single", "rule": "sample", "threads": 8, "resources": wanted}
    return f"#!/bin/sh\n# properties = {json.dumps(properties)}\ncd /shared/run && true\n"


def submitted(profiles: Path, tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Submit a script to a cluster whose first job never runs."""
    (tmp_path / "job.sh").write_text(script)
    return subprocess.run(
        [sys.executable, profiles / "kubernetes" / "submit.py", tmp_path / "job.sh"],
        env=os.environ | cluster(tmp_path),
        capture_output=True,
        text=True,
    )


def cluster(folder: Path) -> dict[str, str]:
    """The environment in which `kubectl` is the stand-in."""
    (folder / "bin").mkdir()
    (folder / "jobs").mkdir()
    (folder / "bin" / "kubectl").symlink_to(Path(__file__).with_name("fake_kubectl.py"))
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "FAKE_KUBERNETES": str(folder / "jobs")}


def jobs(folder: Path) -> list[dict[str, Any]]:
    """The manifests of all jobs, in the order they were submitted."""
    files = sorted((folder / "jobs").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.parametrize(
    ("maker", "resource", "label"),
    [
        ("nvidia", "nvidia.com/gpu", "nvidia.com/gpu.product"),
        ("amd", "amd.com/gpu", "amd.com/gpu.product-name"),
    ],
)
def test_a_pod_gets_what_the_job_asks_for(
    profiles: Path, tmp_path: Path, maker: str, resource: str, label: str
) -> None:
    done = submitted(
        profiles, tmp_path, script(gpu=2, gpu_model="A100-SXM4-80GB", gpu_manufacturer=maker)
    )
    assert done.returncode == 0, done.stderr
    (job,) = jobs(tmp_path)
    assert done.stdout == job["metadata"]["name"] + "\n"
    assert job["spec"]["activeDeadlineSeconds"] == 720 * 60
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {label: "A100-SXM4-80GB"}
    (container,) = pod["containers"]
    asked = {"cpu": "8", "memory": "64000M", "ephemeral-storage": "10000M", resource: "2"}
    assert container["resources"] == {"requests": asked, "limits": asked}
    assert "cd /shared/run && true" in container["command"][-1]
    mounted = {volume["name"] for volume in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_a_pod_without_a_gpu_asks_for_none(profiles: Path, tmp_path: Path) -> None:
    assert submitted(profiles, tmp_path, script(gpu=0)).returncode == 0
    (job,) = jobs(tmp_path)
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"].keys() == {
        *("cpu", "memory", "ephemeral-storage")
    }
    assert "nodeSelector" not in pod


def test_an_unknown_maker_of_gpus_is_refused(profiles: Path, tmp_path: Path) -> None:
    done = submitted(profiles, tmp_path, script(gpu=1, gpu_manufacturer="intel"))
    assert done.returncode != 0
    assert "gpu_manufacturer is 'intel', expected one of: nvidia, amd" in done.stderr


def test_jobs_run_in_pods_and_ask_for_more_after_a_deadline(
    experiment: Experiment, tmp_path: Path
) -> None:
    profile = experiment.workflow / "workflow" / "profiles" / "kubernetes"
    code, said = experiment.snakemake(
        *(SOURCE, "--profile", str(profile), "--latency-wait", "20"),
        **cluster(tmp_path),
    )
    assert code == 0, said + logs(experiment)
    assert (experiment.directory / SOURCE).is_file()
    assert "DeadlineExceeded: it ended" in said
    late, done = jobs(tmp_path)
    assert [job["spec"]["activeDeadlineSeconds"] for job in (late, done)] == [3600, 7200]
    first, second = (
        job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
        for job in (late, done)
    )
    assert int(second.removesuffix("M")) == 2 * int(first.removesuffix("M"))


def test_jobs_that_are_gone_have_failed_and_cancelled_ones_are_deleted(
    profiles: Path, tmp_path: Path
) -> None:
    environment = os.environ | cluster(tmp_path)
    asked = [sys.executable, str(profiles / "kubernetes" / "status.py"), "ssgr-gone"]
    gone = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert gone.stdout == "failed\n"
    (tmp_path / "bin" / "kubectl").unlink()
    (tmp_path / "bin" / "kubectl").symlink_to("/bin/false")  # the API does not answer
    away = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert away.stdout == "running\n"
    (tmp_path / "bin" / "kubectl").unlink()
    (tmp_path / "bin" / "kubectl").symlink_to(Path(__file__).with_name("fake_kubectl.py"))
    subprocess.run([profiles / "kubernetes" / "cancel.sh", "a", "b"], env=environment, check=True)
    assert (tmp_path / "jobs" / "deleted").read_text() == "a\nb"
