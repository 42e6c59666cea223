"""A model on two nodes of a real SLURM: its job has both, and every GPU is where it belongs."""

import json
from pathlib import Path
from typing import Any

import stand_in_vllm
from experiment import Experiment, copy_of_the_workflow, logs
from slurm_cluster import NODES, Slurm
from ssgr.config import PoolSampling
from ssgr.pool import store

SAMPLING: dict[str, Any] = {"n": 1, "max_tokens": 8, "seed": 0}
KEYS = f"model=abacus/source=stories/sampling={PoolSampling(**SAMPLING).key}"
SHARD = "000000-000005"
GPUS = 2
"""Of each node that the job asks for."""


def test_a_model_on_two_nodes(root: Path, tmp_path: Path, slurm: Slurm) -> None:
    (tmp_path / "project").mkdir()
    workflow = copy_of_the_workflow(root, tmp_path / "project")
    experiment = Experiment(workflow, tmp_path / "run")
    python = stand_in_vllm.interpreter(tmp_path / "stand-in")
    model = {"engine": "vllm", "python": str(python), "gpu": GPUS, "nodes": 2, "mem_mb": 1500}
    experiment.configure({"models": {"abacus": model}, "sampling": SAMPLING})
    code, said = experiment.snakemake(
        f"results/receipts/responses/{KEYS}/{SHARD}.json",
        *("--profile", str(workflow / "workflow" / "profiles" / "slurm")),
        *("--latency-wait", "20", "--slurm-status-command", "squeue"),
        *("--slurm-init-seconds-before-status-checks", "1"),
        **slurm.environment,
    )
    assert code == 0, said + logs(experiment)
    (job,) = [job for job in slurm.jobs() if "rule_sample_" in job["Comment"]]
    assert (job["NumNodes"], job["NumTasks"]) == ("2", "2")
    assert job["TresPerNode"] == f"gres:gpu:{GPUS}"

    here, there = NODES
    seen = json.loads((tmp_path / "stand-in" / "seen" / f"{there}.json").read_text())
    all_of_a_node = ",".join(map(str, range(GPUS)))
    assert seen["devices"] == all_of_a_node
    assert seen["node_rank"] == 1
    assert (seen["tensor_parallel_size"], seen["pipeline_parallel_size"]) == (GPUS, 2)
    assert (tmp_path / "stand-in" / "seen" / f"{there}.over").is_file()
    assert not (tmp_path / "stand-in" / "seen" / f"{here}.json").exists()
    assert f"devices: {' '.join(all_of_a_node.split(','))}\n" in logs(experiment)
    part = tmp_path / "pool" / "responses" / KEYS / f"{SHARD}.parquet"
    assert store.read_receipt(part, store.ResponsesReceipt).gpus == 2 * GPUS
