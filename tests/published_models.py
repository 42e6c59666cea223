"""Configs of models as their makers publish them: what decides their size, and their counts."""

import json
from pathlib import Path
from typing import Any

import yaml


def _config(kind: str, size: tuple[int, int, int, int, int, int], **more: Any) -> dict[str, Any]:
    """Vocabulary, width, inner width, blocks, heads, key heads."""
    keys = (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
        *("num_attention_heads", "num_key_value_heads"),
    )
    return {"model_type": kind, "torch_dtype": "bfloat16", **dict(zip(keys, size, strict=True)),
            "max_position_embeddings": 131072, "tie_word_embeddings": False, **more}  # fmt: skip


EXPERTS = {"num_experts": 128, "num_experts_per_tok": 8, "head_dim": 128}
CONFIGS: dict[str, dict[str, Any]] = {
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": _config(
        "qwen2", (151936, 1536, 8960, 28, 12, 2), sliding_window=4096, use_sliding_window=False
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": _config(
        "qwen2", (152064, 3584, 18944, 28, 28, 4), sliding_window=4096, use_sliding_window=False
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": _config("qwen2", (152064, 5120, 13824, 48, 40, 8)),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": _config("qwen2", (152064, 5120, 27648, 64, 40, 8)),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": _config(
        "llama", (128256, 4096, 14336, 32, 32, 8), attention_bias=False, mlp_bias=False
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": _config("llama", (128256, 8192, 28672, 80, 64, 8)),
    "Qwen/Qwen3-14B": _config(
        "qwen3", (151936, 5120, 17408, 40, 40, 8), head_dim=128, max_position_embeddings=40960
    ),
    "Qwen/Qwen3-30B-A3B": _config(
        "qwen3_moe", (151936, 2048, 6144, 48, 32, 4), moe_intermediate_size=768,
        max_position_embeddings=40960, **EXPERTS,
    ),
    "Qwen/Qwen3-235B-A22B": _config(
        "qwen3_moe", (151936, 4096, 12288, 94, 64, 4), moe_intermediate_size=1536,
        max_position_embeddings=40960, **EXPERTS,
    ),
    "mistralai/Mixtral-8x7B-v0.1": _config(
        "mixtral", (32000, 4096, 14336, 32, 32, 8), num_local_experts=8, num_experts_per_tok=2
    ),
    "google/gemma-2-9b": _config(
        "gemma2", (256000, 3584, 14336, 42, 16, 8), head_dim=256, tie_word_embeddings=True,
        sliding_window=4096, max_position_embeddings=8192,
    ),
    "deepseek-ai/DeepSeek-V3, in bf16": _config(
        "deepseek_v3", (129280, 7168, 18432, 61, 128, 128), moe_intermediate_size=2048,
        n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3,
        kv_lora_rank=512, q_lora_rank=1536, qk_rope_head_dim=64, qk_nope_head_dim=128,
        v_head_dim=128,
    ),
}  # fmt: skip
PARAMETERS = {  # as the hub counts their safetensors
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": 7_615_616_512,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": 14_770_033_664,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": 32_763_876_352,
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": 8_030_261_248,
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": 70_553_706_496,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "mistralai/Mixtral-8x7B-v0.1": 46_702_792_704,
    "google/gemma-2-9b": 9_241_705_984,
}


def cache_configs(root: Path, home: Path) -> None:
    """Put the configs of the paper's models where the hub's library keeps them (HF_HOME)."""
    paper = yaml.safe_load((root / "config" / "paper.yaml").read_text())
    for entry in paper["models"].values():
        folder = home / "hub" / f"models--{entry['path'].replace('/', '--')}"
        snapshot = folder / "snapshots" / entry["revision"]
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps(CONFIGS[entry["path"]]))
