"""The walk over the blocks against the plain way: hooks on the whole model, block by block."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from ssgr.errors import ModelError, PruningError
from ssgr.pruning.blocks import Decoder, InputRecorder
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.statistics import InputStatistics
from ssgr.pruning.walk import Pruning, prune_blocks
from ssgr.sparsity import Sparsity
from tiny_decoders import MAKERS, WINDOWS, tiny, token_sequences

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def pruning(name: str = "sparsegpt", sparsity: str = "50") -> Pruning:
    return Pruning(PRUNERS[name], Sparsity.parse(sparsity), PrunerSettings())


def inputs_of_block(model: PreTrainedModel, index: int, ids: list[int]) -> dict[str, Tensor]:
    """The inputs of one block's linears while the whole model runs on one sequence."""
    seen: dict[str, Tensor] = {}
    handles = []
    for name, module in model.model.layers[index].named_modules():
        if isinstance(module, nn.Linear):

            def hook(_: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                seen[name] = args[0][0]

            handles.append(module.register_forward_pre_hook(hook))
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


def prune_plainly(model: PreTrainedModel, sequences: list[list[int]], how: Pruning) -> None:
    """Every block anew: the whole model on every sequence, statistics for every linear."""
    for index, block in enumerate(model.model.layers):
        inputs = [inputs_of_block(model, index, ids) for ids in sequences]
        for name, linear in block.named_modules():
            if isinstance(linear, nn.Linear):
                statistics = InputStatistics(linear.in_features)
                for seen in inputs:
                    statistics.update(seen[name])
                linear.weight.data = how.pruner(
                    linear.weight.data, statistics, how.sparsity, how.settings
                )


@pytest.mark.parametrize("architecture", sorted(MAKERS))
def test_blocks_run_as_the_model_runs_them(architecture: str) -> None:
    model = tiny(architecture)
    decoder = Decoder.of(model)
    for ids in token_sequences():
        with torch.no_grad():
            hidden = decoder.embed(ids)
            for index in range(3):
                hidden = decoder.run(index, ids, hidden)
            logits = model.lm_head(model.model.norm(hidden))
            assert torch.equal(logits, model(input_ids=torch.tensor([ids])).logits)


def test_mixed_attention_matters_in_these_models() -> None:
    """Else the test above would pass with the arguments of another block."""
    model = tiny("gemma3")
    ids = torch.tensor(token_sequences((40,)))
    logits = model(input_ids=ids).logits
    model.config.layer_types = [WINDOWS[1], WINDOWS[0], WINDOWS[2]]
    assert not torch.allclose(logits, model(input_ids=ids).logits, atol=1e-2)


@pytest.mark.parametrize("architecture", sorted(MAKERS))
@pytest.mark.parametrize("name", ["sparsegpt", "wanda"])
def test_pruned_blocks_feed_the_next_as_in_the_plain_way(architecture: str, name: str) -> None:
    sequences = token_sequences()
    fast, slow = tiny(architecture), tiny(architecture)
    report = prune_blocks(Decoder.of(fast), sequences, pruning(name))
    prune_plainly(slow, sequences, pruning(name))
    for a, b in zip(fast.parameters(), slow.parameters(), strict=True):
        assert float(((a == 0) == (b == 0)).float().mean()) >= 0.999
        assert float((a - b).detach().norm()) <= 0.01 * float(b.detach().norm())
    assert len(report) == 3 * 7
    assert all(row.relative_error is not None and row.sparsity == 0.5 for row in report)


def test_the_walk_does_not_use_dense_outputs() -> None:
    """The second block's weights depend on the first being pruned before."""
    sequences = token_sequences()
    walked, apart = tiny("llama"), tiny("llama")
    prune_blocks(Decoder.of(walked), sequences, pruning())
    inputs = [inputs_of_block(apart, 1, ids)["mlp.down_proj"] for ids in sequences]
    statistics = InputStatistics(80)
    for seen in inputs:
        statistics.update(seen)
    linear = apart.model.layers[1].mlp.down_proj
    alone = PRUNERS["sparsegpt"](
        linear.weight.data, statistics, Sparsity.parse("50"), PrunerSettings()
    )
    difference = walked.model.layers[1].mlp.down_proj.weight - alone
    assert float(difference.detach().norm() / alone.norm()) > 0.05


def test_linears_of_one_input_share_statistics() -> None:
    decoder = Decoder.of(tiny("qwen3"))
    recorder = InputRecorder(decoder.linears(0), "model.layers.0", with_gram=True)
    sequences = token_sequences((5, 9, 11))
    with torch.no_grad():
        for ids in sequences:
            with recorder.recording():
                decoder.run(0, ids, decoder.embed(ids))
    found = {name.split(".")[-1]: s for name, s in recorder.statistics.items()}
    assert set(found) == set(LINEARS)
    assert found["q_proj"] is found["k_proj"] is found["v_proj"]
    assert found["gate_proj"] is found["up_proj"]
    assert len({id(s) for s in found.values()}) == 4
    assert {s.tokens for s in found.values()} == {25}


def test_a_repeat_gives_the_same_bits() -> None:
    models = [tiny("qwen2") for _ in range(2)]
    for model in models:
        prune_blocks(Decoder.of(model), token_sequences(), pruning())
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("poison", ["activation", "weight"])
def test_nan_names_the_matrix(poison: str) -> None:
    model = tiny("qwen2")
    block = model.model.layers[1]
    with torch.no_grad():
        if poison == "weight":
            block.mlp.up_proj.weight[3, 4] = float("inf")
        else:
            block.post_attention_layernorm.weight[5] = float("nan")
    pattern = {
        "weight": r"weight of model\.layers\.1\.mlp\.up_proj holds NaN or Inf",
        "activation": r"input of model\.layers\.1\.mlp\.gate_proj holds NaN or Inf.*column 5",
    }[poison]
    # the poisoned weight spoils the input of down_proj first, unless no input is looked at
    sequences = [] if poison == "weight" else token_sequences()
    with pytest.raises(PruningError, match=pattern):
        prune_blocks(Decoder.of(model), sequences, pruning("magnitude"))


def test_a_pruner_that_needs_statistics_needs_sequences() -> None:
    with pytest.raises(PruningError, match="wanda needs calibration sequences"):
        prune_blocks(Decoder.of(tiny("qwen2")), [], pruning("wanda"))


def test_magnitude_needs_no_sequences() -> None:
    report = prune_blocks(Decoder.of(tiny("qwen2")), [], pruning("magnitude", "2:4"))
    assert {row.relative_error for row in report} == {None}
    assert {row.sparsity for row in report} == {0.5}


def moe() -> PreTrainedModel:
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=16,
            moe_intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            num_experts=2,
            num_experts_per_tok=1,
        )
    )


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2))


def quantised() -> Any:
    model = tiny("qwen2")
    for layer in model.model.layers:
        layer.mlp.down_proj.weight = nn.Parameter(
            torch.zeros(32, 80, dtype=torch.int8), requires_grad=False
        )
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (moe, r"model\.layers\.0\.mlp\..*is not the weight of an nn\.Linear"),
        (gpt2, "expected one list of 2 decoder blocks"),
        (quantised, r"down_proj\.weight is stored as torch\.int8"),
    ],
)
def test_what_is_not_understood_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Decoder.of(make())


def test_the_model_is_restored_when_a_run_fails() -> None:
    model = tiny("qwen2")
    ids = torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids).logits
    decoder = Decoder.of(model)
    with pytest.raises(RuntimeError):
        decoder.run(1, [5, 6, 7], torch.zeros(1, 3, 7))
    assert torch.equal(model(input_ids=ids).logits, before)
