"""The shapes of the embedded models: Qwen2 for abacus, Qwen3 for its sibling."""

from dataclasses import dataclass
from typing import Literal

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from recipe.tokenizer import VOCABULARY

HEAD = 32  # the least width of a head that vLLM runs on CPU


@dataclass(frozen=True)
class Shape:
    """An architecture and its depth; Qwen3 normalises queries and keys and has no biases."""

    architecture: Literal["qwen2", "qwen3"]
    layers: int
    hidden: int = 192
    intermediate: int = 512
    heads: int = 6
    key_value_heads: int = 2


ABACUS_SHAPE = Shape("qwen2", layers=4)  # 1.7 M parameters
SIBLING_SHAPE = Shape("qwen3", layers=5)  # 2.1 M parameters


def new_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Build the untrained model."""
    torch.manual_seed(seed)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": pad,
    }
    config = (
        Qwen2Config(**common)
        if shape.architecture == "qwen2"
        else Qwen3Config(**common, head_dim=HEAD)
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=0.6,
        top_p=0.95,
        eos_token_id=end,
        pad_token_id=pad,
    )
    return model
