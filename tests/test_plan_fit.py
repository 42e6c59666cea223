"""Jobs that cannot fit are refused before they are submitted, with what would fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from published_models import CONFIGS
from ssgr.cluster.sizing.configs import at_hand
from ssgr.cluster.sizing.gpus import gpu_named
from ssgr.cluster.sizing.requests import answering_job, pruning_job, sampling_job
from ssgr.commands.plan import shown
from ssgr.config import Config
from ssgr.errors import ConfigError
from ssgr.jobs.fit import require_fit, side_by_side
from ssgr.monitor.plan import plan

R1 = "deepseek-ai/DeepSeek-R1-Distill-"
VLLM = {"engine": "vllm", "dtype": "bfloat16", "gpu_model": "a100", "gpu": 1}


def config(tmp_path: Path, name: str, **entry: Any) -> Config:
    """The paper's sampling and budget for a model that is a folder with a config.json alone."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]))
    own = {key: entry.pop(key) for key in ("tokens", "pruners", "pruning") if key in entry}
    drawn = {"n": 16, "max_tokens": own.get("tokens", 32768)}
    made: dict[str, Any] = {
        "results": str(tmp_path / "results"),
        "pool": {"path": str(tmp_path / "pool"), "shard_size": 64},
        "run": {"models": ["m"], "pruners": own.get("pruners", ["sparsegpt"]), "sparsities": [50]},
        "models": {"m": {"path": str(folder)} | VLLM | entry},
        "sources": {"s": {"data": {"loader": "abacus", "kind": "stories", "count": 400}}},
        "benchmarks": {"b": {"data": {"loader": "abacus", "kind": "easy", "count": 100}}},
        "calibrations": {"SSGR": {"source": "s", "tau": 0.75, "length": "median"}},
        "sampling": drawn,
        "evaluation": drawn | {"n": 4},
        "budget": {"sequences": 128, "tokens": 16384},
        "pruning": own.get("pruning", {}),
    }
    return Config.model_validate(made)


def refusal(made: Config) -> str:
    with pytest.raises(ConfigError) as refused:
        require_fit(made, at_hand)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (R1 + "Qwen-7B", {}),
        (R1 + "Qwen-7B", {"gpu_model": "l4"}),  # 15.2 + 1.9 GB of 0.92 x 25.8
        (R1 + "Qwen-32B", {}),  # 65.5 + 8.6 GB of 77.3
        (R1 + "Llama-70B", {"gpu": 4}),
        (R1 + "Llama-70B", {"gpu_model": None}),  # any kind: nothing is known
        (R1 + "Llama-70B", {"gpu_model": "gaudi3"}),
        (R1 + "Llama-70B", {"gpu": 0, "gpu_model": None}),
        ("Qwen/Qwen3-235B-A22B", {"gpu": 4, "nodes": 2}),
    ],
)
def test_what_fits_is_not_refused(tmp_path: Path, name: str, entry: dict[str, Any]) -> None:
    require_fit(config(tmp_path, name, **entry), at_hand)


def test_too_few_gpus(tmp_path: Path) -> None:
    """141.1 GB of weights; on two GPUs 70.6 + 5.4 GB of 79.0."""
    said = refusal(config(tmp_path, R1 + "Llama-70B"))
    sampling, evaluation, hint = said.splitlines()
    assert "experiments: {NAME: null}" in hint
    assert sampling == (
        "models.m: a job of sampling does not fit 1 x A100 80GB: each would hold 141.1 GB of "
        "weights and 10.7 GB for one response of 32,768 tokens, and 92% of its memory is 79.0 GB. "
        "What fits: gpu: 2; a gpu_model as large as B200"
    )
    assert evaluation == sampling.replace("sampling", "evaluation")


def test_more_nodes_where_one_is_too_small(tmp_path: Path) -> None:
    """470 GB on eight GPUs of 48 are 58.8 each; on two nodes of eight half of that."""
    said = refusal(config(tmp_path, "Qwen/Qwen3-235B-A22B", gpu=8, gpu_model="l40s"))
    assert "gpu: 8, nodes: 2;" in said
    explicit = {"tensor_parallel": 8, "pipeline_parallel": 1}
    said = refusal(config(tmp_path, "Qwen/Qwen3-235B-A22B", gpu=8, gpu_model="l40s", **explicit))
    assert "gpu: 8, nodes: 2, tensor_parallel: 8, pipeline_parallel: 2;" in said


def test_shorter_responses_and_a_larger_share(tmp_path: Path) -> None:
    """Of 0.8 x 85.9 GB the weights leave 3.2 GB: 12,174 tokens of 262,144 bytes."""
    said = refusal(config(tmp_path, R1 + "Qwen-32B", memory_share=0.8))
    assert "sampling.max_tokens: 11264" in said
    assert "evaluation.max_tokens: 11264" in said
    assert "memory_share: 0.87" in said
    assert "dtype" not in said
    require_fit(config(tmp_path, R1 + "Qwen-32B", memory_share=0.8, tokens=11264), at_hand)
    require_fit(config(tmp_path, R1 + "Qwen-32B", memory_share=0.87), at_hand)


def test_another_format(tmp_path: Path) -> None:
    """30.5 GB in fp32 on 24 GiB."""
    said = refusal(config(tmp_path, R1 + "Qwen-7B", dtype="float32", gpu_model="a10"))
    assert "gpu: 2" in said
    assert "dtype: bfloat16" in said
    require_fit(config(tmp_path, R1 + "Qwen-7B", dtype="bfloat16", gpu_model="a10"), at_hand)


def test_an_engine_that_takes_one_gpu(tmp_path: Path) -> None:
    said = refusal(config(tmp_path, R1 + "Llama-70B", engine="transformers", gpu=4))
    assert "does not fit 4 x A100 80GB: each would hold 141.1 GB" in said
    assert "What fits: engine: vllm and gpu: 2;" in said


def test_heads_that_do_not_divide(tmp_path: Path) -> None:
    """28 heads, 4 of them keys."""
    said = refusal(config(tmp_path, R1 + "Qwen-7B", gpu=8))
    assert "28 heads with 4 keys do not divide so: take one of 4, 2, 1" in said
    require_fit(config(tmp_path, R1 + "Qwen-7B", gpu=4, gpu_model=None), at_hand)


def test_a_block_with_too_many_experts(tmp_path: Path) -> None:
    """23 GB of weights, and a Gram matrix for each of 256 experts: 58.4 GB; norms take nothing."""
    name = "deepseek-ai/DeepSeek-V3, in bf16"
    entry = {"engine": "vllm", "gpu": 8, "nodes": 8, "gpu_model": "a100-40gb"}
    said = refusal(config(tmp_path, name, **entry))
    assert "pruning by sparsegpt does not fit one A100 40GB" in said
    assert "take 81.9 GB. What fits: a gpu_model as large as" in said
    assert "a pruner that reads norms alone (wanda, ria)" in said
    require_fit(config(tmp_path, name, pruners=["wanda"], **entry), at_hand)


def test_the_plan_refuses_too(tmp_path: Path) -> None:
    made = config(tmp_path, R1 + "Llama-70B")
    with pytest.raises(ConfigError, match="What fits: gpu: 2"):
        plan(made, Path(made.results), Path(made.pool.path))


def test_room_for_responses(tmp_path: Path) -> None:
    """0.92 x 85.9 GB less 15.2 GB of weights, 1.879 GB each: 33 of 32,768 tokens."""
    entry = config(tmp_path, R1 + "Qwen-7B").models["m"]
    shape, kind = at_hand(entry).shape, gpu_named("a100")
    assert shape is not None and kind is not None
    assert side_by_side(entry, shape, kind, 32768) == 33


def test_defaults_by_size_and_what_the_entry_says(tmp_path: Path) -> None:
    """7B in bf16 on an A100; per stage, and each key by itself."""
    made = config(tmp_path, R1 + "Qwen-7B")
    shape = at_hand(made.models["m"]).shape
    sampled = sampling_job(made, "m", shape)
    # 15.2 GB of weights through the page cache, 7 GB for the processes
    assert (sampled.gpus, sampled.mem_mb) == (1, 22500)
    assert sampled.gpu_mb == pytest.approx(15231.2 + 1879.1, abs=1)
    pruned = pruning_job(made, "m", shape, made.recipe("sparsegpt"), made.budget)
    # 3 GB, 4.3 of hidden states, 1.1 of embedding, a block of 0.47 twice
    assert (pruned.gpus, pruned.mem_mb) == (1, 9500)
    # the checkpoint of 15.2 GB, 15.0 - 4.3 GB of hidden states, 2 GB of scratch
    assert pruned.disk_mb == 28000
    assert sampled.seconds is not None and pruned.seconds is not None
    # 1,024 responses of 32,768 tokens at 2,206 a second; half as much to spare
    assert sampled.runtime == pytest.approx(1.5 * 1024 * 32768 / 2206 / 60, rel=0.02)
    said = config(tmp_path, R1 + "Qwen-7B", mem_mb=5000, runtime=77)
    own = sampling_job(said, "m", shape)
    assert (own.mem_mb, own.runtime, own.disk_mb) == (5000, 77, sampled.disk_mb)


def test_without_a_size_the_numbers_are_fixed(tmp_path: Path) -> None:
    made = config(tmp_path, R1 + "Qwen-7B")
    for job in (
        sampling_job(made, "m", None),
        answering_job(made, "m", None, 100),
        pruning_job(made, "m", None, made.recipe("wanda"), made.budget),
    ):
        assert (job.mem_mb, job.disk_mb, job.runtime) == (16000, 10000, 720)
        assert (job.gpus, job.gpu_mb, job.seconds) == (1, None, None)


def test_each_attempt_asks_for_more(tmp_path: Path) -> None:
    made = config(tmp_path, R1 + "Qwen-7B", mem_mb=1000, runtime=10, disk_mb=7)
    job = sampling_job(made, "m", None)
    asked = [[job.at(key, attempt) for key in ("mem_mb", "runtime", "disk_mb")]
             for attempt in (1, 2, 3)]  # fmt: skip
    assert asked == [[1000, 10, 7], [2000, 20, 7], [4000, 30, 7]]


def test_no_attempt_asks_for_more_than_a_day_or_what_the_entry_says(tmp_path: Path) -> None:
    by_size = sampling_job(config(tmp_path, R1 + "Qwen-7B"), "m", None)
    assert [by_size.at("runtime", attempt) for attempt in (1, 2, 3)] == [720, 1440, 1440]
    given = sampling_job(config(tmp_path, R1 + "Qwen-7B", runtime=2000), "m", None)
    assert [given.at("runtime", attempt) for attempt in (1, 2)] == [2000, 2000]


@pytest.mark.parametrize("allocation", ["evopress", "neuronal"])
def test_the_time_of_a_search_is_not_guessed(tmp_path: Path, allocation: str) -> None:
    made = config(tmp_path, R1 + "Qwen-7B")
    shape = at_hand(made.models["m"]).shape
    recipe = made.recipe("sparsegpt").model_copy(update={"allocation": allocation})
    job = pruning_job(made, "m", shape, recipe, made.budget)
    assert (job.seconds, job.runtime) == (None, 720)


def test_transformers_holds_a_whole_batch(tmp_path: Path) -> None:
    """15.2 GB of weights and 4 x 1.879 GB; its speed is not vLLM's, and not estimated."""
    made = config(tmp_path, R1 + "Qwen-7B", engine="transformers", batch_size=4)
    job = sampling_job(made, "m", at_hand(made.models["m"]).shape)
    assert job.gpu_mb == pytest.approx(15231.2 + 4 * 1879.1, abs=1)
    assert (job.seconds, job.runtime) == (None, 720)


def test_a_job_asks_for_a_day_at_most(tmp_path: Path) -> None:
    """100 problems x 4 x 32,768 tokens of a 70B on one B200; what is cut off there goes on."""
    made = config(tmp_path, R1 + "Llama-70B", gpu_model="b200")
    shape = at_hand(made.models["m"]).shape
    assert answering_job(made, "m", shape, 100).runtime == pytest.approx(206, rel=0.05)
    assert answering_job(made, "m", shape, 10**6).runtime == 1440
    assert answering_job(made, "m", shape, 1).runtime == 60
    assert answering_job(made, "m", shape, None).runtime == 720  # nobody has counted


def test_a_model_on_several_nodes(tmp_path: Path) -> None:
    """Memory is each node's: four workers, and half of the weights."""
    made = config(tmp_path, "Qwen/Qwen3-235B-A22B", gpu=4, nodes=2)
    job = sampling_job(made, "m", at_hand(made.models["m"]).shape)
    assert job.gpus == 8
    assert job.mem_mb == pytest.approx(3000 + 4 * 4000 + 235094, abs=500)
    assert job.gpu_mb == pytest.approx(470187 / 8 + 192.5 * 32768 / 8000, rel=0.001)


def test_the_plan_shows_what_jobs_need(tmp_path: Path) -> None:
    made = config(tmp_path, R1 + "Qwen-7B", pruners=["sparsegpt", "wanda"])
    table = plan(made, Path(made.results), Path(made.pool.path))
    sample = table.filter(stage="sample", scope="first wave").row(0, named=True)
    assert (sample["gpus"], sample["mem_mb"], sample["estimated"]) == (1, 22500, True)
    # 256 problems of 16 responses of at most 32,768 tokens
    rate = 0.10 * 312e12 / (2 * 7_070_615_552)
    assert sample["gpu_hours"] == pytest.approx(256 * 16 * 32768 / rate / 3600)
    assert (
        "estimated 2,206 tokens/s a GPU: 10% of the 312 TFLOP/s of an A100 80GB"
        in (sample["basis"])
    )
    assert "room for 33 responses of 32,768 tokens" in sample["basis"]
    for pruner in ("sparsegpt", "wanda"):
        row = table.filter(stage="prune", of=pruner).row(0, named=True)
        job = pruning_job(
            made, "m", at_hand(made.models["m"]).shape, made.recipe(pruner), made.budget
        )
        assert (row["gpus"], row["gpu_mb"], row["disk_mb"]) == (1, job.gpu_mb, job.disk_mb)
        assert job.seconds is not None
        assert row["gpu_hours"] == pytest.approx(job.seconds / 3600)
    grade = table.filter(stage="grade", scope="first wave").row(0, named=True)
    assert (grade["gpus"], grade["gpu_mb"], grade["mem_mb"]) == (0, 0, 2000)
    answer = table.filter(stage="answer").row(0, named=True)
    assert answer["gpu_hours"] == pytest.approx(3 * 400 * 32768 / rate / 3600)  # dense too
    first = next(line for line in shown(table.to_dicts()).splitlines() if "first wave" in line)
    # 134 million tokens; GPUs, GB of each, of memory, of disk
    before, _, after = " ".join(first.split()).partition(" GPU-h ")
    assert before.endswith("<= 134,217,728 <= ~16.9")
    assert after.startswith("1 17.1 22.5 2.5 at most 16 responses/problem")


def test_no_estimate_without_a_kind_of_gpu(tmp_path: Path) -> None:
    made = config(tmp_path, R1 + "Qwen-7B", gpu_model=None)
    table = plan(made, Path(made.results), Path(made.pool.path))
    for stage in ("sample", "prune", "answer"):
        row = table.filter(stage=stage).row(0, named=True)
        assert (row["gpu_hours"], row["estimated"]) == (None, False)
        assert "gpu_model not given: nothing estimated" in row["basis"]
        assert row["gpu_mb"] > 0


def test_what_the_rules_of_small_jobs_ask_for(root: Path) -> None:
    """The plan shows the numbers of the rules."""
    from ssgr.cluster.sizing.peak import JOBS

    rules = root / "workflow" / "rules"
    text = (rules / "pool.smk").read_text() + (rules / "calibration.smk").read_text()
    for rule, megabytes in JOBS.items():
        body = text.partition(f"\nrule {rule}:")[2].partition("\nrule ")[0]
        assert f"mem_mb=memory({megabytes})" in body
