"""Rare models, texts and folders: what the engine does where the usual way would be wrong."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BitNetConfig, BitNetForCausalLM

from ssgr.config import Objective, Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.allocation import allocate
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.factor import condition
from ssgr.pruning.matrices import Pruning
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.model.experts import routers
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.summary import BLOCKS, Summary, read_summary
from ssgr.pruning.permutation import exchangeable
from ssgr.pruning.pruner import Pruner, PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.sample import InputSample
from ssgr.pruning.statistics import InputStatistics
from ssgr.pruning.walk import prune_blocks
from ssgr.storage import tables
from tiny_decoders import SHAPE, VOCABULARY, save, tiny, token_sequences

CALIBRATION = [CalibrationSequence(ids) for ids in token_sequences()]


def test_an_mlp_with_more_than_its_three_matrices_is_not_permuted() -> None:
    """BitNet has a norm before its last matrix, with a weight for each channel."""
    torch.manual_seed(0)
    model: Any = BitNetForCausalLM(BitNetConfig(**SHAPE))
    linears = [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    parameters = [name for name, _ in model.model.layers[0].named_parameters()]
    assert "mlp.ffn_sub_norm.weight" in parameters
    assert exchangeable(linears, parameters) == []
    bare = [name for name in parameters if "norm" not in name]
    assert [one.consumer for one in exchangeable(linears, bare)] == ["mlp.down_proj"]
    nothing = Pruner("none", "norm", lambda weight, *_: weight)
    how = Pruning(nothing, Sparsity.parse("2:4"), PrunerSettings(), channel_permutation=True)
    before = model.model.layers[0].mlp.up_proj.weight.clone()
    prune_blocks(Decoder.of(model), CALIBRATION, how)
    assert torch.equal(before, model.model.layers[0].mlp.up_proj.weight)


def test_a_router_beside_a_list_of_experts_stays_dense() -> None:
    """As a model's own code may keep them."""
    block: Any = nn.Module()
    block.mlp = nn.Module()
    block.mlp.gate, block.mlp.experts = nn.Linear(8, 2), nn.ModuleList([nn.Linear(8, 8)])
    block.gate = nn.Linear(8, 8)
    assert routers(block) == {"mlp.gate"}


def test_the_first_token_counts_for_itself_only_where_it_is() -> None:
    tokens = torch.arange(1.0, 21)[:, None]
    energy = {}
    for leads in (True, False):
        sample = InputSample(4)
        sample.add(tokens, from_first=leads)
        one = torch.ones(1, 1)
        assert sample.relative_error(one, one / 2) == pytest.approx(0.25)
        energy[leads] = float(sample._rows[0].square().sum())
    # of tokens 1, then 4, 8, 12, 16, 20 for four each; of 3, 7, 11, 15, 19 for four each
    assert energy[True] == 1 + 4 * sum(token**2 for token in (4, 8, 12, 16, 20))
    assert energy[False] == 4 * sum(token**2 for token in (3, 7, 11, 15, 19))


@pytest.mark.parametrize("name", ["admm", "alps"])
def test_the_condition_is_of_the_scaled_hessian_that_was_pruned_with(name: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(300, 40) * torch.logspace(-2, 2, 40)
    inputs[:, 7] = 0
    statistics = InputStatistics(40)
    statistics.update(inputs)
    PRUNERS[name](torch.randn(16, 40), statistics, Sparsity.parse("50"), PrunerSettings())
    gram = statistics.gram.double()
    alive = gram.diagonal() > 0
    norms = gram.diagonal()[alive].sqrt()
    scaled = gram[alive][:, alive] / norms / norms[:, None] + 0.01 * torch.eye(39)
    assert condition(statistics, 0.01) == pytest.approx(float(torch.linalg.cond(scaled)), rel=0.1)
    assert statistics.findings["condition"] == condition(statistics, 0.01)


def pruned(model: Any, folder: Path, **how: Any) -> Summary:
    given = {"held_back": token_sequences((30, 17), seed=5), "recipe": Recipe(method="wanda")} | how
    prune_checkpoint(
        save(model, folder / "dense"),
        folder / "out",
        calibration=CALIBRATION,
        sparsity=Sparsity.parse("50"),
        device="cpu",
        **given,
    )
    return read_summary(folder / "out")


def test_held_back_text_that_overflows_costs_no_checkpoint(tmp_path: Path) -> None:
    model = tiny("qwen2")
    held_back = token_sequences((30, 17), seed=5)
    unseen = next(iter(set(range(VOCABULARY)) - {i for one in CALIBRATION for i in one.token_ids}))
    held_back[1][3] = unseen
    with torch.no_grad():
        model.model.embed_tokens.weight[unseen] = float("inf")
    summary = pruned(model, tmp_path, held_back=held_back)
    assert summary.perplexity is None
    assert "makes NaN or Inf in the dense model" in summary.warnings[-1]
    blocks = tables.read(tmp_path / "out" / BLOCKS, tables.BlockReport)
    assert blocks["relative_error"].to_list() == [None] * 3


def test_text_of_another_tokenizer_is_told(tmp_path: Path) -> None:
    """Ids that fit pass; that the dense model is surer of others than of these does not."""
    model = tiny("qwen2", tie_word_embeddings=False)
    assert pruned(model, tmp_path / "usual").warnings == []
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
    assert "another tokenizer" in pruned(model, tmp_path / "sure").warnings[-1]


def test_a_mixture_is_refused_a_dense_target_before_a_search(tmp_path: Path) -> None:
    recipe = Recipe(
        method="wanda", allocation="neuronal", objective=Objective(target="dense-output")
    )
    with pytest.raises(PruningError, match=r"layers\.1 is a mixture of experts.*pruned-input"):
        pruned(tiny("qwen3_moe"), tmp_path, recipe=recipe)
    assert not (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize("name", ["owl", "evopress", "neuronal"])
def test_a_search_spills_where_it_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, usual = set(), tempfile.TemporaryFile

    def spilled(*args: Any, dir: Path, **more: Any) -> Any:
        seen.add(dir)
        return usual(*args, dir=dir, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", spilled)
    (tmp_path / "fast").mkdir()
    recipe = Recipe.model_validate(
        {"method": "wanda", "search": {"generations": 1, "offspring": 2, "sequences": 1}}
    )
    allocate(
        name,
        Decoder.of(tiny("llama")),
        CALIBRATION,
        Sparsity.parse("50"),
        recipe.model_copy(update={"allocation": name}),
        tmp_path / "scratch",
        cap=0,
        spill=tmp_path / "fast",
    )
    assert seen == {tmp_path / "fast"}


def test_all_chat_templates_are_kept(tmp_path: Path) -> None:
    folder = save(tiny("qwen2"), tmp_path / "dense")
    more = Path("additional_chat_templates", "tool_use.jinja")
    (folder / more).parent.mkdir()
    (folder / more).write_text("{{ messages }}")
    how = {"calibration": CALIBRATION, "recipe": Recipe(method="wanda"), "device": "cpu"}
    prune_checkpoint(folder, tmp_path / "out", sparsity=Sparsity.parse("50"), **how)
    assert (tmp_path / "out" / more).read_text() == "{{ messages }}"
