"""The walk over the blocks against the plain way: hooks on the whole model, block by block."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ssgr.config import Objective
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ModelError, PruningError
from ssgr.pruning.factor import refit
from ssgr.pruning.matrices import Pruning
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.pruner import Pruner, PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.recorder import Gather, InputRecorder, captured, execution_groups
from ssgr.pruning.statistics import InputStatistics
from ssgr.pruning.walk import Pruned, prune_blocks
from tiny_decoders import MAKERS, MIXTURES, tiny, token_sequences

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GROUPS = [list(LINEARS[:3]), ["o_proj"], ["gate_proj", "up_proj"], ["down_proj"]]


def pruning(name: str = "sparsegpt", sparsity: str = "50", **objective: Any) -> Pruning:
    return Pruning(
        PRUNERS[name], Sparsity.parse(sparsity), PrunerSettings(), Objective(**objective)
    )


def calibration(
    sequences: list[list[int]] | None = None, weigh: Callable[[list[int]], Tensor] | None = None
) -> list[CalibrationSequence]:
    ids = token_sequences() if sequences is None else sequences
    return [CalibrationSequence(one, weigh(one) if weigh else None) for one in ids]


def inputs_of_block(model: PreTrainedModel, index: int, ids: list[int]) -> dict[str, Tensor]:
    """The inputs of one block's linears while the whole model runs on one sequence."""
    seen: dict[str, Tensor] = {}
    handles = []
    for name, module in model.model.layers[index].named_modules():
        if isinstance(module, nn.Linear):

            def hook(_: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                seen[name] = args[0].reshape(-1, args[0].shape[-1])

            handles.append(module.register_forward_pre_hook(hook))
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


def statistics_of(inputs: list[Tensor], weights: list[Tensor] | None = None) -> InputStatistics:
    statistics = InputStatistics(inputs[0].shape[-1])
    for at, seen in enumerate(inputs):
        statistics.update(seen, weights[at] if weights else None)
    return statistics


def prune_plainly(
    model: PreTrainedModel, sequences: list[CalibrationSequence], how: Pruning
) -> None:
    """Every block anew: the whole model on every sequence, statistics for every linear."""
    for index, block in enumerate(model.model.layers):
        groups = GROUPS if how.objective.true_sequential else [list(LINEARS)]
        for group in groups:
            inputs = [inputs_of_block(model, index, one.token_ids) for one in sequences]
            for name, linear in block.named_modules():
                if name.rpartition(".")[2] in group:
                    statistics = InputStatistics(linear.in_features)
                    for seen, one in zip(inputs, sequences, strict=True):
                        statistics.update(seen[name], one.weights)
                    linear.weight.data = how.pruner(
                        linear.weight.data, statistics, how.sparsity, how.settings
                    )


def rows_of(pruned: Pruned) -> list[Any]:
    return [row for block in pruned.blocks for row in block.matrices]


def require_alike(one: PreTrainedModel, other: PreTrainedModel) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert float(((a == 0) == (b == 0)).float().mean()) >= 0.999
        assert float((a - b).detach().norm()) <= 0.01 * float(b.detach().norm())


@pytest.mark.parametrize("architecture", sorted(MAKERS))
@pytest.mark.parametrize("name", ["sparsegpt", "wanda"])
def test_pruned_blocks_feed_the_next_as_in_the_plain_way(architecture: str, name: str) -> None:
    fast, slow = tiny(architecture), tiny(architecture)
    report = rows_of(prune_blocks(Decoder.of(fast), calibration(), pruning(name)))
    prune_plainly(slow, calibration(), pruning(name))
    require_alike(fast, slow)
    assert len(report) == 3 * 7
    assert all(row.relative_error is not None and row.sparsity == 0.5 for row in report)
    assert all((row.condition is not None) == (name == "sparsegpt") for row in report)
    assert {row.tokens for row in report} == {164}


@pytest.mark.parametrize(
    "objective", [{"true_sequential": True}, {"tokens": "decode"}], ids=["sequential", "weights"]
)
def test_objectives_as_in_the_plain_way(objective: dict[str, Any]) -> None:
    def weigh(ids: list[int]) -> Tensor:
        return torch.linspace(0.0, 3.0, len(ids))

    sequences = calibration(weigh=weigh if "tokens" in objective else None)
    fast, slow, usual = tiny("gemma3"), tiny("gemma3"), tiny("gemma3")
    prune_blocks(Decoder.of(fast), sequences, pruning(**objective))
    prune_plainly(slow, sequences, pruning(**objective))
    require_alike(fast, slow)
    prune_blocks(Decoder.of(usual), calibration(), pruning())
    difference = (
        fast.model.layers[0].mlp.down_proj.weight - usual.model.layers[0].mlp.down_proj.weight
    )
    assert float(difference.detach().norm()) > 0.1  # the objective did something


@pytest.mark.parametrize("sequential", [False, True])
def test_the_dense_target_as_in_the_plain_way(sequential: bool) -> None:
    """Two models side by side: the dense one's inputs are those of a model that nobody pruned."""
    dense, fast, slow = (tiny("mistral") for _ in range(3))
    how = pruning(target="dense-output", true_sequential=sequential)
    prune_blocks(Decoder.of(fast), calibration(), how)
    for index, block in enumerate(slow.model.layers):
        for group in GROUPS if sequential else [list(LINEARS)]:
            pairs = [
                [inputs_of_block(model, index, one) for model in (slow, dense)]
                for one in token_sequences()
            ]
            for name, linear in block.named_modules():
                if name.rpartition(".")[2] not in group:
                    continue
                statistics = InputStatistics(linear.in_features, with_cross=True)
                for pruned, teacher in pairs:
                    statistics.update(pruned[name], dense=teacher[name])
                target = refit(linear.weight.data, statistics, how.settings.damping)
                linear.weight.data = how.pruner(target, statistics, how.sparsity, how.settings)
    require_alike(fast, slow)


def test_the_walk_does_not_use_dense_outputs() -> None:
    """The second block's weights depend on the first being pruned before."""
    walked, apart = tiny("llama"), tiny("llama")
    prune_blocks(Decoder.of(walked), calibration(), pruning())
    inputs = [inputs_of_block(apart, 1, ids)["mlp.down_proj"] for ids in token_sequences()]
    linear = apart.model.layers[1].mlp.down_proj
    alone = PRUNERS["sparsegpt"](
        linear.weight.data, statistics_of(inputs), Sparsity.parse("50"), PrunerSettings()
    )
    difference = walked.model.layers[1].mlp.down_proj.weight - alone
    assert float(difference.detach().norm() / alone.norm()) > 0.05


def test_an_allocation_gives_every_matrix_its_share() -> None:
    decoder = Decoder.of(tiny("qwen2"))
    shares = {
        (shape.block, shape.name): 0.3 + 0.01 * at for at, shape in enumerate(decoder.shapes())
    }
    how = replace(pruning(), fractions=shares)
    for row in rows_of(prune_blocks(decoder, calibration(), how)):
        share = shares[row.block, row.matrix.partition(f"layers.{row.block}.")[2]]
        assert row.sparsity == pytest.approx(share, abs=1 / (row.rows * row.columns))


def recorded(decoder: Decoder, index: int, sequences: list[list[int]]) -> InputRecorder:
    recorder = InputRecorder(
        decoder.linears(index),
        f"model.layers.{index}",
        Gather(sample_every=3),
        lambda name: decoder.tokens_of(index, name),
    )
    with torch.no_grad():
        for ids in sequences:
            hidden = decoder.embed(ids)
            for before in range(index):
                hidden = decoder.run(before, hidden)
            with recorder.recording(torch.arange(len(ids)) + 1.0):
                decoder.run(index, hidden)
    return recorder


def test_linears_of_one_input_share_statistics() -> None:
    recorder = recorded(Decoder.of(tiny("qwen3")), 0, token_sequences((5, 9, 11)))
    found = {name.split(".")[-1]: s for name, s in recorder.statistics.items()}
    assert set(found) == set(LINEARS)
    assert found["q_proj"] is found["k_proj"] is found["v_proj"]
    assert found["gate_proj"] is found["up_proj"]
    assert len({id(s) for s in found.values()}) == 4
    assert {s.tokens for s in found.values()} == {25}


@pytest.mark.parametrize("architecture", sorted(MIXTURES))
@pytest.mark.parametrize("lengths", [(1, 2, 40, 1, 3), (40, 1, 2, 30)], ids=["short", "long"])
def test_experts_record_the_tokens_routed_to_them(
    architecture: str, lengths: tuple[int, ...]
) -> None:
    """Against brute force: every expert's inputs collected by plain hooks, token by token.

    Short sequences first: no sequence but one reaches all experts, so that the last leader is not
    known at first; long ones first: it is, and later sequences do not reach it.
    """
    decoder = Decoder.of(tiny(architecture))
    sequences = token_sequences(lengths)
    seen: dict[str, list[tuple[Tensor, float]]] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            rows = args[0].reshape(-1, args[0].shape[-1])
            tokens = decoder.tokens_of(1, name)
            places = range(len(rows)) if tokens is None else tokens.tolist()
            seen.setdefault(name, []).extend(
                (row, place + 1.0) for row, place in zip(rows, places, strict=True)
            )

        return keep

    handles = [
        linear.register_forward_pre_hook(hook(name)) for name, linear in decoder.linears(1).items()
    ]
    with torch.no_grad():
        for ids in sequences:
            decoder.run(1, decoder.run(0, decoder.embed(ids)))
    for handle in handles:
        handle.remove()
    recorder = recorded(decoder, 1, sequences)
    assert set(recorder.statistics) == set(seen)
    assert sum(".experts." in name for name in seen) >= 9
    for name, statistics in recorder.statistics.items():
        rows = torch.stack([row for row, _ in seen[name]])
        weights = torch.tensor([weight for _, weight in seen[name]])
        gram = (rows.T * weights) @ rows / weights.sum()
        assert statistics.tokens == len(rows)
        torch.testing.assert_close(statistics.gram, gram, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", sorted(MIXTURES))
@pytest.mark.parametrize("sequential", [False, True])
def test_mixtures_are_pruned_and_unreached_experts_go_by_magnitude(
    architecture: str, sequential: bool
) -> None:
    model, dense = tiny(architecture), tiny(architecture)
    decoder = Decoder.of(model)
    Decoder.of(dense)  # its experts, too, as linears
    few = calibration(token_sequences((2,)))
    rows = rows_of(prune_blocks(decoder, few, pruning(true_sequential=sequential)))
    assert {(row.block, row.matrix) for row in rows} == {
        (shape.block, f"model.layers.{shape.block}.{shape.name}") for shape in decoder.shapes()
    }
    unreached = [row for row in rows if row.tokens == 0]
    assert unreached
    assert all(".experts." in row.matrix for row in unreached)
    for row in rows:
        assert row.sparsity == pytest.approx(0.5, abs=2e-3)
        if row.tokens == 0:
            assert row.warnings == "no calibration token reached it: pruned by magnitude"
            assert row.relative_error is None
            pruned, original = (
                one.get_submodule(row.matrix).weight.detach() for one in (model, dense)
            )
            kept = pruned != 0
            assert torch.equal(pruned[kept], original[kept])
            assert original[~kept].abs().max() <= original[kept].abs().min()
        else:
            assert f"only {row.tokens} tokens for {row.columns} inputs" in row.warnings


def test_a_mixture_has_no_dense_target() -> None:
    with pytest.raises(PruningError, match=r"layers\.1 is a mixture of experts.*pruned-input"):
        prune_blocks(Decoder.of(tiny("qwen3_moe")), calibration(), pruning(target="dense-output"))


def test_execution_groups_put_experts_side_by_side() -> None:
    decoder = Decoder.of(tiny("qwen3_moe"))
    with torch.no_grad(), captured(decoder.linears(1)) as called:
        decoder.run(1, decoder.embed([3, 4]))
    groups = execution_groups(called, decoder.linears(1))
    kinds = [sorted({name.rpartition(".")[2] for name in group}) for group in groups]
    assert kinds == [sorted(group) for group in GROUPS]
    assert [len(group) for group in groups] == [3, 1, 10, 5]


def test_sampled_errors_are_near_those_of_all_tokens() -> None:
    """Wanda gathers no Gram matrix; its errors come from 512 of these 1,660 tokens."""
    sequences = [
        ids for seed in range(10) for ids in token_sequences((5, 40, 1, 23, 64, 33), seed=seed)
    ]
    model = tiny("llama")
    inputs = [inputs_of_block(model, 0, ids) for ids in sequences]
    dense = {
        name: linear.weight.detach().clone()
        for name, linear in model.model.layers[0].named_modules()
        if isinstance(linear, nn.Linear)
    }
    rows = prune_blocks(Decoder.of(model), calibration(sequences), pruning("wanda", "70"))
    for row in rows.blocks[0].matrices:
        name = row.matrix.partition("layers.0.")[2]
        pruned = model.get_submodule(row.matrix).weight.detach()
        seen = torch.cat([one[name] for one in inputs]).T
        exact = ((pruned - dense[name]) @ seen).square().sum() / (dense[name] @ seen).square().sum()
        assert row.relative_error == pytest.approx(float(exact), rel=0.1)


def test_held_back_text_is_measured_as_the_whole_models_do() -> None:
    held_back = token_sequences((30, 2, 17), seed=5)
    model, dense = tiny("gemma2"), tiny("gemma2")
    pruned = prune_blocks(Decoder.of(model), calibration(), pruning(), held_back=held_back)
    means = []
    with torch.no_grad():
        for one in (dense, model):
            lost = [
                one(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss * (len(ids) - 1)
                for ids in held_back
            ]
            means.append(float(torch.stack(lost).sum()) / sum(len(ids) - 1 for ids in held_back))
        states = [
            [
                one.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[2]
                for ids in held_back
            ]
            for one in (dense, model)
        ]
    assert pruned.dense_perplexity == pytest.approx(torch.tensor(means[0]).exp().item(), rel=1e-4)
    assert pruned.pruned_perplexity == pytest.approx(torch.tensor(means[1]).exp().item(), rel=1e-4)
    off = sum(float((a - b).square().sum()) for a, b in zip(*states, strict=True))
    energy = sum(float(a.square().sum()) for a in states[0])
    assert pruned.blocks[1].relative_error == pytest.approx(off / energy, rel=1e-4)


@pytest.mark.parametrize("target", ["pruned-input", "dense-output"])
def test_spilling_changes_no_bit(tmp_path: Path, target: str) -> None:
    models = [tiny("qwen2") for _ in range(2)]
    results = [
        prune_blocks(
            Decoder.of(model),
            calibration(),
            pruning(target=target),
            held_back=token_sequences((30, 8), seed=5),
            folder=tmp_path,
            cap=cap,
        )
        for model, cap in zip(models, (2**30, 9000), strict=True)
    ]
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert results[0].pruned_perplexity == results[1].pruned_perplexity
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3_moe"])
@pytest.mark.parametrize("name", ["ria", "sparsegpt"])
def test_permuted_channels_compute_the_same_and_lose_less(architecture: str, name: str) -> None:
    lost = {}
    for permutation in (False, True):
        model = tiny(architecture)
        how = replace(pruning(name, "2:4"), channel_permutation=permutation)
        rows = rows_of(prune_blocks(Decoder.of(model), calibration(), how))
        lost[permutation] = [row.relative_error for row in rows if "down_proj" in row.matrix]
    assert sum(lost[True]) < sum(lost[False])


def test_a_permutation_alone_leaves_the_outputs_alone() -> None:
    """Pruned to nothing, a model with other channels' order has the same perplexity."""
    model, held_back = tiny("qwen2"), token_sequences((30, 17), seed=5)
    how = replace(
        pruning("magnitude"),
        pruner=Pruner("none", "norm", lambda weight, *_: weight),
        sparsity=Sparsity.parse("2:4"),
        channel_permutation=True,
    )
    before = model.model.layers[0].mlp.up_proj.weight.clone()
    pruned = prune_blocks(Decoder.of(model), calibration(), how, held_back=held_back)
    assert not torch.equal(before, model.model.layers[0].mlp.up_proj.weight)
    assert pruned.pruned_perplexity == pytest.approx(pruned.dense_perplexity, rel=1e-5)


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
    with pytest.raises(PruningError, match=pattern):
        prune_blocks(Decoder.of(model), calibration(), pruning("magnitude"))


def test_dead_inputs_and_a_singular_hessian_are_told() -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.layers[1].input_layernorm.weight[:8] = 0
    rows = rows_of(prune_blocks(Decoder.of(model), calibration(), pruning()))
    told = {row.matrix: row for row in rows}
    query = told["model.layers.1.self_attn.q_proj"]
    assert query.dead_inputs == 8
    assert "8 of 32 inputs are always zero" in query.warnings
    assert told["model.layers.0.self_attn.q_proj"].warnings == ""


@pytest.mark.parametrize("pattern", ["60", "2:4"])
@pytest.mark.parametrize("method", sorted(set(PRUNERS) - {"magnitude"}))
def test_a_matrix_without_any_input_is_pruned_by_magnitude(method: str, pattern: str) -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.layers[1].post_attention_layernorm.weight[:] = 0
    mlp = model.model.layers[1].mlp
    expected = {name: getattr(mlp, name).weight.clone() for name in ("gate_proj", "up_proj")}
    rows = rows_of(prune_blocks(Decoder.of(model), calibration(), pruning(method, pattern)))
    told = {row.matrix.removeprefix("model.layers.1.mlp."): row for row in rows}
    for name, weight in expected.items():
        assert "all its inputs are zero" in told[name].warnings
        nothing = InputStatistics(32, "cpu", name=name, with_gram=False)
        settings, sparsity = PrunerSettings(), Sparsity.parse(pattern)
        pruned = PRUNERS["magnitude"](weight, nothing, sparsity, settings)
        assert torch.equal(getattr(mlp, name).weight, pruned)
    assert all("all its inputs" not in row.warnings for row in rows if row.block != 1)


def test_a_pruner_that_needs_statistics_needs_sequences() -> None:
    with pytest.raises(PruningError, match="wanda needs calibration sequences"):
        prune_blocks(Decoder.of(tiny("qwen2")), [], pruning("wanda"))


def test_magnitude_needs_no_sequences() -> None:
    report = rows_of(prune_blocks(Decoder.of(tiny("qwen2")), [], pruning("magnitude", "2:4")))
    assert {row.relative_error for row in report} == {None}
    assert {row.sparsity for row in report} == {0.5}


def test_a_linear_that_is_never_reached_is_not_understood() -> None:
    model = tiny("llama")
    model.model.layers[2].mlp.extra_proj = nn.Linear(32, 32, bias=False)
    with pytest.raises(
        ModelError, match=r"layers\.2: no calibration token reached mlp\.extra_proj"
    ):
        prune_blocks(Decoder.of(model), calibration(), pruning())
