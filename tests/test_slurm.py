"""The whole DAG on a real SLURM, in which all goes wrong that goes wrong on a cluster."""

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from experiment import TINY, Experiment, copy_of_the_workflow, logs
from slurm_cluster import Slurm, until
from ssgr.pool import store
from ssgr.pool.verification import verify
from ssgr.sampling.protocol import Response
from ssgr.sampling.records import next_payload, unpacked
from ssgr.storage import tables

PROFILE = "workflow/profiles/slurm"
PATIENCE = 2400.0
"""Seconds that the whole run may take on a busy machine."""


@pytest.fixture
def experiment(root: Path, tmp_path: Path) -> Experiment:
    """One calibration, one benchmark, and a model that asks for a GPU for five minutes."""
    (tmp_path / "project").mkdir()
    workflow = copy_of_the_workflow(root, tmp_path / "project")
    experiment = Experiment(workflow, tmp_path / "run")
    run = {"calibrations": ["SSGR"], "benchmarks": ["easy"]}
    model = {"gpu": 1, "batch_size": 20, "mem_mb": 1500, "runtime": 5}
    experiment.configure({"run": {**TINY["run"], **run}, "models": {"abacus": model}})
    return experiment


def test_the_run_survives_its_cluster(experiment: Experiment, slurm: Slurm) -> None:
    """Of two jobs that sample, one is cancelled and one hangs until its time is up, both half done.

    Meanwhile their node is drained and the controller is restarted.
    """
    process = experiment.start(
        *("--profile", str(experiment.workflow / PROFILE), "--latency-wait", "20"),
        *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
        **slurm.environment,
    )
    try:
        cancelled, hanging = halfway(experiment, slurm, process)
        assert cancelled.device != hanging.device
        for one in cancelled, hanging:
            assert (one.job["Nodes"], one.job["GRES"]) == ("left", f"gpu:1(IDX:{one.device})")
        slurm.run("scontrol", "update", "NodeName=left", "State=DRAIN", "Reason=test")
        last = int(slurm.jobs()[-1]["JobId"])
        slurm.stop_controller()
        slurm.start_controller()
        slurm.run("scancel", cancelled.job["JobId"])
        slurm.run("scontrol", "update", f"JobId={hanging.job['JobId']}", "TimeLimit=1")
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        kill_all(process)
    assert process.returncode == 0, said + logs(experiment)
    assert (experiment.directory / "results" / "report" / "index.html").is_file()

    jobs = slurm.jobs()
    assert {job["NodeList"] for job in jobs if int(job["JobId"]) > last} == {"right"}
    for frozen, state, minutes in (cancelled, "CANCELLED", 5), (hanging, "TIMEOUT", 1):
        first, *others = [job for job in jobs if job["Comment"] == frozen.job["Comment"]]
        assert first["JobState"] == state
        assert first["TimeLimit"] == f"00:{minutes:02}:00"
        assert "mem=1500M" in first["TRES"]
        assert others[0]["TimeLimit"] == "00:10:00"
        assert "mem=3000M" in others[0]["TRES"]
        assert others[-1]["JobState"] == "COMPLETED"
        assert_not_drawn_again(frozen)
    assert not list((experiment.directory.parent / "pool").rglob("*.journal"))
    findings = verify(experiment.directory.parent / "pool")
    assert [str(finding) for finding in findings if finding.wrong] == []


@dataclass(frozen=True)
class Frozen:
    """A job that was stopped in the middle: SLURM's record of it, its GPU, its shard, its draws."""

    job: dict[str, str]
    device: str
    shard: Path
    drawn: list[Response]


def halfway(experiment: Experiment, slurm: Slurm, process: subprocess.Popen[str]) -> list[Frozen]:
    """The two jobs that sample, each stopped when it has drawn something and not all."""
    frozen: dict[str, Frozen] = {}

    def both() -> bool:
        if process.poll() is not None:
            pytest.fail(f"Snakemake has ended: {process.communicate()[0]}")
        for number, sampler in samplers(experiment.directory).items():
            if number not in frozen and (one := freeze(sampler, slurm)):
                frozen[number] = one
        return len(frozen) == 2

    until(both, "two jobs have drawn something", PATIENCE)
    return [frozen[number] for number in sorted(frozen, key=int)]


def samplers(directory: Path) -> dict[str, psutil.Process]:
    """The processes that draw responses for the pool of a run, by the number of their SLURM job."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended just now, or is another user's
            if "sample-shard" in process.cmdline() and Path(process.cwd()) == directory:
                found[process.environ()["SLURM_JOB_ID"]] = process
    return found


def freeze(sampler: psutil.Process, slurm: Slurm) -> Frozen | None:
    """Stop a job if it has drawn something."""
    words = sampler.cmdline()
    shard = Path(sampler.cwd()) / json.loads(words[words.index("--spec") + 1])["shard"]
    journal = shard.with_name(f".{shard.stem}.journal")
    if not journal.is_file() or not responses(journal):
        return None
    sampler.suspend()
    environment = sampler.environ()
    (job,) = [job for job in slurm.jobs() if job["JobId"] == environment["SLURM_JOB_ID"]]
    return Frozen(job, environment["CUDA_VISIBLE_DEVICES"], shard, responses(journal))


def responses(journal: Path) -> list[Response]:
    """The whole records of a journal."""
    with journal.open("rb") as file:
        next_payload(file)  # the header
        found = []
        while (payload := next_payload(file)) is not None:
            found.append(unpacked(payload))
    return found


def assert_not_drawn_again(frozen: Frozen) -> None:
    """What a job had drawn when it was stopped is in its shard, and was taken from the journal."""
    receipt = store.read_receipt(frozen.shard, store.ResponsesReceipt)
    assert 0 < len(frozen.drawn) <= receipt.resumed < receipt.rows
    shard = tables.read(frozen.shard, tables.Responses)
    tokens = {
        (row["problem_id"], row["sample"]): row["token_ids"] for row in shard.iter_rows(named=True)
    }
    for response in frozen.drawn:
        assert tokens[response.problem_id, response.sample] == list(response.token_ids)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a Snakemake that is still running."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
