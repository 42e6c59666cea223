"""Models on several GPUs and nodes: settings of execution, by which nothing is drawn again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import stand_in_vllm
from experiment import Experiment, copy_of_the_workflow, logs
from ssgr.config import Model, PoolSampling
from ssgr.config.execution import Layout
from ssgr.jobs import specs
from ssgr.pool import store

SHARD = "results/receipts/responses/model=abacus/source=stories/sampling={key}/000000-000005.json"
NEXT = SHARD.replace("000000-000005", "000005-000010")
SAMPLING: dict[str, Any] = {"n": 1, "max_tokens": 8, "seed": 0}
EXECUTION: list[dict[str, Any]] = [
    {"gpu": 2},
    {"gpu": 4, "tensor_parallel": 2, "pipeline_parallel": 2},
    {"gpu": 8, "nodes": 2},
    {"gpu": 8, "nodes": 2, "tensor_parallel": 16, "distributed": "ray"},
]


def entry(**keys: Any) -> Model:
    return Model(**{"path": "org/large", "engine": "vllm", **keys})


@pytest.mark.parametrize(
    ("keys", "layout"),
    [
        ({}, Layout()),
        ({"gpu": 4}, Layout(tensor=4)),
        ({"gpu": 8, "nodes": 2}, Layout(tensor=8, pipeline=2, nodes=2)),
        ({"gpu": 8, "pipeline_parallel": 4}, Layout(tensor=2, pipeline=4)),
        ({"gpu": 8, "nodes": 2, "tensor_parallel": 4}, Layout(tensor=4, pipeline=4, nodes=2)),
        ({"gpu": 8, "nodes": 2, "pipeline_parallel": 1}, Layout(tensor=16, nodes=2)),
        ({"gpu": 2, "distributed": "ray"}, Layout(tensor=2, distributed="ray")),
        ({"gpu": 0}, Layout()),
        ({"gpu": 0, "tensor_parallel": 2}, Layout(tensor=2)),
        ({"gpu": 0, "nodes": 2}, Layout(tensor=2, nodes=2)),
    ],
)
def test_what_is_left_out_is_a_pipeline_over_nodes_that_share_matrices(
    keys: dict[str, Any], layout: Layout
) -> None:
    assert entry(**keys).execution.layout() == layout


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"gpu": 8, "tensor_parallel": 3},
            "tensor_parallel 3 x pipeline_parallel 2 is 6 processes, but gpu 8 x nodes 1 is 8 GPUs",
        ),
        ({"gpu": 4, "nodes": 2, "tensor_parallel": 4, "pipeline_parallel": 1}, "is 8 GPUs"),
        ({"gpu": 0, "nodes": 2, "tensor_parallel": 3, "pipeline_parallel": 1}, "as many on every"),
        ({"engine": "transformers", "nodes": 2}, "nodes: only the engine `vllm` takes them"),
        (
            {"engine": "transformers", "tensor_parallel": 1, "distributed": "mp"},
            "tensor_parallel, distributed: only the engine `vllm`",
        ),
        ({"distributed": "mpi"}, "Input should be 'mp' or 'ray'"),
        ({"nodes": 0}, "greater than or equal to 1"),
    ],
)
def test_sizes_that_make_no_sense_are_told(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        entry(**keys)
    assert said in str(caught.value)


def test_an_engine_of_the_evaluation_may_be_the_one_that_is_spread() -> None:
    spread = {"engine": "transformers", "evaluation_engine": "vllm", "gpu": 4}
    assert entry(**spread, tensor_parallel=4).for_evaluation().execution.layout() == Layout(
        tensor=4
    )


def test_a_job_shares_the_gpus_that_it_was_given() -> None:
    assert entry(gpu=8, nodes=2).execution.layout(16) == Layout(tensor=8, pipeline=2, nodes=2)
    assert entry().execution.layout(4) == Layout(tensor=4)
    with pytest.raises(ValueError, match="3 GPUs are not as many on each of 2 nodes"):
        entry(gpu=8, nodes=2).execution.layout(3)


@pytest.mark.parametrize("keys", EXECUTION)
def test_a_pool_and_a_checkpoint_know_nothing_of_it(keys: dict[str, Any]) -> None:
    drawn = PoolSampling(**SAMPLING).drawn
    assert store.manifest(entry(**keys), drawn) == store.manifest(entry(), drawn)
    for known in (specs.model_asked, specs.model_pruned, specs.source_of_model):
        assert known(entry(**keys)) == known(entry())
    assert specs.model_rendered(entry(**keys)) == specs.model_rendered(entry())


@pytest.fixture
def experiment(root: Path, tmp_path: Path) -> Experiment:
    """A run whose vLLM is a stand-in."""
    (tmp_path / "project").mkdir()
    stand_in_vllm.interpreter(tmp_path / "stand-in")
    return Experiment(copy_of_the_workflow(root, tmp_path / "project"), tmp_path / "run")


def configure(experiment: Experiment, **keys: Any) -> None:
    python = str(experiment.directory.parent / "stand-in" / "python")
    model = {"path": "resources/abacus", "prompt": "{question}", "engine": "vllm", "python": python}
    experiment.configure({"models": {"abacus": {**model, **keys}}, "sampling": SAMPLING})


def submitted(experiment: Experiment, target: str) -> dict[str, Any]:
    """What a scheduler is told of the job that makes a target; it refuses it."""
    refuse = experiment.directory / "refuse.sh"
    refuse.write_text(f'#!/bin/sh\ncp "$1" {experiment.directory}/job.sh\nexit 1\n')
    refuse.chmod(0o755)
    generic = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(refuse))
    code, said = experiment.snakemake(target, *generic, "--jobs", "1")
    assert code != 0, said
    script = (experiment.directory / "job.sh").read_text()
    (line,) = re.findall(r"^# properties = (.*)$", script, re.M)
    properties: dict[str, Any] = json.loads(line)
    return properties


def test_nothing_runs_again_when_a_model_gets_more_gpus(experiment: Experiment) -> None:
    """And what is still to be drawn asks the SLURM executor for all its nodes."""
    key = PoolSampling(**SAMPLING).key
    there, missing = SHARD.format(key=key), NEXT.format(key=key)
    configure(experiment, gpu=0)
    code, said = experiment.snakemake(there)
    assert code == 0, said + logs(experiment)
    four = {"gpu": 4, "tensor_parallel": 2, "pipeline_parallel": 2}
    two_nodes = {"gpu": 3, "nodes": 2, "tensor_parallel": 6, "distributed": "ray"}
    for keys in four, two_nodes:
        configure(experiment, **keys)
        code, said = experiment.snakemake("--dry-run", there)
        assert code == 0, said
        assert "Nothing to be done" in said, said
    configure(experiment, **two_nodes, gpu_model="a100")
    properties = submitted(experiment, missing)
    asked = {"gpu": 6, "nodes": 2, "tasks": 2, "mpi": "srun", "tasks_per_gpu": 0}
    asked |= {"gpu_model": "a100", "gres": "gpu:a100:3"}
    assert asked.items() <= properties["resources"].items()
    code, said = experiment.snakemake("--dry-run", "--printshellcmds", missing)
    assert code == 0, said
    flags = (
        '"gpu": 3, "tensor_parallel": 6, "nodes": 2, "distributed": "ray"',
        "--gpus 6",
    )
    for flag in flags:
        assert flag in said, flag
    code, said = experiment.snakemake(missing, "--dry-run", "--resources", "gpu=5")
    assert code != 0
    assert "asks for 6 GPUs per job, --resources gpu=5 allows 5" in said


def test_a_pod_is_one_machine(root: Path, tmp_path: Path) -> None:
    properties = {"resources": {"nodes": 2, "gpu": 16, "runtime": 1, "mem_mb": 1, "disk_mb": 1}}
    script = tmp_path / "job.sh"
    script.write_text(
        f"#!/bin/sh\n# properties = {json.dumps({'rule': 'sample', 'threads': 1, **properties})}\n"
    )
    submit = root / "workflow" / "profiles" / "kubernetes" / "submit.py"
    done = subprocess.run(
        [sys.executable, submit, script], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "nodes: a model on several machines needs SLURM" in done.stderr
