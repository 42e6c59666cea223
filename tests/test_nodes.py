"""Further nodes of a SLURM job: they hold their part, and end with the first, however that ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import stand_in_vllm
from ssgr.cluster.nodes import joined
from ssgr.config.execution import Layout
from ssgr.errors import ConfigError, ModelError
from ssgr.sampling.vllm.several_nodes import gathered, own_address

HERE = Path(__file__).parent
FIRST = """\
import time
from ssgr.cluster.nodes import joined
with joined(2, 0, {"gpus": None, "arguments": {}}):
    time.sleep(600)
"""


@pytest.fixture
def seen(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job of SLURM's, whose other nodes run a stand-in of vLLM; the folder says what they see."""
    vllm = stand_in_vllm.package(tmp_path / "stand-in")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").symlink_to(HERE / "fake_srun.py")
    (tmp_path / "seen").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{vllm}{os.pathsep}{root / 'workflow'}")
    monkeypatch.setenv("FAKE_SRUN", str(tmp_path / "srun.json"))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURMD_NODENAME", "node0")
    monkeypatch.setenv("VLLM_HOST_IP", "127.0.0.1")
    return tmp_path / "seen"


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def said_by(seen: Path, *nodes: str) -> list[dict[str, Any]]:
    """What these nodes were told, once they are at it."""
    files = [seen / f"{node}.json" for node in nodes]
    until(lambda: all(file.is_file() for file in files))
    return [json.loads(file.read_text()) for file in files]


def test_all_nodes_give_vllm_the_same_arguments_and_their_rank(seen: Path, tmp_path: Path) -> None:
    layout = Layout(tensor=2, pipeline=3, nodes=3)
    with gathered({"model": "a folder"}, layout, gpus=2) as arguments:
        others = said_by(seen, "node1", "node2")
        address = arguments["master_addr"], arguments["master_port"]
        assert arguments == {
            "model": "a folder",
            "tensor_parallel_size": 2,
            "pipeline_parallel_size": 3,
            "distributed_executor_backend": "mp",
            "nnodes": 3,
            "master_addr": "127.0.0.1",
            "master_port": address[1],
        }
        for rank, other in enumerate(others, start=1):
            pid, devices = other.pop("pid"), other.pop("devices")
            assert psutil.pid_exists(pid)
            assert devices == "0,1"  # SLURM's choice, passed through without a lease
            assert other == arguments | {"node_rank": rank}
        assert not list(seen.glob("*.over"))
    assert {path.stem for path in seen.glob("*.over")} == {"node1", "node2"}
    options = json.loads((tmp_path / "srun.json").read_text())
    for option in ("--nodes=2", "--ntasks=2", "--exclude=node0", "--gres=gpu:2", "--overlap"):
        assert option in options


def test_one_node_needs_no_other() -> None:
    with gathered({}, Layout(tensor=2, pipeline=2), gpus=4) as arguments:
        assert arguments["tensor_parallel_size"] == arguments["pipeline_parallel_size"] == 2
        assert "nnodes" not in arguments


def test_the_others_end_with_a_first_node_that_is_killed(seen: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", FIRST], stdout=subprocess.DEVNULL)
    try:
        (other,) = said_by(seen, "node1")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    until(lambda: not psutil.pid_exists(other["pid"]))
    assert (seen / "node1.over").is_file()


def test_a_node_that_is_lost_interrupts_the_first(
    seen: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(ModelError, match=r"holds a part of the model has ended \(srun exited"),
        joined(3, 0, {"gpus": None, "arguments": {"node_rank": 0}}),
    ):
        others = said_by(seen, "node1", "node2")
        (seen / "node2.breaks").touch()
        until(lambda: False)  # as long as vLLM would wait for an answer
    assert not any(psutil.pid_exists(other["pid"]) for other in others)
    assert "error: A process of vLLM has ended on this node" in capfd.readouterr().err


def test_nodes_that_do_not_come_are_waited_for_no_longer_than_said(
    seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "600")
    task: dict[str, object] = {"gpus": None, "arguments": {}}
    with (
        pytest.raises(ModelError, match=r"0 of 2 further nodes were ready within 1 s \(none\)"),
        joined(3, 0, task, patience=1),
    ):
        pass


def test_nodes_that_cannot_start_say_why(
    seen: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLOW", "no number")  # what importing vLLM stumbles over
    with (
        pytest.raises(ModelError, match="ended before they were ready: srun exited with 1"),
        joined(2, 0, {"gpus": None, "arguments": {}}),
    ):
        pass
    assert "could not convert string to float" in capfd.readouterr().err


def test_outside_a_slurm_job_there_are_no_further_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("VLLM_HOST_IP", "127.0.0.1")
    with (
        pytest.raises(ConfigError, match=r"to lie on 2 nodes \(models.<name>.execution.nodes\)"),
        gathered({}, Layout(tensor=1, pipeline=2, nodes=2), gpus=None),
    ):
        pass


def test_a_person_who_lends_a_node_is_told_who_does(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ssgr", "lend-node"],
        env={**os.environ, "PYTHONPATH": str(root / "workflow")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: `lend-node` is started by a job, with srun: a job says what it is for.\n"
    )


def test_the_address_is_the_one_the_user_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_HOST_IP", "127.0.0.1")
    assert own_address()[0] == "127.0.0.1"
