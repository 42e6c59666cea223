"""A Ray cluster of one job, for vLLM's Ray backend: its own ports and folder, ended with the job.

``ray stop`` would end the clusters of every job on the machine, so that each node's Ray is a child
in the foreground (``--block``) here. vLLM finds the cluster by RAY_ADDRESS.
"""

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module

from ssgr.cluster.gpu_lease import descriptors
from ssgr.errors import ConfigError, ModelError

ADDRESS = "RAY_ADDRESS"
TOKEN = "RAY_AUTH_TOKEN"
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",  # else whoever reaches the port may run anything
}
GRACE = 30.0
"""Seconds that Ray has to end its processes."""
POLL = 0.5
SET_PDEATHSIG = 1
"""Of prctl(2)."""


@contextmanager
def headed(host: str, port: int, gpus: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a cluster's first node in this process's care, at ``host:port``; vLLM will find it.

    Raises:
        ConfigError: Ray is not installed.
    """
    before = os.environ.get(ADDRESS)
    os.environ.setdefault(TOKEN, secrets.token_hex(32))  # srun hands it on to the other nodes
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        flags = [
            *("--head", f"--node-ip-address={host}", f"--port={port}"),
            *(f"--temp-dir={folder}", "--include-dashboard=false"),
        ]
        with started(flags, gpus) as process:
            os.environ[ADDRESS] = f"{host}:{port}"
            try:
                yield process
            finally:
                os.environ.pop(ADDRESS)
                if before is not None:
                    os.environ[ADDRESS] = before


@contextmanager
def started(flags: Sequence[str], gpus: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Ray on this node with so many of its GPUs, until the block ends.

    Raises:
        ConfigError: Ray is not installed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    process = subprocess.Popen(
        [*ray_command(), "start", *flags, "--block", f"--num-gpus={gpus}", "--disable-usage-stats"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=descriptors(),  # a Ray that is left over keeps its GPUs
        preexec_fn=_end_with_this_process,
    )
    try:
        yield process
    finally:
        for end in (process.terminate, process.kill):
            end()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
                break


def _end_with_this_process() -> None:
    """Have the kernel end a child when its parent is killed (Linux; SLURM does it elsewhere)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGTERM)


def wait_for_nodes(count: int, first: "subprocess.Popen[bytes]", patience: float) -> None:
    """Return when so many nodes of the cluster at RAY_ADDRESS are alive.

    Raises:
        ModelError: says how many were there in time, or that the first has ended.
    """
    ray = import_module("ray")
    end = time.monotonic() + patience
    alive = 0
    while True:
        with suppress(ConnectionError):  # the first node is still starting
            ray.init(address=os.environ[ADDRESS], log_to_driver=False, logging_level="ERROR")
            break
        _check(alive, count, first, end, patience)
    try:
        while (alive := sum(node["Alive"] for node in ray.nodes())) < count:
            _check(alive, count, first, end, patience)
    finally:
        ray.shutdown()


def _check(
    alive: int, count: int, first: "subprocess.Popen[bytes]", end: float, patience: float
) -> None:
    if first.poll() is not None:
        raise ModelError(
            f"Ray has ended on the first node, with {first.returncode}; what it said stands above."
        )
    if time.monotonic() > end:
        raise ModelError(
            f"{alive} of {count} nodes of the Ray cluster at {os.environ[ADDRESS]} were alive "
            f"within {patience:.0f} s. What Ray says stands above; firewalls between the nodes "
            "are a common cause (`distributed: mp` needs fewer ports)."
        )
    time.sleep(POLL)


def ray_command() -> list[str]:
    """Return the command `ray` of this interpreter's environment.

    Raises:
        ConfigError: Ray is not installed.
    """
    try:
        import_module("ray")
    except ImportError as error:
        raise ConfigError(
            "models.<name>.execution.distributed is ray, and Ray is not in this environment "
            f"({error}): pip install ray there, or leave `distributed` out."
        ) from error
    return [sys.executable, "-m", "ray.scripts.scripts"]
