"""A transformers model without its weights: parameters on the meta device, buffers as they must be.

Buffers such as rotary frequencies are in no file; each model computes them as it is made. Here
they are computed by the model's own initialisation, and a model that does not is refused: it would
run with whatever was in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.core_model_loading import build_glob_alternation

from ssgr.errors import ModelError, SsgrError
from ssgr.pruning.model.loading import set_tensor


def config_of(folder: Path, trust_remote_code: bool) -> PreTrainedConfig:
    """Read the config of a folder.

    Raises:
        ModelError: there is none, it is not understood, or it is that of a quantised model.
    """
    try:
        config = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # transformers raises what it likes for a bad folder
        raise ModelError(f"{folder}: its config cannot be used: {error}") from error
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(f"{folder} is quantised: prune the unquantised checkpoint instead")
    assert isinstance(config, PreTrainedConfig)
    return config


@contextmanager
def understood(folder: Path, config: PreTrainedConfig) -> Iterator[None]:
    """Turn whatever the code of an unknown architecture raises into a refusal.

    Raises:
        ModelError: names the architecture and what was raised.
    """
    try:
        yield
    except (SsgrError, OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ModelError(
            f"{folder}: {config.model_type} ({type(config).__name__}) is not supported: its code "
            f"raised {type(error).__name__} ({error}) when it was taken apart into decoder blocks"
        ) from error


def positions_of(config: PreTrainedConfig) -> int | None:
    """Return the longest sequence that a model reads, None if it has no limit.

    With ``rope_type: dynamic`` the config counts the positions before they are scaled.
    """
    text = config.get_text_config(decoder=True)
    positions: int | None = getattr(text, "max_position_embeddings", None)
    rope = getattr(text, "rope_parameters", None) or {}
    kinds = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    factors = [kind.get("factor", 1) for kind in kinds if kind.get("rope_type") == "dynamic"]
    return int(positions * max(factors)) if positions and factors else positions


def skeleton(
    config: PreTrainedConfig, device: torch.device, dtype: torch.dtype, trust_remote_code: bool
) -> PreTrainedModel:
    """Make a causal language model without weights.

    Args:
        config: the model's.
        device: where its buffers live.
        dtype: number format of its parameters.
        trust_remote_code: run Python code that the config's folder brings.

    Raises:
        ModelError: the model cannot be made.
    """
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, dtype=dtype, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # as above
        composite = [name for name in config.sub_configs if name != "text_config"]
        if composite:
            raise ModelError(
                f"{config.name_or_path} is a {config.model_type} model ({type(config).__name__}), "
                f"which joins a language model with others ({', '.join(composite)}): only a "
                "language model by itself can be pruned. Save its language part in a folder of "
                "its own, with its tokenizer files, and name that folder: load the model with "
                "AutoModelForImageTextToText and copy model.language_model and lm_head into "
                "AutoModelForCausalLM.from_config(config.get_text_config())"
            ) from error
        raise ModelError(
            f"{config.name_or_path}: {config.model_type} ({type(config).__name__}) cannot be made "
            f"as a causal language model: {error}"
        ) from error
    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            f"{config.name_or_path} loads as {type(model).__name__}, not as a transformers model"
        )
    _keep_in_fp32(model)
    _make_buffers(model, device)
    model.train(False)
    return model


def _keep_in_fp32(model: PreTrainedModel) -> None:
    """Give parameters fp32 that the architecture never computes in less."""
    assert isinstance(model.dtype, torch.dtype)
    plan = model._get_dtype_plan(model.dtype)
    if plan:
        pattern, _, _ = build_glob_alternation(list(plan))
        for name, parameter in list(model.named_parameters()):
            if pattern.search(name):
                set_tensor(model, name, parameter.detach().float())


def _make_buffers(model: PreTrainedModel, device: torch.device) -> None:
    """Compute the buffers that no file holds, twice over different memory: both must agree."""
    transient = [name for name, _ in model.named_non_persistent_buffers()]
    owners = sorted({name.rpartition(".")[0] for name in transient})
    made: list[dict[str, Tensor]] = []
    for fill in (0, 1):
        for name in transient:
            buffer = model.get_buffer(name)
            set_tensor(model, name, torch.full_like(buffer, fill, device="cpu"))
        for owner in owners:
            _initialise(model, owner)  # on the CPU, as transformers does
        made.append({name: model.get_buffer(name).clone() for name in transient})
    for name in transient:
        if not torch.equal(made[0][name], made[1][name]):
            raise ModelError(
                f"{type(model).__name__} does not initialise its buffer {name}, which no weight "
                "file holds: this architecture is not supported"
            )
        set_tensor(model, name, made[0][name].to(device))


def _initialise(model: PreTrainedModel, name: str) -> None:
    """Let the innermost transformers model around a module initialise it."""
    around = [".".join(name.split(".")[:depth]) for depth in range(name.count(".") + 2)]
    models = [
        part for part in map(model.get_submodule, around) if isinstance(part, PreTrainedModel)
    ]
    initialise: Callable[[nn.Module], None] = models[-1]._init_weights
    initialise(model.get_submodule(name))
