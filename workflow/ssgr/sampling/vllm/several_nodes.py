"""One vLLM over several nodes, or under Ray: what the first node sets up, and what the others do.

vLLM starts its processes itself on each node of the backend ``mp``; with ``ray``, a cluster of this
job's own starts them. Both need the other nodes to be there first, which `ssgr.cluster.nodes`
sees to.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ssgr.cluster import ray_cluster
from ssgr.cluster.gpu_lease import keep
from ssgr.cluster.nodes import PATIENCE, assigned, joined, rank, say_ready
from ssgr.config.execution import Layout
from ssgr.errors import ConfigError, ModelError

ANYWHERE = ("192.0.2.1", 9)
"""An address of documentation (RFC 5737): nothing is sent there, only the way there looked up."""


@contextmanager
def gathered(
    arguments: dict[str, Any], layout: Layout, gpus: int | None
) -> Iterator[dict[str, Any]]:
    """Yield vLLM's arguments for this node, while the others hold or offer their part.

    Args:
        arguments: what all nodes give to vLLM's ``EngineArgs``.
        layout: the sizes, the nodes and the backend.
        gpus: devices of this node, as many as of each other; None: vLLM sees all there are.

    Raises:
        ConfigError, ModelError: see `joined` and `ray_cluster`.
    """
    arguments = arguments | {
        "tensor_parallel_size": layout.tensor,
        "pipeline_parallel_size": layout.pipeline,
        "distributed_executor_backend": layout.distributed,
    }
    with ExitStack() as stack:
        if layout.distributed == "ray":
            _gather_by_ray(stack, layout, gpus)
        elif layout.nodes > 1:
            host, port = own_address()
            arguments |= {
                "distributed_executor_backend": "mp",
                "nnodes": layout.nodes,
                "master_addr": host,
                "master_port": port,
            }
            task = {"gpus": gpus, "arguments": arguments}
            stack.enter_context(joined(layout.nodes, gpus or 0, task))
        yield arguments


def _gather_by_ray(stack: ExitStack, layout: Layout, gpus: int | None) -> None:
    host, port = own_address()
    count = layout.processes // layout.nodes if gpus is None else gpus
    first = stack.enter_context(ray_cluster.headed(host, port, count))
    if layout.nodes > 1:
        task = {"gpus": gpus, "count": count, "ray": f"{host}:{port}"}
        stack.enter_context(joined(layout.nodes, gpus or 0, task))
    ray_cluster.wait_for_nodes(layout.nodes, first, PATIENCE)


def lend() -> None:
    """Do on a further node what the first says, until that ends.

    Raises:
        ModelError: what runs here has ended before.
    """
    task = assigned()
    if task["gpus"] is not None:
        keep(task["gpus"], "a part of a model that another node runs")
    if "ray" in task:
        with ray_cluster.started([f"--address={task['ray']}"], task["count"]) as process:
            say_ready()
            process.wait()
        raise ModelError(f"Ray has ended on this node, with {process.returncode}.")
    _hold(task["arguments"] | {"node_rank": rank()})


def _hold(arguments: dict[str, Any]) -> None:
    """Run this node's share of vLLM's processes."""
    try:
        from vllm import EngineArgs
        from vllm.v1.executor.multiproc_executor import MultiprocExecutor
    except ImportError as error:
        raise ConfigError(f"vLLM is not usable on this node ({error}).") from error
    say_ready()
    config = EngineArgs(**arguments).create_engine_config(headless=True)
    executor = MultiprocExecutor(config, monitor_workers=False)
    try:
        executor.start_worker_monitor(inline=True)
    finally:
        executor.shutdown()
    raise ModelError("A process of vLLM has ended on this node; what it said stands above.")


def own_address() -> tuple[str, int]:
    """Return this node's address, by which the others reach it, and a free port of it.

    As vLLM does: what VLLM_HOST_IP says, or the address of the way out of this node; where there
    is none, what the node's own name means.

    Raises:
        ConfigError: none of them tells.
    """
    host = os.environ.get("VLLM_HOST_IP") or _way_out() or _by_name()
    if host is None:
        raise ConfigError(
            "By which address other nodes reach this one cannot be told: it has no way out, and "
            "its name means no address. Set VLLM_HOST_IP on each node (in a job prolog, not on "
            "the login node)."
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind((host, 0))
        return host, int(free.getsockname()[1])


def _way_out() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(ANYWHERE)
        except OSError:
            return None
        return str(way.getsockname()[0])


def _by_name() -> str | None:
    try:
        host = socket.gethostbyname(os.environ.get("SLURMD_NODENAME") or socket.gethostname())
    except OSError:
        return None
    return None if host.startswith("127.") else host
