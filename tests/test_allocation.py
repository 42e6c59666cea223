"""Every allocation: exact totals, bounds, repeatability, and clear errors."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from ssgr.config import Recipe, Search
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ConfigError, PruningError
from ssgr.pruning import modules_of
from ssgr.pruning.allocation import allocate, allocation_names, needs_sequences, neuronal, trial
from ssgr.pruning.allocation.budget import CEILING
from ssgr.pruning.masks import zeros_among
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.pruner import Pruner
from tiny_decoders import SHAPE, save, tiny, token_sequences

SEARCH = Search(generations=3, offspring=4, sequences=3, seed=1)


@pytest.fixture(autouse=True)
def few_lambdas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer candidates of neuronal, for speed."""
    monkeypatch.setattr(neuronal, "LAMBDAS", (0.05, 0.1, 0.2))


def sequences() -> list[CalibrationSequence]:
    return [CalibrationSequence(ids) for ids in token_sequences()]


def moe() -> Any:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        **SHAPE, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24, mlp_only_layers=[0]
    )
    model: Any = Qwen3MoeForCausalLM(config)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2)
    return model


def shares_of(name: str, model: Any, scratch: Path, sparsity: str = "60", **more: Any) -> Any:
    """What an allocation gives a model in memory."""
    recipe = Recipe(method=more.pop("method", "wanda"), allocation=name, search=SEARCH, **more)
    return allocate(name, Decoder.of(model), sequences(), Sparsity.parse(sparsity), recipe, scratch)


def assert_exact(decoder: Decoder, shares: dict[tuple[int, str], float], sparsity: float) -> None:
    """The total is met to the weight, every matrix has a share, and each is within bounds."""
    shapes = decoder.shapes()
    assert list(shares) == [(one.block, one.name) for one in shapes]
    sizes = [one.rows * one.columns for one in shapes]
    zeros = [zeros_among(size, share) for size, share in zip(sizes, shares.values(), strict=True)]
    assert sum(zeros) == zeros_among(sum(sizes), sparsity)
    assert all(0 <= share <= CEILING for share in shares.values())


@pytest.mark.parametrize("name", allocation_names())
@pytest.mark.parametrize("sparsity", ["33.3", "97"])
def test_totals_are_exact(name: str, sparsity: str, tmp_path: Path) -> None:
    decoder = Decoder.of(tiny("qwen3"))
    shares = shares_of(name, tiny("qwen3"), tmp_path, sparsity)
    assert_exact(decoder, shares, float(sparsity) / 100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", allocation_names())
def test_every_expert_is_a_matrix(name: str, tmp_path: Path) -> None:
    shares = shares_of(name, moe(), tmp_path)
    assert_exact(Decoder.of(moe()), shares, 0.6)
    assert sum(key.startswith("mlp.experts.") for _, key in shares) == 2 * 6 * 3


@pytest.mark.parametrize("name", sorted(set(allocation_names()) - {"uniform"}))
def test_shares_differ_repeat_and_leave_the_model_as_it_was(name: str, tmp_path: Path) -> None:
    model, untouched = tiny("llama"), tiny("llama")
    shares = shares_of(name, model, tmp_path, method="sparsegpt")
    for a, b in zip(model.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(a, b)
    assert shares_of(name, model, tmp_path, method="sparsegpt") == shares
    assert max(shares.values()) - min(shares.values()) > 0.02


@pytest.mark.parametrize("name", allocation_names())
def test_a_model_on_disk_gets_the_same(name: str, tmp_path: Path) -> None:
    folder = save(tiny("gemma3"), tmp_path / "model")
    opened = Decoder.open(folder, device=torch.device("cpu"))
    recipe = Recipe(method="wanda", allocation=name, search=SEARCH)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    streamed = allocate(name, opened, sequences(), Sparsity.parse("60"), recipe, scratch)
    assert streamed == shares_of(name, tiny("gemma3"), scratch)


def test_token_weights_count(tmp_path: Path) -> None:
    """With only the first two tokens of a sequence it is as if the others were not there."""
    weighted = [
        CalibrationSequence(ids, (torch.arange(len(ids)) < 2).float()) for ids in token_sequences()
    ]
    cut = [CalibrationSequence(ids[:2]) for ids in token_sequences()]
    recipe = Recipe(method="wanda", allocation="owl")
    found = [
        allocate("owl", Decoder.of(tiny("llama")), given, Sparsity.parse("60"), recipe, tmp_path)
        for given in (sequences(), weighted, cut)
    ]
    assert found[0] != found[1]
    assert list(found[1].values()) == pytest.approx(list(found[2].values()), abs=1e-3)


@pytest.mark.parametrize("name", ["owl", "evopress", "neuronal"])
def test_hidden_states_in_a_file_give_the_same(name: str, tmp_path: Path) -> None:
    recipe = Recipe(method="wanda", allocation=name, search=SEARCH)
    half = Sparsity.parse("50")
    found = [
        allocate(name, Decoder.of(tiny("qwen2")), sequences(), half, recipe, tmp_path, cap=cap)
        for cap in (0, 20_000, 2**30)
    ]
    assert found[0] == found[1] == found[2]


def test_uniform_is_the_sparsity_itself(tmp_path: Path) -> None:
    for sparsity in ("50", "2:4", "75"):
        shares = shares_of("uniform", tiny("qwen2"), tmp_path, sparsity)
        assert set(shares.values()) == {Sparsity.parse(sparsity).fraction}


@pytest.mark.parametrize("name", sorted(set(allocation_names()) - {"uniform"}))
def test_patterns_are_uniform_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' cannot spread the pattern 2-4"):
        shares_of(name, tiny("llama"), tmp_path, "2:4")


@pytest.mark.parametrize("name", allocation_names())
def test_sequences_are_asked_for_where_they_are_needed(name: str, tmp_path: Path) -> None:
    recipe = Recipe(method="magnitude", allocation=name, search=SEARCH)
    decoder, half = Decoder.of(tiny("llama")), Sparsity.parse("50")
    if needs_sequences(name):
        with pytest.raises(PruningError, match=f"'{name}' needs calibration sequences"):
            allocate(name, decoder, [], half, recipe, tmp_path)
    else:
        assert_exact(decoder, allocate(name, decoder, [], half, recipe, tmp_path), 0.5)


@pytest.mark.parametrize("name", sorted(set(allocation_names()) - {"uniform"}))
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_damaged_weight_is_named(name: str, poison: float, tmp_path: Path) -> None:
    model = tiny("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = poison
    with pytest.raises(PruningError, match=r"model\.layers\.1\.mlp\.up_proj holds NaN or Inf"):
        shares_of(name, model, tmp_path)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown allocation 'owls': .*alphapruning, evopress"):
        shares_of("owls", tiny("llama"), tmp_path)


def test_a_sparsity_without_room_is_refused(tmp_path: Path) -> None:
    for name in ("owl", "alphapruning", "neuronal", "evopress"):
        with pytest.raises(ConfigError, match=r"sparsity 99\.6 %.*'uniform'"):
            shares_of(name, tiny("llama"), tmp_path, "99.6")
    shares = shares_of("uniform", tiny("llama"), tmp_path, "99.6")
    assert min(shares.values()) > 0.994


def test_names_come_without_torch() -> None:
    code = (
        "import sys; from ssgr.pruning.allocation import allocation_names, needs_sequences;"
        "print(*allocation_names(), *map(needs_sequences, allocation_names()));"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        *("alphapruning", "evopress", "neuronal", "owl", "uniform"),
        *("False", "True", "True", "True", "False"),
    ]


@pytest.mark.parametrize("name", ["evopress", "neuronal"])
def test_another_pruner_can_search(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, decoder, asked = Sparsity.parse("50"), Decoder.of(tiny("llama")), set()

    def pruner_of(method: str) -> Pruner:
        asked.add(method)
        return usual(method)

    usual = trial.pruner_of
    monkeypatch.setattr(trial, "pruner_of", pruner_of)

    def found(method: str, searching: str | None) -> dict[tuple[int, str], float]:
        search = SEARCH.model_copy(update={"method": searching})
        recipe = Recipe(method=method, allocation=name, search=search)
        return allocate(name, decoder, sequences(), half, recipe, tmp_path)

    assert found("magnitude", "sparsegpt") == found("sparsegpt", None)
    assert asked == {"sparsegpt"}


def test_who_searches_decides_the_code_and_who_does_not_search_ignores_it() -> None:
    recipe = Recipe(method="alps", search=Search(method="wanda"))
    searching = recipe.model_copy(update={"allocation": "evopress"})
    assert (recipe.searched_by, searching.searched_by) == ("alps", "wanda")
    assert "ssgr.pruning.pruners.wanda" in modules_of(searching)
    assert "ssgr.pruning.pruners.wanda" not in modules_of(recipe)
