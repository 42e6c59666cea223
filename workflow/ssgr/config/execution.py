"""How a model's jobs run: what they ask for, and how the GPUs of a job share one model."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ssgr.config.base import Strict

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


SPREAD = ("tensor_parallel", "pipeline_parallel", "nodes", "distributed")
"""What spreads a model over GPUs and machines."""


class Execution(Strict):
    """How a model's jobs run. Nothing here changes a result, or reruns a job."""

    python: str | None = Field(
        None,
        description="interpreter of the environment that holds the engine; default: the one that "
        "runs Snakemake",
    )
    evaluation_python: str | None = Field(
        None, description="interpreter for `evaluation_engine`; default: `python`"
    )
    gpu: int = Field(
        1,
        ge=0,
        description="GPUs a job asks for, on each of its nodes; vLLM shares the model among them. "
        "Pruning takes one at most, however large the model: it holds one block's weights and "
        "statistics at a time",
    )
    tensor_parallel: int | None = Field(
        None,
        ge=1,
        description="GPUs that share every matrix, for engine `vllm`; default: the GPUs of a node",
    )
    pipeline_parallel: int | None = Field(
        None,
        ge=1,
        description="groups of them with blocks of their own; times tensor_parallel it is gpu "
        "times nodes. Default: what the other leaves, the number of nodes",
    )
    nodes: int = Field(
        1,
        ge=1,
        description="machines that hold one model together, for engine `vllm` in a SLURM job; for "
        "a model larger than one machine, else more jobs are faster",
    )
    distributed: Distributed | None = Field(
        None,
        description="how vLLM starts its processes: mp, its own, or ray, a cluster that lives as "
        "long as the job; default: mp",
    )
    memory_share: float | None = Field(
        None, gt=0, le=1, description="share of GPU memory that vLLM takes"
    )
    gpu_model: str | None = Field(
        None,
        pattern=r"^[\w.-]+$",
        description="kind of GPU a job asks for, as the cluster calls it",
    )
    mem_mb: int | None = Field(
        None,
        ge=100,
        description="memory a job asks for, in MB; default: what the model's size implies for "
        "each stage, or 16,000 where its config.json is not at hand",
    )
    runtime: int | None = Field(
        None,
        ge=1,
        description="minutes a job may take on a cluster; default: what size and `gpu_model` "
        "imply, a day at most, or 720",
    )
    disk_mb: int | None = Field(
        None,
        ge=0,
        description="scratch disk a job asks for, in MB; default: what the size implies, or 10,000",
    )
    threads: int = Field(1, ge=1, description="processor threads a job uses")
    batch_size: int = Field(256, ge=1, description="responses decoded side by side")

    @property
    def spread(self) -> list[str]:
        """The names of what spreads the model over GPUs and machines, where it is set."""
        fields = type(self).model_fields
        return [name for name in SPREAD if getattr(self, name) != fields[name].default]

    def layout(self, gpus: int | None = None) -> Layout:
        """Return how the GPUs of a job share the model.

        Args:
            gpus: of all nodes together; default: as given here.

        Raises:
            ValueError: the sizes do not multiply to them.
        """
        each, left = divmod(self.gpu * self.nodes if gpus is None else gpus, self.nodes)
        if left:
            raise ValueError(f"{gpus} GPUs are not as many on each of {self.nodes} nodes")
        sizes = self.tensor_parallel, self.pipeline_parallel
        return layout(each, self.nodes, *sizes, self.distributed)
