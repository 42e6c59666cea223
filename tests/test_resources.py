"""What a job asks of its machine: never fewer GPUs than it needs, more memory at each attempt."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssgr.config import Config
from ssgr.errors import ConfigError
from ssgr.jobs.resources import Answering, Limits, Pruning, Sampling

KEYS = {"model": "abacus", "source": "stories", "benchmark": "easy", "pruner": "wanda",
        "budget": "48x512-s0"}  # fmt: skip


@pytest.fixture
def raw(root: Path, tmp_path: Path) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((root / "config" / "config.yaml").read_text())
    made["results"] = str(tmp_path / "results")
    return made


def limits(**there: int) -> tuple[Limits, list[str]]:
    said: list[str] = []
    return Limits(there.get, said.append), said


def config(raw: dict[str, Any], **execution: object) -> Config:
    raw["models"]["abacus"] |= {"engine": "vllm"}
    raw["models"]["abacus"]["execution"] |= execution
    return Config.model_validate(raw)


def test_a_job_gets_all_its_gpus_or_is_refused(raw: dict[str, Any]) -> None:
    made = config(raw, gpu=2, nodes=2, gpu_model="a100")
    allowed, _ = limits(gpu=4)
    job = Sampling(made, allowed, lambda keys: False)
    assert (job.gpu(KEYS), job.nodes(KEYS), job.gres(KEYS)) == (4, 2, "gpu:a100:2")
    assert (job.mpi(KEYS), job.tasks_per_gpu(KEYS), job.gpu_model(KEYS)) == ("srun", 0, "a100")
    assert Pruning(made, allowed).gpu(KEYS) == 1
    few, _ = limits(gpu=3)
    for stage in (Sampling(made, few, lambda keys: False), Answering(made, few)):
        with pytest.raises(ConfigError, match=r"abacus.execution.gpu asks for 4 GPUs per job"):
            stage.gpu(KEYS)


def test_a_shard_in_the_pool_needs_no_gpu_and_must_not_draw(raw: dict[str, Any]) -> None:
    made = config(raw, gpu=2, nodes=2)
    job = Sampling(made, limits()[0], lambda keys: True)
    assert (job.gpu(KEYS), job.gpu_model(KEYS), job.nodes(KEYS), job.gres(KEYS)) == (
        0, None, None, None,
    )  # fmt: skip
    assert job.draw(KEYS) == "--no-draw"
    assert Answering(made, limits()[0]).gpu(KEYS) == 4


def test_another_attempt_asks_for_more_memory_and_a_smaller_batch(raw: dict[str, Any]) -> None:
    made = config(raw, batch_size=5, mem_mb=1000, memory_share=0.5)
    allowed, said = limits(mem_mb=2500)
    job = Answering(made, allowed)
    assert [job.mem_mb(KEYS, attempt) for attempt in (1, 2, 3)] == [1000, 2000, 2500]
    assert len(said) == 1 and "may need more than the 2,500 of mem_mb" in said[0]
    assert [allowed.memory(1000)(KEYS, attempt) for attempt in (1, 2, 3)] == [1000, 2000, 2500]
    flag, asked = shlex.split(job.engine(KEYS, 2))
    assert flag == "--model.execution"
    assert json.loads(asked) == {"batch_size": 2, "memory_share": 0.5}
    assert json.loads(shlex.split(job.engine(KEYS, 9))[1])["batch_size"] == 1
