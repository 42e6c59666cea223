"""Models that stream their blocks from files, against the same models in memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaForCausalLM,
    PreTrainedModel,
)

from ssgr.errors import ModelError
from ssgr.pruning.model import calls
from ssgr.pruning.model.decoder import Decoder, MatrixShape
from ssgr.pruning.model.weights import WeightFiles
from tiny_decoders import MAKERS, MIXTURES, POSITIONS, SHAPE, WINDOWS, save, tiny, token_sequences

ALL = sorted(MAKERS | MIXTURES)
CPU = torch.device("cpu")
SHARDS = {"max_shard_size": "20KB"}


def opened(folder: Path, **how: Any) -> Decoder:
    return Decoder.open(folder, device=CPU, **how)


def streamed_logits(decoder: Decoder, sequences: list[list[int]]) -> list[Tensor]:
    """One block at a time, all sequences through each, as the walk does it."""
    hidden = [decoder.embed(ids) for ids in sequences]
    for index in range(decoder.depth):
        with decoder.block(index):
            hidden = [decoder.run(index, states) for states in hidden]
    return [decoder.logits(states) for states in hidden]


@torch.no_grad()
def plain_logits(model: PreTrainedModel, sequences: list[list[int]]) -> list[Tensor]:
    return [model(input_ids=torch.tensor([ids]), use_cache=False).logits for ids in sequences]


def agree(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shards", [{}, SHARDS], ids=["single", "sharded"])
def test_blocks_run_as_the_model_runs_them(
    tmp_path: Path, architecture: str, tied: bool, shards: dict[str, str]
) -> None:
    model = tiny(architecture, tie_word_embeddings=tied)
    decoder = opened(save(model, tmp_path, **shards))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 or shards
    sequences = token_sequences()
    streamed, plain = streamed_logits(decoder, sequences), plain_logits(model, sequences)
    if architecture in MIXTURES:  # the sum over experts is taken in another order
        assert agree(streamed, plain)
    else:
        assert all(map(torch.equal, streamed, plain))


def test_mixed_attention_matters_in_these_models() -> None:
    """Else the test above would pass with the arguments of another block."""
    model = tiny("gemma3")
    ids = token_sequences((40,))
    before = plain_logits(model, ids)[0]
    model.config.layer_types = [WINDOWS[1], WINDOWS[0], WINDOWS[2]]
    assert not torch.allclose(before, plain_logits(model, ids)[0], atol=1e-2)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mixtral"])
def test_only_the_open_block_is_in_memory(tmp_path: Path, architecture: str) -> None:
    decoder = opened(save(tiny(architecture), tmp_path))

    def here() -> list[bool]:
        return [not any(p.is_meta for p in block.parameters()) for block in decoder.blocks]

    assert here() == [False, False, False]
    with decoder.block(1) as linears:
        assert here() == [False, True, False]
        assert linears and not any(linear.weight.is_meta for linear in linears.values())
    assert all(p.is_meta for block in decoder.blocks for p in block.parameters())
    with pytest.raises(KeyError), decoder.block(2):
        raise KeyError
    assert here() == [False, False, False]


@pytest.mark.parametrize("architecture", ALL)
def test_a_pruned_block_is_read_back_as_it_was(tmp_path: Path, architecture: str) -> None:
    """What is written under the checkpoint's names is what the next run computes with."""
    folder = save(tiny(architecture), tmp_path)
    decoder = opened(folder)
    sequences = token_sequences((31, 7))
    hidden = [decoder.embed(ids) for ids in sequences]
    with decoder.block(1) as linears:
        dense = [decoder.run(1, states) for states in hidden]
        for linear in linears.values():
            linear.weight.data[:, ::2] = 0
        outputs = [decoder.run(1, states) for states in hidden]
        tensors = decoder.stored(1)
        save_file(tensors, tmp_path / "block.partial")
    assert not torch.allclose(dense[0], outputs[0], atol=1e-2)
    with decoder.block(1, weights=tmp_path / "block.partial"):
        assert all(
            torch.equal(decoder.run(1, states), output)
            for states, output in zip(hidden, outputs, strict=True)
        )
    dense_file = load_file(folder / "model.safetensors")
    assert {name for name in dense_file if ".layers.1." in name} == set(tensors)
    assert all(tensors[name].shape == dense_file[name].shape for name in tensors)
    with decoder.block(1):
        assert all(torch.equal(decoder.stored(1)[name], dense_file[name]) for name in tensors)


def test_a_checkpoint_of_pruned_blocks_is_the_model_that_was_run(tmp_path: Path) -> None:
    """From shards and other tensors to a folder that transformers loads, experts included."""
    decoder = opened(save(tiny("mixtral"), tmp_path / "dense"))
    out = save(tiny("mixtral"), tmp_path / "out")
    tensors = {}
    for name, file in decoder.other_tensors().items():
        tensors[name] = load_file(file)[name]
    hidden = decoder.embed(token_sequences()[1])
    for index in range(decoder.depth):
        with decoder.block(index) as linears:
            for linear in linears.values():
                linear.weight.data[linear.weight.abs() < 0.1] = 0
            tensors |= {name: tensor.clone() for name, tensor in decoder.stored(index).items()}
            hidden = decoder.run(index, hidden)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    reloaded = AutoModelForCausalLM.from_pretrained(out)
    assert agree([decoder.logits(hidden)], plain_logits(reloaded, token_sequences()[1:2]))


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compute", [None, torch.float32, torch.bfloat16])
def test_what_is_stored_keeps_its_dtype(
    tmp_path: Path, stored: torch.dtype, compute: torch.dtype | None
) -> None:
    decoder = opened(save(tiny("qwen2").to(stored), tmp_path), dtype=compute)
    assert decoder.dtype == (compute or stored)
    dense = load_file(tmp_path / "model.safetensors")
    hidden = decoder.embed([5, 6, 7, 8])
    with decoder.block(0) as linears:
        linears["mlp.up_proj"].weight.data.mul_(1.0123)  # no longer what the format can hold
        decoder.round_to_stored(0)
        output, tensors = decoder.run(0, hidden), decoder.stored(0)
        save_file(tensors, tmp_path / "block.partial")
    assert output.dtype == decoder.dtype
    assert {tensor.dtype for tensor in tensors.values()} == {stored}
    changed = {name for name in tensors if not torch.equal(tensors[name], dense[name])}
    assert changed == {"model.layers.0.mlp.up_proj.weight"}
    with decoder.block(0, weights=tmp_path / "block.partial"):
        assert torch.equal(decoder.run(0, hidden), output)


def test_the_dtype_of_the_weights_decides_and_not_the_config(tmp_path: Path) -> None:
    save(tiny("llama").to(torch.bfloat16), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    assert opened(tmp_path).dtype == torch.bfloat16


def test_rotary_frequencies_keep_fp32(tmp_path: Path) -> None:
    """Cast to bf16 they would turn late positions by the wrong angle, without any error."""
    decoder = opened(save(tiny("llama"), tmp_path), dtype=torch.bfloat16)
    frequencies = tiny("llama").model.rotary_emb.inv_freq
    buffers = dict(decoder._model.named_buffers())
    found = [buffers[name] for name in buffers if name.endswith("rotary_emb.inv_freq")]
    assert len(found) == 1 and torch.equal(found[0], frequencies)


ROTARY = {
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "llama3": {
        "rope_type": "llama3",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
    "linear": {"rope_type": "linear", "factor": 2.0},
}


@pytest.mark.parametrize("kind", sorted(ROTARY))
def test_rotary_scaling_is_the_models_own(tmp_path: Path, kind: str) -> None:
    model = tiny("llama", rope_parameters={"rope_theta": 1e4, **ROTARY[kind]})
    sequences = token_sequences()
    streamed = streamed_logits(opened(save(model, tmp_path)), sequences)
    assert all(map(torch.equal, streamed, plain_logits(model, sequences)))
    assert not agree(streamed, plain_logits(tiny("llama"), sequences))


def test_lengths_in_any_order_and_few_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask of one length must not serve another; kept ones are bounded in memory."""
    model = tiny("gemma3")
    save(model, tmp_path)
    sequences = token_sequences((40, 9, 40, 64, 9, 9, 40))
    plain = plain_logits(model, sequences)
    for kept, lengths in ((calls.KEPT_BYTES, 4), (0, 1)):  # opening looks at one more
        monkeypatch.setattr(calls, "KEPT_BYTES", kept)
        decoder = opened(tmp_path)
        assert all(map(torch.equal, streamed_logits(decoder, sequences), plain))
        assert len(decoder._calls._known) == lengths


def test_sequences_of_one_length_run_together(tmp_path: Path) -> None:
    decoder = opened(save(tiny("gemma3"), tmp_path))
    hidden = torch.cat([decoder.embed(ids) for ids in token_sequences((33, 33, 33))])
    with decoder.block(0):
        together = decoder.run(0, hidden)
        apart = torch.cat([decoder.run(0, states[None]) for states in hidden])
    assert torch.allclose(together, apart, atol=1e-5)


def test_a_dynamic_rope_reads_beyond_its_unscaled_positions(tmp_path: Path) -> None:
    """Each sequence as a model reads it that has seen no longer one before."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = tiny("llama", rope_parameters=rope)
    save(model, tmp_path)
    decoder = opened(tmp_path)
    assert decoder.positions == 2 * POSITIONS
    sequences = token_sequences((90, 40, 120, 70, 64, 90))
    plain = []
    for ids in sequences:  # a fresh model for each
        fresh = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        plain += plain_logits(fresh, [ids])
    streamed = streamed_logits(decoder, sequences)
    for one, other in zip(streamed, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_shapes_are_known_before_anything_is_read(tmp_path: Path) -> None:
    model = tiny("llama")
    decoder = opened(save(model, tmp_path))
    (tmp_path / "model.safetensors").unlink()
    shapes = decoder.shapes()
    assert len(shapes) == 3 * 7
    assert MatrixShape(2, "mlp.down_proj", 32, 80) in shapes
    assert MatrixShape(0, "self_attn.k_proj", 16, 32) in shapes
    assert (decoder.depth, decoder.prefix, decoder.folder) == (3, "model.layers", tmp_path)
    assert (decoder.vocabulary, decoder.positions) == (96, 64)


@pytest.mark.parametrize(
    ("architecture", "of_a_mixture"), [("qwen3_moe", 15), ("qwen2_moe", 18), ("mixtral", 15)]
)
def test_every_expert_is_a_matrix_and_no_router_is(
    tmp_path: Path, architecture: str, of_a_mixture: int
) -> None:
    decoder = opened(save(tiny(architecture), tmp_path))
    names = [shape.name for shape in decoder.shapes() if shape.block == 2]
    assert len([name for name in names if name.startswith("mlp.")]) == of_a_mixture
    assert {f"mlp.experts.{n}.up_proj" for n in range(5)} <= set(names)
    assert not any(name.endswith(("gate", "router")) for name in names)


def test_experts_say_which_tokens_they_are_run_on(tmp_path: Path) -> None:
    """Each token is with two of five experts, whose inputs are that token's."""
    decoder = opened(save(tiny("qwen3_moe"), tmp_path))
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    whole: list[Tensor] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def remember(_: nn.Module, args: tuple[Any, ...]) -> None:
            tokens = decoder.tokens_of(1, name)
            assert tokens is not None
            seen[name] = (tokens, args[0])

        return remember

    with decoder.block(1) as linears:
        mixture = decoder.blocks[1].get_submodule("mlp")
        mixture.register_forward_pre_hook(lambda _, args: whole.append(args[0][0]))
        for name, linear in linears.items():
            if "experts" in name:
                linear.register_forward_pre_hook(hook(name))
        decoder.run(1, decoder.embed(token_sequences()[3]))
        assert decoder.tokens_of(1, "mlp.experts.0.up_proj") is None
    ups = {name: what for name, what in seen.items() if name.endswith("up_proj")}
    assert len(ups) > 1
    for name, (tokens, inputs) in ups.items():
        assert torch.equal(inputs, whole[0][tokens])
        assert seen[name.replace("up", "gate")][1] is inputs  # so they share statistics
        assert torch.equal(seen[name.replace("up", "down")][0], tokens)
    routed = torch.cat([tokens for tokens, _ in ups.values()])
    assert torch.equal(routed.bincount(), torch.full((23,), 2))
    assert decoder.tokens_of(1, "self_attn.q_proj") is None


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
def test_a_model_in_memory_has_the_same_interface(architecture: str) -> None:
    model = tiny(architecture)
    sequences = token_sequences()
    plain = plain_logits(model, sequences)
    decoder = Decoder.of(model)
    assert agree(streamed_logits(decoder, sequences), plain)
    with decoder.block(1) as linears:
        name = next(name for name in reversed(linears) if "down_proj" in name)
        linears[name].weight.data.zero_()
        assert bool((decoder.stored(1)[f"model.layers.1.{name}.weight"] == 0).all())
        decoder.round_to_stored(1)
    assert agree(streamed_logits(decoder, sequences), plain_logits(model, sequences))
    assert not agree(streamed_logits(decoder, sequences), plain)
    assert decoder.other_tensors() == {}
    with pytest.raises(ModelError), decoder.block(0, weights=Path("missing.safetensors")):
        pass


def test_every_stored_tensor_is_a_blocks_or_another(tmp_path: Path) -> None:
    folder = save(tiny("qwen2"), tmp_path, **SHARDS)
    extra = {"model.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(4)}  # in old checkpoints
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    save_file(extra, folder / "extra.safetensors")
    index["weight_map"] |= dict.fromkeys(extra, "extra.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    decoder = opened(folder)
    others, places = decoder.other_tensors(), index["weight_map"]
    assert {name: file.name for name, file in others.items()} == {n: places[n] for n in others}
    inside: list[str] = []
    for block in range(decoder.depth):
        with decoder.block(block):
            inside += decoder.stored(block)
    assert sorted([*inside, *others]) == sorted(places)
    assert set(extra) < set(others)
    assert decoder.left_dense() == []


def test_layers_that_no_part_of_the_model_reads_are_told(tmp_path: Path) -> None:
    """A block that predicts a further token: its matrices stay as they are."""
    folder = save(tiny("llama"), tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors |= {
        "model.layers.3.eh_proj.weight": torch.ones(32, 64),
        "model.layers.3.mlp.up_proj.weight": torch.ones(80, 32),
        "model.layers.3.enorm.weight": torch.ones(32),
        "mtp.fc.weight": torch.ones(32, 32),
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said = opened(folder).left_dense()
    assert [one.partition(",")[0] for one in said] == [
        "model.layers.3 (2 matrices)",
        "mtp (1 matrices)",
    ]


class Wrapped(nn.Module):
    """A router that keeps its matrix one level deeper, under a name that says nothing."""

    def __init__(self, router: nn.Module) -> None:
        super().__init__()
        self.genuine = [router]
        self.inner = nn.Linear(*reversed(router.weight.shape), bias=False)

    def forward(self, *args: Any) -> Any:
        return self.genuine[0](*args)


@pytest.mark.parametrize("name", ["gate", "router", "expert_gate", "chooser"])
def test_routers_stay_dense_however_deep_their_matrix_lies(name: str) -> None:
    model = tiny("mixtral")
    for block in model.model.layers:
        kind = type("MixRouter", (Wrapped,), {}) if name == "chooser" else Wrapped
        block.mlp.add_module(name, kind(block.mlp.gate))
    decoder = Decoder.of(model)
    assert not any("inner" in matrix for matrix in decoder.linears(1))
    assert any("experts.3.up_proj" in matrix for matrix in decoder.linears(1))
    assert f"mlp.{name}" in decoder.left_dense()[0]


def renamed(folder: Path, new: Callable[[str], str]) -> Path:
    """Store the tensors of a folder under other names."""
    tensors = load_file(folder / "model.safetensors")
    save_file({new(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "new",
    [
        lambda name: name.removeprefix("model."),
        lambda name: name.replace("model.embed_tokens", "lm_head"),
    ],
    ids=["base model", "head only"],
)
def test_names_that_transformers_understands(tmp_path: Path, new: Callable[[str], str]) -> None:
    model = tiny("qwen3", tie_word_embeddings=True)
    folder = renamed(save(model, tmp_path), new)
    decoder, sequences = opened(folder), token_sequences()
    assert all(
        map(torch.equal, streamed_logits(decoder, sequences), plain_logits(model, sequences))
    )
    with decoder.block(0), safe_open(folder / "model.safetensors", "pt") as file:
        assert set(decoder.stored(0)) < set(file.keys())


OTHERS: dict[str, dict[str, Any]] = {
    "bloom": {"n_layer": 3},  # blocks return tuples, positions are a bias of the attention
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},  # learned positions before the blocks
    "gpt_neox": {},  # other names throughout
    "phi3": {},  # fused projections, stored fused
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 3.0},
    "phimoe": {"num_local_experts": 4},  # router and experts renamed
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 24},
    "deepseek_v3": {  # latent attention, groups of experts, a shared expert, a dense first block
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "num_key_value_heads": 4,
    },
}


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_other_architectures(tmp_path: Path, kind: str) -> None:
    config = AutoConfig.for_model(kind, **{**SHAPE, **OTHERS[kind]})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    model.train(False)
    sequences = token_sequences()
    plain = plain_logits(model, sequences)
    decoder = opened(save(model, tmp_path))
    assert agree(streamed_logits(decoder, sequences), plain)
    with decoder.block(2), safe_open(tmp_path / "model.safetensors", "pt") as file:
        tensors = decoder.stored(2)
        assert all(torch.equal(tensor, file.get_tensor(name)) for name, tensor in tensors.items())


def test_the_text_part_of_a_model_that_sees(tmp_path: Path) -> None:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    text = {**SHAPE, "sliding_window": 8, "layer_types": WINDOWS}
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text,
            vision_config=vision,
            mm_tokens_per_image=4,
            image_token_index=90,
            boi_token_index=91,
            eoi_token_index=92,
        )
    )
    model.train(False)
    decoder = opened(save(model, tmp_path))
    sequences = token_sequences((40, 9))
    sequences = [[token % 90 for token in ids] for ids in sequences]
    assert agree(streamed_logits(decoder, sequences), plain_logits(model, sequences))
    assert len(decoder.shapes()) == 3 * 7
    assert any("vision" in name for name in decoder.other_tensors())


def test_the_head_is_read_once_if_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = opened(save(tiny("llama"), tmp_path))
    hidden = decoder.embed([5, 6, 7])
    read: list[str] = []
    genuine = WeightFiles.read

    def counted(self: WeightFiles, names: Any) -> Any:
        read.extend(names)
        return genuine(self, names)

    monkeypatch.setattr(WeightFiles, "read", counted)
    with decoder.head():
        chunks = [decoder.logits(hidden[:, :1]), decoder.logits(hidden[:, 1:])]
    assert read == ["lm_head.weight"]
    assert torch.allclose(torch.cat(chunks, dim=1), decoder.logits(hidden), atol=1e-6)
    assert len(read) == 2


def test_the_model_is_whole_again_when_a_run_fails(tmp_path: Path) -> None:
    decoder = opened(save(tiny("qwen2"), tmp_path))
    hidden = decoder.embed([5, 6, 7])
    with decoder.block(1):
        before = decoder.run(1, hidden)
        with pytest.raises(RuntimeError):
            decoder.run(1, torch.zeros(1, 4, 7))
        assert torch.equal(decoder.run(1, hidden), before)
    assert all(p.is_meta for p in decoder.blocks.parameters())


STREAM = """
import sys
from pathlib import Path
import torch
from ssgr.pruning.model.decoder import Decoder

def peak():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024

for folder in sys.argv[1:]:
    decoder = Decoder.open(Path(folder), device=torch.device("cpu"), dtype=torch.float32)
    before = peak()
    hidden = decoder.embed(range(16))
    after = peak()
    for index in range(decoder.depth):
        with decoder.block(index):
            hidden = decoder.run(index, hidden)
            stored = decoder.stored(index)
    print(before, after, peak())
"""


def deep(folder: Path, depth: int, width: int = 256) -> Path:
    """A model of 2 MB a block, 128 MB in all its embedding, one shard a block."""
    config = tiny("llama").config
    config.update(
        {
            "vocab_size": 2**18,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": depth,
            "tie_word_embeddings": True,
        }
    )
    config.save_pretrained(folder)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    shards: dict[str, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        shard = f"{name.split('.')[2]}.safetensors" if ".layers." in name else "others.safetensors"
        tensor = torch.full(parameter.shape, 0.01, dtype=torch.bfloat16)
        shards.setdefault(shard, {})[name] = tensor
    places = {name: shard for shard, tensors in shards.items() for name in tensors}
    for shard, tensors in shards.items():
        save_file(tensors, folder / shard)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc for peak memory")
def test_memory_is_flat_in_depth_and_in_the_vocabulary(tmp_path: Path, root: Path) -> None:
    """28 more blocks are 112 MB in fp32, the embedding 256 MB: both would show."""
    folders = [str(deep(tmp_path / str(depth), depth)) for depth in (4, 32)]
    done = subprocess.run(
        [sys.executable, "-c", STREAM, *folders],
        env={"PYTHONPATH": str(root / "workflow"), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    shallow, deeper = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    assert shallow[1] - shallow[0] < 40
    assert deeper[2] - shallow[2] < 40
