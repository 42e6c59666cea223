"""Two experiments on one pool, killed at random moments until nothing is left to kill."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiment import TINY, Experiment, copy_of_the_workflow, logs, point
from ssgr.pool.verification import verify
from ssgr.storage import tables
from ssgr.storage.locks import holders

KILLS = 20
POINTS = {6: {"1.00": "first", "0.75": "median"}, 5: {"1.00": "first"}}
"""What each experiment asks, by its budget: different needs of one pool."""
ROUNDS = 200
"""More than any run that makes progress needs."""


def configured(workflow: Path, directory: Path, pool: str, sequences: int) -> Experiment:
    experiment = Experiment(workflow, directory)
    experiment.configure(
        {
            "pool": {"path": pool, "shard_size": 4, "wave": 2},
            "sampling": {"n": 8, "max_tokens": 512, "seed": 0},
            "budget": {"sequences": sequences, "tokens": 600},
            "run": {**TINY["run"], "calibrations": ["SGR", "SSGR"][: len(POINTS[sequences])]},
        }
    )
    return experiment


def targets(sequences: int) -> list[str]:
    return [
        f"results/calibration/{point(tau, length, f'{sequences}x600-s0')}/calibration.parquet"
        for tau, length in POINTS[sequences].items()
    ]


def state(pool: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of every part: one that was made again has others."""
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in pool.rglob("*.parquet")
        if not path.name.startswith(".")
    }


def sampled(pool: Path) -> int:
    """Bytes in journals, and parts."""
    size = 0
    for path in pool.rglob("*"):
        try:
            size += path.stat().st_size if path.suffix == ".journal" else 1
        except FileNotFoundError:  # it was renamed just now
            continue
    return size


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Snakemakes that are running; none outlives the test."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        kill_all(process)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill a Snakemake and all its jobs."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.communicate()


def test_two_experiments_on_one_pool_survive_twenty_kills(
    root: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    dice = random.Random(20)
    workflow = tmp_path / "project"
    workflow.mkdir()
    copy_of_the_workflow(root, workflow)
    calm = configured(workflow, tmp_path / "calm", "pool", 6)
    code, said = calm.snakemake(*targets(6))
    assert code == 0, said + logs(calm)

    pool = tmp_path / "pool"
    pair = {size: configured(workflow, tmp_path / f"of {size}", "../pool", size) for size in (5, 6)}
    done: set[int] = set()
    seen: dict[Path, tuple[int, int]] = {}
    kills = 0
    for _ in range(ROUNDS):
        before = sampled(pool)
        running = {
            size: experiment.start(*targets(size), "--rerun-incomplete", "--nolock")
            for size, experiment in pair.items()
            if size not in done
        }
        started += running.values()
        if kills < KILLS:
            while sampled(pool) == before and any(p.poll() is None for p in running.values()):
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 2))
        for size, process in running.items():
            if kills < KILLS and process.poll() is None:
                kills += 1
                if dice.random() < 0.3:
                    process.kill()  # its jobs live on as orphans
                    process.wait()
                else:
                    kill_all(process)
                continue
            process.communicate()
            if process.returncode == 0 and kills < KILLS:  # too early: once more, on the same pool
                shutil.rmtree(pair[size].directory / "results")
            elif process.returncode == 0:
                done.add(size)
        now = state(pool)
        assert all(now[path] == made for path, made in seen.items())
        seen = now
        if done == set(pair):
            break
    assert len(seen) > 4
    assert done == set(pair), logs(pair[5]) + logs(pair[6])
    assert kills >= KILLS

    while holders(pool):  # orphans that still finish something
        time.sleep(0.1)
    assert [str(finding) for finding in verify(pool) if finding.wrong] == []
    assert not list(pool.rglob("*.journal"))
    for target in targets(6):
        disturbed = tables.read(pair[6].directory / target, tables.Calibration)
        assert disturbed.equals(tables.read(calm.directory / target, tables.Calibration))
    for target in targets(5):
        assert len(tables.read(pair[5].directory / target, tables.Calibration)) == 5
