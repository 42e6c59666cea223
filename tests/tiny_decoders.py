"""Tiny random decoders of several architectures, for the tests of pruning."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

VOCABULARY = 96
POSITIONS = 64
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# sliding windows shorter than the sequences; Gemma also mixes two rotary bases
WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]
# two of five experts for every token; Qwen's first block is dense
EXPERTS: dict[str, Any] = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "mlp_only_layers": [0],
}
MAKERS: dict[str, Callable[..., Any]] = {
    "qwen2": lambda **more: Qwen2ForCausalLM(Qwen2Config(**(SHAPE | more))),
    "llama": lambda **more: LlamaForCausalLM(LlamaConfig(**(SHAPE | more))),
    "qwen3": lambda **more: Qwen3ForCausalLM(Qwen3Config(**(SHAPE | more))),
    "mistral": lambda **more: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8, **more)),
    "gemma3": lambda **more: Gemma3ForCausalLM(
        Gemma3TextConfig(**SHAPE, sliding_window=8, layer_types=WINDOWS, **more)
    ),
    "gemma2": lambda **more: Gemma2ForCausalLM(Gemma2Config(**SHAPE, sliding_window=8, **more)),
}
MIXTURES: dict[str, Callable[..., Any]] = {
    "qwen3_moe": lambda **more: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**SHAPE, **EXPERTS, norm_topk_prob=True, **more)
    ),
    "qwen2_moe": lambda **more: Qwen2MoeForCausalLM(
        Qwen2MoeConfig(**SHAPE, **EXPERTS, shared_expert_intermediate_size=40, **more)
    ),
    "mixtral": lambda **more: MixtralForCausalLM(
        MixtralConfig(**SHAPE, num_local_experts=5, sliding_window=8, **more)
    ),
}


def tiny(architecture: str, **more: Any) -> Any:
    """Return a random model, always the same for the same arguments."""
    torch.manual_seed(0)
    model = (MAKERS | MIXTURES)[architecture](**more).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # large enough that blocks matter beside their residual
                parameter.normal_(0, 0.2)
    return model


def token_sequences(
    lengths: tuple[int, ...] = (5, 40, 1, 23, 64, 31), seed: int = 0
) -> list[list[int]]:
    """Return random token sequences of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(3, VOCABULARY, (length,), generator=generator).tolist() for length in lengths
    ]


def save(model: PreTrainedModel, folder: Path, **how: Any) -> Path:
    """Save a model with stand-ins for the files that a real folder holds beside the weights."""
    model.save_pretrained(folder, **how)
    (folder / "tokenizer.json").write_text('{"stand-in": "é"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}\n")
    # a combination that transformers reads but refuses to write
    (folder / "generation_config.json").write_text(
        json.dumps({"temperature": 0.6, "eos_token_id": 2})
    )
    (folder / "README.md").write_text("# the dense model's card\n")
    return folder
