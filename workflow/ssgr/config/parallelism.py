"""How the GPUs of a job share one model: vLLM's sizes, and the nodes that they lie on."""

from dataclasses import dataclass
from typing import Literal

Distributed = Literal["mp", "ray"]


@dataclass(frozen=True)
class Layout:
    """``tensor`` times ``pipeline`` processes, as many on each of ``nodes``.

    Attributes:
        tensor: processes that share every matrix (vLLM's tensor parallel size).
        pipeline: groups of them, each with its own blocks (vLLM's pipeline parallel size).
        nodes: machines; the processes of the first come first.
        distributed: how vLLM starts processes and reaches them; None leaves it to vLLM.
    """

    tensor: int = 1
    pipeline: int = 1
    nodes: int = 1
    distributed: Distributed | None = None

    @property
    def processes(self) -> int:
        """All of them, on all nodes: one a GPU."""
        return self.tensor * self.pipeline


ONE = Layout()
"""One process, where it is."""


def layout(
    gpu: int,
    nodes: int = 1,
    tensor: int | None = None,
    pipeline: int | None = None,
    distributed: Distributed | None = None,
) -> Layout:
    """Return how ``nodes`` times ``gpu`` GPUs share one model.

    What is left out is what vLLM advises: a pipeline over the nodes, each matrix shared by the
    GPUs of one node, which are connected best. Without GPUs (``gpu`` 0) any number of processes
    may share the processors, where vLLM knows no pipelines.

    Raises:
        ValueError: the sizes do not multiply to the GPUs there are.
    """
    there = max(1, gpu) * nodes
    if pipeline is None and tensor is None:
        pipeline = nodes if gpu else 1
    if pipeline is None:
        pipeline = max(1, there // (tensor or 1))
    if tensor is None:
        tensor = max(1, there // pipeline)
    processes = tensor * pipeline
    if processes % nodes if gpu == 0 else processes != there:
        unit = "GPUs" if gpu else "nodes without GPUs"
        raise ValueError(
            f"tensor_parallel {tensor} x pipeline_parallel {pipeline} is {processes} processes, "
            f"but gpu {gpu} x nodes {nodes} is {gpu * nodes or nodes} {unit}: one process a GPU, "
            "as many on every node. Change one, or leave both sizes out"
        )
    return Layout(tensor, pipeline, nodes, distributed)
