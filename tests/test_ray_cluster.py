"""vLLM's Ray backend: a job's own cluster is there before vLLM, and gone after it."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ssgr.cluster import ray_cluster
from ssgr.config.execution import Layout
from ssgr.errors import ConfigError, ModelError
from ssgr.sampling.vllm.several_nodes import gathered

HERE = Path(__file__).parent
RAY = """\
import os
from pathlib import Path

def init(address, **_):
    if not list(Path(os.environ["SEEN"]).glob("--head.json")):
        raise ConnectionError
    assert address == os.environ["RAY_ADDRESS"]

def nodes():
    return [{"Alive": True}] * len(list(Path(os.environ["SEEN"]).glob("*.json")))

def shutdown():
    pass
"""
START = """\
import json, os, sys, time
from pathlib import Path
if os.environ.get("BROKEN") in sys.argv[2]:
    sys.exit(3)
name = sys.argv[2].partition("=")[0]
seen = {"flags": sys.argv[1:], "pid": os.getpid(), "token": os.environ["RAY_AUTH_TOKEN"],
        "mode": os.environ["RAY_AUTH_MODE"], "devices": os.environ.get("CUDA_VISIBLE_DEVICES")}
part = Path(os.environ["SEEN"]) / f"{name}.part"
part.write_text(json.dumps(seen))
part.rename(part.with_suffix(".json"))
time.sleep(600)
"""


@pytest.fixture
def seen(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a stand-in of Ray writes how it was started, on this node and on another."""
    package = tmp_path / "stand-in" / "ray"
    (package / "scripts").mkdir(parents=True)
    (package / "__init__.py").write_text(RAY)
    (package / "scripts" / "scripts.py").write_text(START)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").symlink_to(HERE / "fake_srun.py")
    (tmp_path / "seen").mkdir()
    paths = f"{package.parent}{os.pathsep}{root / 'workflow'}"
    for name, value in {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": paths,
        "FAKE_SRUN": str(tmp_path / "srun.json"),
        "SEEN": str(tmp_path / "seen"),
        "BROKEN": "nothing",
        "SLURM_JOB_ID": "17",
        "SLURMD_NODENAME": "node0",
        "VLLM_HOST_IP": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(package.parent))
    yield tmp_path / "seen"
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        del sys.modules[name]


def said_by(seen: Path, name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((seen / f"{name}.json").read_text())
    return said


def test_the_nodes_of_a_job_are_one_cluster(seen: Path) -> None:
    layout = Layout(tensor=2, pipeline=2, nodes=2, distributed="ray")
    with gathered({"model": "a folder"}, layout, gpus=2) as arguments:
        address = os.environ["RAY_ADDRESS"]
        head, other = said_by(seen, "--head"), said_by(seen, "--address")
        assert psutil.pid_exists(head["pid"])
        assert arguments == {
            "model": "a folder",
            "tensor_parallel_size": 2,
            "pipeline_parallel_size": 2,
            "distributed_executor_backend": "ray",
        }
    port = address.removeprefix("127.0.0.1:")
    assert {"--node-ip-address=127.0.0.1", f"--port={port}"} <= set(head["flags"])
    assert f"--address={address}" in other["flags"]
    for one in head, other:
        assert {"--block", "--num-gpus=2", "--disable-usage-stats"} <= set(one["flags"])
        assert one["mode"] == "token"
        assert not psutil.pid_exists(one["pid"])
    assert head["token"] == other["token"]
    assert len(head["token"]) == 64
    assert other["devices"] == "0,1"
    assert "RAY_ADDRESS" not in os.environ


def test_one_node_has_a_cluster_of_its_own(seen: Path) -> None:
    with gathered({}, Layout(tensor=4, distributed="ray"), gpus=None):
        assert "--num-gpus=4" in said_by(seen, "--head")["flags"]
    assert not (seen / "--address.json").exists()


def test_a_ray_that_ends_is_told(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "--head")
    with (
        pytest.raises(ModelError, match="Ray has ended on the first node, with 3"),
        gathered({}, Layout(tensor=4, distributed="ray"), gpus=None),
    ):
        pass


def test_nodes_that_do_not_join_are_counted(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        ray_cluster.headed("127.0.0.1", 6379, 1) as first,
        pytest.raises(ModelError, match=r"^[01] of 5 nodes of the Ray cluster at 127.0.0.1:6379"),
    ):
        ray_cluster.wait_for_nodes(5, first, patience=0)


def test_ray_is_asked_for_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("VLLM_HOST_IP", "127.0.0.1")
    with (
        pytest.raises(ConfigError, match=r"execution\.distributed is ray, and Ray is not"),
        gathered({}, Layout(tensor=2, distributed="ray"), gpus=2),
    ):
        pass
