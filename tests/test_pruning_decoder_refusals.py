"""Models and folders that the streaming decoder must refuse, each with a message that helps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    Gemma3nForCausalLM,
    Gemma3nTextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteMoeConfig,
    GraniteMoeForCausalLM,
    LlamaForCausalLM,
    LlamaModel,
    MambaConfig,
    MambaForCausalLM,
    Mistral3Config,
    PreTrainedModel,
    Qwen2Model,
)
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaRotaryEmbedding,
)

from ssgr.errors import ModelError
from ssgr.pruning.model.decoder import Decoder
from tiny_decoders import SHAPE, save, tiny

SHARDS = {"max_shard_size": "20KB"}


def opened(folder: Path) -> Decoder:
    return Decoder.open(folder, device=torch.device("cpu"))


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2))


def mamba() -> PreTrainedModel:
    return MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=2))


def gpt_oss() -> PreTrainedModel:
    return GptOssForCausalLM(GptOssConfig(**SHAPE, num_local_experts=4))


def granite_moe() -> PreTrainedModel:
    return GraniteMoeForCausalLM(GraniteMoeConfig(**SHAPE, num_local_experts=4))


def gemma3n() -> PreTrainedModel:
    shape = SHAPE | {"num_hidden_layers": 5, "intermediate_size": [80] * 5}
    return Gemma3nForCausalLM(
        Gemma3nTextConfig(
            **shape,
            num_kv_shared_layers=0,
            vocab_size_per_layer_input=90,
            layer_types=["sliding_attention"] * 4 + ["full_attention"],
            activation_sparsity_pattern=[0.0] * 5,
        )
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (gpt2, "GPT2LMHeadModel: expected one list of 2 decoder blocks"),
        (mamba, r"backbone\.layers\.0\.mixer\..* is not the weight of an nn\.Linear"),
        (granite_moe, "stacks the matrices of all experts"),
        (gemma3n, r"embed_tokens_per_layer embeds tokens once more \(90 rows\)"),
    ],
)
def test_what_is_not_understood_is_refused(
    tmp_path: Path, make: Callable[[], PreTrainedModel], message: str
) -> None:
    model = make()
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=message):
        opened(tmp_path)


def test_experts_of_another_form_are_refused() -> None:
    message = r"model\.layers\.0\.mlp\.experts \(GptOssExperts\) keeps its experts as .*has_bias"
    with pytest.raises(ModelError, match=message):
        Decoder.of(gpt_oss())


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
def test_quantised_weights_are_refused(tmp_path: Path, architecture: str) -> None:
    folder = save(tiny(architecture), tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("down_proj.weight"))
    tensors[name] = tensors[name].to(torch.int8)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=rf"{name} is stored as I8 in .*quantised"):
        opened(folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is quantised: prune the unquantised checkpoint"):
        opened(folder)


def lose_shard(folder: Path) -> None:
    sorted(folder.glob("*.safetensors"))[2].unlink()


def cut_shard(folder: Path) -> None:
    shard = sorted(folder.glob("*.safetensors"))[2]
    shard.write_bytes(shard.read_bytes()[:-100])


def edit_index(folder: Path, edit: Callable[[dict[str, str]], None]) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    edit(index["weight_map"])
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def lose_tensor(folder: Path) -> None:
    edit_index(folder, lambda places: places.__delitem__("model.layers.2.mlp.up_proj.weight"))


def save_twice(folder: Path) -> None:
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")


def lose_head(folder: Path) -> None:
    edit_index(folder, lambda places: places.__delitem__("lm_head.weight"))


def misplace_tensor(folder: Path) -> None:
    def edit(places: dict[str, str]) -> None:
        places["lm_head.weight"] = places["model.layers.0.mlp.up_proj.weight"]

    edit_index(folder, edit)


def spoil_index(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map"')


def only_pickles(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")


def no_weights(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()


def other_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))


def no_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lose_shard, r"lacks 1 of the files that model\.safetensors\.index\.json lists"),
        (cut_shard, "is not a whole safetensors file"),
        (lose_tensor, r"no tensor for 1 parameters, such as model\.layers\.2\.mlp\.up_proj"),
        (lose_head, r"no tensor for 1 parameters, such as lm_head\.weight"),
        (misplace_tensor, r"does not hold lm_head\.weight, though .* says so"),
        (save_twice, r"holds both model\.safetensors and model\.safetensors\.index\.json"),
        (spoil_index, "is not an index of safetensors shards"),
        (only_pickles, r"as pickles \(pytorch_model\.bin\).*save_pretrained"),
        (no_weights, r"has no weights: expected model\.safetensors"),
        (other_config, r"has shape \(80, 32\), but the config makes it \(96, 32\)"),
        (no_config, "config cannot be used"),
    ],
)
def test_a_damaged_folder_is_refused_at_once(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    folder = save(tiny("llama"), tmp_path, **SHARDS)
    harm(folder)
    with pytest.raises(ModelError, match=message):
        opened(folder)


def test_a_damaged_block_file_is_refused(tmp_path: Path) -> None:
    decoder = opened(save(tiny("llama"), tmp_path))
    with decoder.block(0):
        tensors = decoder.stored(0)
        tensors.pop("model.layers.0.mlp.gate_proj.weight")
        save_file(tensors, tmp_path / "block")
    with (
        pytest.raises(ModelError, match=r"block holds no tensor .*mlp\.gate_proj\.weight"),
        decoder.block(0, weights=tmp_path / "block"),
    ):
        pass
    assert all(p.is_meta for p in decoder.blocks.parameters())


def test_arguments_made_from_hidden_states_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that also gets the embedding would be run with another sequence's."""
    folder = save(tiny("llama"), tmp_path)
    genuine = LlamaRotaryEmbedding.forward

    def spoiled(self: Any, x: Tensor, position_ids: Tensor) -> Any:
        cosine, sine = genuine(self, x, position_ids)
        return cosine + x.mean(), sine

    monkeypatch.setattr(LlamaRotaryEmbedding, "forward", spoiled)
    with pytest.raises(
        ModelError, match="hands block 0 something besides the hidden states that depends"
    ):
        opened(folder)


@pytest.mark.parametrize("reading", ["nobody", "strictly", "softly"])
def test_blocks_that_read_what_others_leave_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    """It would be the last sequence's when the next block runs the first one."""
    folder = save(tiny("llama"), tmp_path)
    attention, outer = LlamaAttention.forward, LlamaModel.forward

    def handing(self: Any, *args: Any, **kwargs: Any) -> Any:
        return outer(self, *args, **kwargs, shared={})

    def leaving(self: Any, *args: Any, **kwargs: Any) -> Any:
        shared = kwargs.pop("shared")
        output, *more = attention(self, *args, **kwargs)
        if self.layer_idx == 1:
            shared["keys"] = output
        elif self.layer_idx == 2 and reading != "nobody":
            output = output + (shared["keys"] if reading == "strictly" else shared.get("keys", 0))
        return output, *more

    monkeypatch.setattr(LlamaModel, "forward", handing)
    monkeypatch.setattr(LlamaAttention, "forward", leaving)
    if reading == "nobody":
        assert opened(folder).depth == 3
        return
    message = {"strictly": "its code raised KeyError", "softly": "gives other logits than its own"}
    with pytest.raises(ModelError, match=message[reading]):
        opened(folder)


def test_blocks_that_run_twice_or_out_of_order_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tiny("qwen2"), tmp_path)
    genuine = Qwen2Model.forward
    for order, message in (
        ([0, 1, 1, 2], "runs block 1 where block 2 was expected"),
        ([1, 0, 2], "runs block 1 where block 0 was expected"),
        ([0, 1], "runs 2 of its 3 blocks"),
    ):

        def forward(self: Any, *args: Any, order: list[int] = order, **kwargs: Any) -> Any:
            blocks = self.layers
            self.layers = torch.nn.ModuleList(blocks[index] for index in order)
            self.config.num_hidden_layers = len(order)
            try:
                return genuine(self, *args, **kwargs)
            finally:
                self.layers = blocks
                self.config.num_hidden_layers = len(blocks)

        monkeypatch.setattr(Qwen2Model, "forward", forward)
        with pytest.raises(ModelError, match=message):
            opened(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hidden: 1.5 * hidden, "changes the hidden states between block 0 and block 1"),
        (lambda hidden: hidden.mul_(1.5), "changes the hidden states between block 0 and block 1"),
    ],
)
def test_a_model_that_changes_what_goes_from_block_to_block_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Tensor], Tensor],
    message: str,
) -> None:
    folder = save(tiny("llama"), tmp_path)

    class Between(torch.nn.Module):
        """Stands around each block; what it does is the model's own doing, not the block's."""

        def __init__(self, block: torch.nn.Module) -> None:
            super().__init__()
            self.block = [block]

        def __getattr__(self, name: str) -> Any:
            return super().__getattr__(name) if name in vars(self) else getattr(self.block[0], name)

        def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            return change(self.block[0](hidden, *args, **kwargs))

    genuine = LlamaModel.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        blocks = self.layers
        self.layers = torch.nn.ModuleList(map(Between, blocks))
        try:
            return genuine(self, *args, **kwargs)
        finally:
            self.layers = blocks

    monkeypatch.setattr(LlamaModel, "forward", forward)
    with pytest.raises(ModelError, match=message):
        opened(folder)


def test_a_block_that_writes_into_its_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tiny("llama"), tmp_path)
    genuine = LlamaDecoderLayer.forward

    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return hidden_states.copy_(genuine(self, hidden_states, *args, **kwargs))

    monkeypatch.setattr(LlamaDecoderLayer, "forward", forward)
    with pytest.raises(ModelError, match="block 0 writes into the hidden states that it is given"):
        opened(folder)


def test_whatever_an_unknown_architecture_raises_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tiny("llama"), tmp_path)

    def forward(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("in its own way")

    monkeypatch.setattr(LlamaModel, "forward", forward)
    message = r"llama \(LlamaConfig\) is not supported: .* ZeroDivisionError \(in its own way\)"
    with pytest.raises(ModelError, match=message):
        opened(folder)


def test_keys_and_values_shared_by_blocks_are_refused_at_once() -> None:
    sharing: dict[str, Any] = {
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 1,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    }
    config = Gemma4TextConfig(**SHAPE, **sharing)
    with pytest.raises(ModelError, match="last 1 blocks use keys and values of earlier ones"):
        Decoder.of(Gemma4ForCausalLM(config))


def test_buffers_that_nothing_computes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would hold whatever was in memory."""
    folder = save(tiny("llama"), tmp_path)
    monkeypatch.setattr(LlamaForCausalLM, "_init_weights", lambda self, module: None)
    monkeypatch.setattr("transformers.LlamaModel._init_weights", lambda self, module: None)
    with pytest.raises(ModelError, match=r"does not initialise its buffer model\.rotary_emb"):
        opened(folder)


def test_a_model_that_sees_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = save(tiny("mistral"), tmp_path)
    Mistral3Config(text_config={"model_type": "mistral"}).save_pretrained(folder)
    message = r"mistral3 model \(Mistral3Config\), .*vision_config.*Save its language part"
    with pytest.raises(ModelError, match=message):
        opened(folder)
