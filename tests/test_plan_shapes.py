"""Sizes from config.json: exactly those of transformers' own modules, and the published counts."""

import json
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ssgr.cluster.sizing import Shape, shape_of

SMALL: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 6,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "kv_lora_rank": 16,
    "q_lora_rank": 20,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 10,
    "v_head_dim": 12,
    "first_k_dense_replace": 2,
    "n_group": 2,
    "topk_group": 1,
}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 12}),
    ("llama", {"tie_word_embeddings": True, "num_key_value_heads": None}),
    ("mistral", {"head_dim": 16}),
    ("mistral", {"sliding_window": None}),
    ("qwen2", {}),
    ("qwen2", {"tie_word_embeddings": True, "use_sliding_window": True, "max_window_layers": 2}),
    ("qwen3", {"head_dim": 16}),
    ("qwen3", {"attention_bias": True, "head_dim": 8}),
    ("gemma", {"head_dim": 16}),
    ("gemma2", {"head_dim": 16}),
    ("gemma2", {"head_dim": 16, "tie_word_embeddings": False, "attention_bias": True}),
    ("gemma3_text", {"head_dim": 16, "num_hidden_layers": 7, "sliding_window": 32}),
    ("mixtral", {"num_local_experts": 3}),
    ("qwen2_moe", {**EXPERTS, "shared_expert_intermediate_size": 56, "mlp_only_layers": [1]}),
    ("qwen2_moe", {**EXPERTS, "shared_expert_intermediate_size": 56, "qkv_bias": False}),
    ("qwen3_moe", {**EXPERTS, "decoder_sparse_step": 2, "head_dim": 16}),
    ("qwen3_moe", {**EXPERTS, "mlp_only_layers": [0, 3], "tie_word_embeddings": True}),
    ("deepseek_v3", LATENT),
    ("deepseek_v3", {**LATENT, "q_lora_rank": None, "attention_bias": True}),
]


def made(family: str, changes: dict[str, Any], as_saved: bool) -> tuple[Shape, PreTrainedModel]:
    """The shape of a small config, as it is written or as it is given; and the model itself."""
    config = CONFIG_MAPPING[family](**(SMALL | changes))
    written = json.loads(config.to_json_string())
    given = {"model_type": family, **SMALL, **changes}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return shape_of(written if as_saved else given), model


@pytest.mark.parametrize("as_saved", [True, False], ids=["as saved", "as little as can be"])
@pytest.mark.parametrize(("family", "changes"), FAMILIES)
def test_every_parameter_is_counted(family: str, changes: dict[str, Any], as_saved: bool) -> None:
    shape, model = made(family, changes, as_saved)
    assert shape.parameters == sum(one.numel() for one in model.parameters())
    blocks = model.get_decoder().layers
    assert len(shape.blocks) == len(blocks)
    for counted, block in zip(shape.blocks, blocks, strict=True):
        assert counted.parameters == sum(one.numel() for one in block.parameters())


@pytest.mark.parametrize(
    ("family", "changes"), [one for one in FAMILIES if one[0] != "deepseek_v3"]
)
def test_the_cache_is_what_a_forward_pass_leaves(family: str, changes: dict[str, Any]) -> None:
    """Keys and values of 40 tokens, of which a window keeps its own number at most."""
    config = CONFIG_MAPPING[family](**(SMALL | changes))
    if getattr(config, "sliding_window", None):
        config.sliding_window = 33
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.inference_mode():
        cache = model(torch.arange(40)[None], use_cache=True).past_key_values
    kept = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    shape = shape_of(json.loads(config.to_json_string()))
    # a sliding layer of transformers keeps one token less: the newest is not cached before it runs
    slides = sum(block.cached for block in shape.blocks if block.window)
    assert shape.cached(40) == kept + slides
