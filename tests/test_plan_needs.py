"""What jobs need by size: against published counts, by hand, and against what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from published_models import CONFIGS, PARAMETERS
from ssgr.cluster.sizing import Shape, peak, shape_of, speed
from ssgr.cluster.sizing.configs import at_hand, fetched
from ssgr.cluster.sizing.gpus import gpu_named, larger_than
from ssgr.cluster.sizing.peak import MB, Calibrated
from ssgr.cluster.sizing.requests import calibrated
from ssgr.config import Budget, Model, Recipe, Search
from ssgr.config.execution import Layout
from ssgr.errors import ModelError

QWEN_7B = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
LLAMA_70B = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
SMOLLM2 = {  # SmolLM2-135M
    "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
    "tie_word_embeddings": True, "dtype": "float32", "max_position_embeddings": 8192,
}  # fmt: skip
GRAM = Calibrated(sequences=16, tokens=512, statistics="gram")
NORM = Calibrated(sequences=16, tokens=512, statistics="norm")


def shape(name: str) -> Shape:
    return shape_of(CONFIGS[name])


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_published(name: str) -> None:
    assert shape(name).parameters == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "billions"),
    [("Qwen/Qwen3-235B-A22B", 22), ("Qwen/Qwen3-30B-A3B", 3), ("mistralai/Mixtral-8x7B-v0.1", 13),
     ("deepseek-ai/DeepSeek-V3, in bf16", 37)],
)  # fmt: skip
def test_active_parameters_are_as_published(name: str, billions: int) -> None:
    assert round(shape(name).active / 1e9) == billions


def test_deepseek_v3_has_671_billion_parameters() -> None:
    assert round(shape("deepseek-ai/DeepSeek-V3, in bf16").parameters / 1e9) == 671


def test_embedded_models_have_the_parameters_that_their_files_hold(root: Path) -> None:
    """Four bytes a number in abacus, two in its sibling, after a header that says its length."""
    for name, size in (("abacus", 4), ("abacus-qwen3", 2)):
        folder = root / "resources" / name
        data = (folder / "model.safetensors").read_bytes()
        stored = len(data) - 8 - int.from_bytes(data[:8], "little")
        found = at_hand(Model(path=str(folder))).shape
        assert found is not None
        assert found.bytes_of() == size
        assert found.parameters * found.bytes_of() == stored


@pytest.mark.parametrize(
    ("name", "bytes_per_token"),
    [  # 2 (keys, values) x blocks x key heads x head size x 2 bytes
        (QWEN_7B, 2 * 28 * 4 * 128 * 2),
        (LLAMA_70B, 2 * 80 * 8 * 128 * 2),
        ("Qwen/Qwen3-14B", 2 * 40 * 8 * 128 * 2),
        ("Qwen/Qwen3-235B-A22B", 2 * 94 * 4 * 128 * 2),
        ("deepseek-ai/DeepSeek-V3, in bf16", 61 * (512 + 64) * 2),
    ],
)
def test_cache_of_a_token(name: str, bytes_per_token: int) -> None:
    assert shape(name).cached(1) * 2 == bytes_per_token


def test_a_window_bounds_the_cache() -> None:
    """Gemma 2: every other of 42 blocks keeps 4,096 tokens at most."""
    token = 2 * 8 * 256
    assert shape("google/gemma-2-9b").cached(8192) == 21 * token * (4096 + 8192)


def test_tensor_parallel_cuts_weights_and_heads_as_far_as_there_are_heads() -> None:
    """28 blocks of 4 key heads: on 8 GPUs each holds one, as on 4."""
    seven = shape(QWEN_7B)
    whole = peak.cache_on_gpu(seven, 2, Layout(), 1000)
    assert whole == 57_344 * 1000
    assert peak.cache_on_gpu(seven, 2, Layout(4), 1000) == whole / 4
    assert peak.cache_on_gpu(seven, 2, Layout(8), 1000) == whole / 4
    assert peak.cache_on_gpu(seven, 2, Layout(2, 2), 1000) == whole / 4
    assert peak.weights_on_gpu(seven, 2, Layout(2, 2)) == 7_615_616_512 * 2 / 4


def test_a_block_and_its_gram_matrices() -> None:
    """Llama 70B: q, o 8192^2, k, v 1024 x 8192, three of 28672 x 8192, two norms."""
    block = shape(LLAMA_70B).largest
    assert block.parameters == 2 * 8192**2 + 2 * 1024 * 8192 + 3 * 28672 * 8192 + 2 * 8192
    assert block.gram == 3 * 8192**2 + 28672**2
    experts = shape("Qwen/Qwen3-30B-A3B").largest  # of each expert its own
    assert experts.gram == 2048**2 + 4096**2 + 128 * (2048**2 + 768**2)


# Lab log, "Speed and memory": the peak over the start, in MB, without held-back text.
@pytest.mark.parametrize(("on", "measured"), [(GRAM, 112), (NORM, 78)])
def test_pruning_smollm2_takes_what_was_measured(on: Calibrated, measured: float) -> None:
    """Within a third: without the allocator's own share, with the block's file, which is mapped."""
    small = shape_of(SMOLLM2)
    states = 16 * 512 * 576 * 4
    counted = (peak._block(small, 4, 512, on) + states + 4 * small.largest.parameters) / MB
    assert 0.66 * measured < counted < 1.33 * measured
    assert peak.pruning_floor(small, dtype=4, on=on) / MB < measured


def test_a_longer_sequence_takes_what_was_measured() -> None:
    """Lab log: 12.9 kB a token at width 256, inner width 768, in fp32; depth does not matter."""
    wide = SMOLLM2 | {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4,
                      "num_key_value_heads": 4, "vocab_size": 1024}  # fmt: skip
    deep = shape_of(wide | {"num_hidden_layers": 32})
    four = shape_of(wide | {"num_hidden_layers": 4})
    took = [peak._block(deep, 4, tokens, GRAM) for tokens in (8192, 16384)]
    assert (took[1] - took[0]) / 8192 == pytest.approx(12_900, rel=0.1)
    assert took[0] == peak._block(four, 4, 8192, GRAM)


@pytest.mark.parametrize(
    ("config", "tokens", "batch", "measured"),
    [  # largest resident memory of some hundred jobs, in MB
        ("abacus", 512, 160, 774),
        ("abacus-qwen3", 512, 160, 839),
        (SMOLLM2, 160, 64, 1999),
    ],
)
def test_sampling_without_a_gpu_takes_what_was_measured(
    root: Path, config: Any, tokens: int, batch: int, measured: float
) -> None:
    """The jobs asked for stay above, and below twice, what they took."""
    if isinstance(config, str):
        config = json.loads((root / "resources" / config / "config.json").read_text())
    needed = peak.sampling(
        shape_of(config), dtype=4, engine="transformers", gpus=0, layout=Layout(), batch=batch,
        tokens=tokens, responses=640,
    )  # fmt: skip
    assert measured < needed.memory / MB < 2 * measured
    assert needed.gpu == 0


def test_a_server_has_the_weights_elsewhere() -> None:
    needed = peak.sampling(
        shape(LLAMA_70B), dtype=2, engine="server", gpus=0, layout=Layout(), batch=512,
        tokens=32768, responses=1024,
    )  # fmt: skip
    assert needed.memory < 1000 * MB


def test_a_search_keeps_the_matrices_at_its_levels_on_disk() -> None:
    seven, budget = shape(QWEN_7B), Budget(sequences=8, tokens=1024)
    plain, search = (
        peak.pruning(seven, dtype=2, gpu=True, on=calibrated(recipe, budget))
        for recipe in (
            Recipe(method="sparsegpt"),
            Recipe(method="sparsegpt", allocation="evopress"),
        )
    )
    by_another = calibrated(
        Recipe(method="magnitude", allocation="evopress", search=Search(method="sparsegpt")), budget
    )
    assert by_another == calibrated(Recipe(method="sparsegpt", allocation="evopress"), budget)
    blocks = sum(block.parameters for block in seven.blocks)
    assert search.disk - plain.disk == 11 * 2 * blocks
    assert (search.gpu, search.memory) == (plain.gpu, plain.memory)


def test_hidden_states_beyond_the_cap_are_on_disk() -> None:
    on = Calibrated(sequences=128, tokens=16384, statistics="gram")
    few = Calibrated(sequences=8, tokens=16384, statistics="gram")
    long, short = (peak.pruning(shape(QWEN_7B), dtype=2, gpu=True, on=each) for each in (on, few))
    assert long.disk - short.disk == 128 * 16384 * 3584 * 2 - 4096 * 2**20
    assert long.memory - short.memory == 4096 * 2**20 - 8 * 16384 * 3584 * 2


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("a100", "A100 80GB"),
        ("NVIDIA-A100-SXM4-80GB", "A100 80GB"),
        ("nvidia_a100-pcie-40gb", "A100 40GB"),
        ("a10", "A10 24GB"),
        ("nvidia_h100_nvl", "H100 NVL 94GB"),
        ("H100", "H100 94GB"),  # the largest of that name
        ("NVIDIA-H100-80GB-HBM3", "H100 80GB"),
        ("gh200", "GH200 144GB"),
        ("h200", "H200 141GB"),
        ("h20", "H20 141GB"),
        ("NVIDIA-L40S", "L40S 48GB"),
        ("l4", "L4 24GB"),
        ("tesla_v100-sxm2-16gb", "V100 16GB"),
        ("rtx_a6000", "A40 or A6000 48GB"),
        ("mi300x", "MI300X 192GB"),
        ("nvidia_a100_1g.10gb", None),  # a slice of one
        ("gaudi3", None),
        ("sparta100x", None),
        (None, None),
    ],
)
def test_kinds_of_gpu_as_clusters_spell_them(spelled: str | None, name: str | None) -> None:
    kind = gpu_named(spelled)
    assert (kind and kind.name) == name


def test_larger_gpus_come_smallest_first() -> None:
    assert [kind.name for kind in larger_than(142 * 2**30)][:2] == ["GH200 144GB", "B200"]
    assert larger_than(10**15) == []


def test_estimated_speed_is_arithmetic() -> None:
    kind = gpu_named("a100")
    assert kind is not None
    seven = shape(QWEN_7B)
    rate = speed.tokens_per_second(seven, kind)
    assert rate == pytest.approx(0.10 * 312e12 / (2 * seven.active))
    # the paper's budget: statistics alone are 2 x tokens x columns^2 in each of 28 blocks
    on = Calibrated(sequences=128, tokens=16384, statistics="gram")
    gram = 2 * 128 * 16384 * 28 * (3 * 3584**2 + 18944**2) / (0.5 * 19.5e12)
    took = speed.pruning_seconds(seven, kind, on)
    assert gram < took < 2 * gram
    norms = Calibrated(sequences=128, tokens=16384, statistics="norm")
    assert speed.pruning_seconds(seven, kind, norms) < 0.3 * took


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "gpt2"}, "models of type 'gpt2' is not known here"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"dtype": "float8_e4m3fn"}, "dtype 'float8_e4m3fn', expected one of float32, bfloat16"),
    ],
)
def test_what_is_not_understood_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        shape_of(SMOLLM2 | changes)


def test_a_folder_without_a_usable_config_is_no_error(tmp_path: Path) -> None:
    entry = Model(path=str(tmp_path))
    assert f"there is no {tmp_path / 'config.json'}" in at_hand(entry).why
    for text, said in (("{", "cannot be read as JSON"), ("[]", "no JSON object"),
                       ('{"model_type": "gpt2"}', "gpt2")):  # fmt: skip
        (tmp_path / "config.json").write_text(text)
        assert said in at_hand(entry).why
    (tmp_path / "config.json").write_text(json.dumps(SMOLLM2))
    assert fetched(entry).shape == shape_of(SMOLLM2)


def test_a_config_of_the_hub_is_found_in_its_cache_and_fetched_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    entry = Model(path="org/small", revision="0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert at_hand(entry).why == f"config.json of org/small at {'0' * 40} is not in the hub's cache"
    assert "nor can it be fetched" in fetched(entry).why
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SMOLLM2))
    asked = []

    def download(*words: str, **more: str) -> str:
        asked.append((words, more))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert fetched(entry).shape == shape_of(SMOLLM2)
    assert asked == [(("org/small", "config.json"), {"revision": "0" * 40})]
    snapshot = tmp_path / "models--org--small" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(SMOLLM2))
    assert at_hand(entry).shape == shape_of(SMOLLM2)
    assert len(asked) == 1
