"""Two machines sample shards of one pool together: nothing twice, and each shard by one of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ssgr.config import AbacusSet, Sampling
from ssgr.pool import store
from ssgr.pool.verification import verify
from ssgr.problems import load
from ssgr.storage import locks, tables

HERE = Path(__file__).parent
SHARDS = ["000000-000003", "000003-000006", "000006-000009", "000009-000012"]
MACHINES = ("left", "right")
SAMPLING = Sampling(n=2, max_tokens=8)


def as_a_machine(name: str) -> list[str]:
    """The beginning of a command that runs it under a host name of its own, where that is allowed.

    Elsewhere it is a process like any other, and as good a test of all but the name.
    """
    own = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--uts"]
    named = [*own, "sh", "-c", f'hostname {name} && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*named, "true"]).returncode:
        return []
    return named


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the shards, in the pool."""
    keys = f"model=abacus/source=stories/sampling={SAMPLING.key}"
    return tmp_path / "pool" / "responses" / keys


def started(
    name: str, asked: dict[str, str], shards: list[str], at: Path, root: Path
) -> "subprocess.Popen[str]":
    """A machine with a working directory of its own."""
    (at / name).mkdir()
    (at / name / "asked.json").write_text(json.dumps({**asked, "shards": shards}))
    return subprocess.Popen(
        [*as_a_machine(name), sys.executable, HERE / "sampling_machine.py", "asked.json", "drawn"],
        cwd=at / name,
        env={**os.environ, "PYTHONPATH": str(root / "workflow")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(at / name / "log").open("w"),
        text=True,
    )


def test_two_machines_sample_one_pool(
    root: Path, abacus: Path, folder: Path, tmp_path: Path
) -> None:
    """Both are in the middle of their first shard at once, and each comes to the other's."""
    pool, problems = tmp_path / "pool", tmp_path / "problems.parquet"
    pool.mkdir()
    questions, _ = load(AbacusSet(kind="easy", count=12))
    tables.write(questions, tables.Problems, problems)
    asked = {"model": abacus, "problems": problems, "pool": pool, "folder": folder}
    texts = {key: str(path) for key, path in asked.items()} | {
        "sampling": SAMPLING.model_dump_json()
    }
    machines = [
        started(name, texts, shards, tmp_path, root)
        for name, shards in zip(MACHINES, (SHARDS, SHARDS[::-1]), strict=True)
    ]
    try:
        for machine, name in zip(machines, MACHINES, strict=True):
            assert machine.stdout is not None
            while (line := machine.stdout.readline()) != "drawing\n":
                assert line, (tmp_path / name / "log").read_text()
        held = {one.path.name: one.host for one in locks.holders(pool) if one.pid}
        for machine in machines:
            print(file=machine.stdin, flush=True)
        for machine, name in zip(machines, MACHINES, strict=True):
            machine.communicate()
            assert machine.returncode == 0, (tmp_path / name / "log").read_text()
    finally:
        for machine in machines:
            machine.kill()
            machine.wait()

    hosts = MACHINES if as_a_machine("left") else (socket.gethostname(),) * 2
    both = zip((SHARDS[0], SHARDS[-1]), hosts, strict=True)
    assert held == {f".{shard}.lock": host for shard, host in both}
    drawn = [json.loads((tmp_path / name / "drawn").read_text()) for name in MACHINES]
    assert all(drawn)
    keys = [tuple(key) for each in drawn for key in each]
    assert sorted(keys) == sorted((p, k) for p in questions["problem_id"] for k in range(2))
    for shard in SHARDS:
        first, last = map(int, shard.split("-"))
        of_shard = set(questions["problem_id"][first:last])
        assert sum(any(p in of_shard for p, _ in each) for each in drawn) == 1
        receipt = store.read_receipt(folder / f"{shard}.parquet", store.ResponsesReceipt)
        assert (receipt.rows, receipt.resumed) == (6, 0)
        receipts = {(tmp_path / name / f"{shard}.json").read_text() for name in MACHINES}
        assert len(receipts) == 1
    assert [str(finding) for finding in verify(pool) if finding.wrong] == []
