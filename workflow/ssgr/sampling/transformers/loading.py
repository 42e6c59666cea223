"""Loading a causal LM for decoding, and refusing what the slot cache would decode wrongly."""

from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from ssgr.errors import ConfigError, ModelError
from ssgr.sampling.protocol import EngineSettings


def load_model(model_folder: str, settings: EngineSettings) -> PreTrainedModel:
    """Load a causal LM onto its device.

    Raises:
        ConfigError: unknown dtype or device.
        ModelError: the folder holds no usable causal LM.
    """
    if settings.dtype not in ("auto", "float32", "bfloat16", "float16"):
        raise ConfigError(f"dtype {settings.dtype!r}: use auto, float32, bfloat16 or float16.")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model_folder,
            revision=settings.revision or "main",
            dtype=settings.dtype,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{model_folder} cannot be loaded as a causal LM: {error}") from error
    model: PreTrainedModel
    model, report = loaded
    if report["missing_keys"]:  # transformers would go on with random numbers in their place
        raise ModelError(
            f"{model_folder} lacks the weights {sorted(report['missing_keys'])[:5]}: the folder is "
            "incomplete, or of another architecture than its config.json says."
        )
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        nn.Module.to(model, device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"The model cannot be put on device {device!r}: {error}") from error
    return model


def end_token_ids(model: PreTrainedModel) -> frozenset[int]:
    """Return the tokens that end a response: of the generation config, else of the config.

    Raises:
        ModelError: neither names one, so that no response could ever stop.
    """
    for config in (model.generation_config, model.config):
        ids = getattr(config, "eos_token_id", None)
        if ids is not None:
            return frozenset([ids] if isinstance(ids, int) else ids)
    raise ModelError(
        f"The model {model.name_or_path!r} names no end token: set eos_token_id in its "
        "generation_config.json."
    )


def check_rope(model: PreTrainedModel) -> None:
    """Refuse position embeddings that look at the longest row of the batch."""
    rope = getattr(model.config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default") if isinstance(rope, dict) else "default"
    if kind in ("dynamic", "longrope"):
        raise ModelError(
            f"Rope type {kind!r} depends on the longest sequence of a batch, so that responses "
            "would depend on it too. Use the vllm engine, or another rope type."
        )
