"""OWL and AlphaPruning against literal numpy readings of their formulas."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssgr.config import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.allocation import allocate
from ssgr.pruning.allocation.alphapruning import eigenvalues, linear_map, pl_alpha_hill
from ssgr.pruning.allocation.owl import outlier_share, owl_shares
from ssgr.pruning.masks import zeros_among
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from tiny_decoders import tiny, token_sequences


def sequences() -> list[CalibrationSequence]:
    return [CalibrationSequence(ids) for ids in token_sequences()]


def numpy_outliers(block: list[tuple[np.ndarray, np.ndarray]], m: float) -> float:
    """OWL's check_outlier_mean on the concatenated scores."""
    scores = np.concatenate([(np.abs(w) * x[None, :]).ravel() for w, x in block])
    return float(np.sum(scores > m * scores.mean()) / scores.size)


def numpy_owl(ratios: list[float], sparsity: float, span: float) -> np.ndarray:
    """The three lines of OWL's code: 1 minus this is the sparsity of a block."""
    kept: np.ndarray = np.array(ratios)
    kept = (kept - kept.min()) * (1 / (kept.max() - kept.min()) * span * 2)
    return np.asarray(1 - (kept - kept.mean() + (1 - sparsity)))


@pytest.mark.parametrize("m", [3.0, 5.0])
def test_outliers_as_in_numpy(m: float) -> None:
    generator = torch.Generator().manual_seed(3)
    block = [
        (torch.randn(rows, columns, generator=generator), torch.rand(columns, generator=generator))
        for rows, columns in ((20, 30), (50, 8), (7, 64))
    ]
    expected = numpy_outliers([(w.numpy(), x.numpy()) for w, x in block], m)
    assert 0 < expected < 0.2
    assert outlier_share(block, m) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(0, 0.3), min_size=2, max_size=40), st.floats(0.2, 0.8))
def test_owl_shares_as_in_numpy(ratios: list[float], sparsity: float) -> None:
    if max(ratios) - min(ratios) < 1e-6:
        ratios[0] += 0.01
    expected = numpy_owl(ratios, sparsity, 0.08)
    assert owl_shares(ratios, sparsity) == pytest.approx(expected, abs=1e-9)
    assert np.mean(expected) == pytest.approx(sparsity)


def test_equal_blocks_are_pruned_equally() -> None:
    assert owl_shares([0.01] * 4, 0.7) == [0.7] * 4
    assert linear_map([3.5] * 4) == [1.0] * 4


def test_owl_keeps_the_block_with_outliers(tmp_path: Path) -> None:
    model = tiny("llama")
    with torch.no_grad():  # few weights far above the rest
        model.model.layers[1].mlp.up_proj.weight[:, :2] *= 30
        model.model.layers[1].self_attn.q_proj.weight[:, :2] *= 30
    decoder = Decoder.of(model)
    recipe = Recipe(method="wanda", allocation="owl")
    shares = allocate("owl", decoder, sequences(), Sparsity.parse("60"), recipe, tmp_path)
    assert shares[1, "mlp.down_proj"] < min(shares[0, "mlp.down_proj"], shares[2, "mlp.down_proj"])
    spread = [shares[i, "mlp.down_proj"] for i in range(3)]
    assert max(spread) - min(spread) == pytest.approx(0.16, abs=2e-3)  # 2 lambda


def test_owl_reads_the_norms_of_the_dense_model(tmp_path: Path) -> None:
    """Against hooks on the whole model."""
    model = tiny("qwen2")
    squares: dict[str, torch.Tensor] = {}
    blocks = [
        {n: x for n, x in one.named_modules() if isinstance(x, torch.nn.Linear)}
        for one in model.model.layers
    ]
    handles = []
    for index, block in enumerate(blocks):
        for name, linear in block.items():

            def hook(_: object, args: tuple[torch.Tensor], key: str = f"{index} {name}") -> None:
                new = args[0][0].square().sum(0)
                squares[key] = squares.get(key, torch.zeros_like(new)) + new

            handles.append(linear.register_forward_pre_hook(hook))
    with torch.no_grad():
        for ids in token_sequences():
            model(input_ids=torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    ratios = [
        numpy_outliers(
            [
                (linear.weight.detach().numpy(), squares[f"{index} {name}"].sqrt().numpy())
                for name, linear in block.items()
            ],
            5.0,
        )
        for index, block in enumerate(blocks)
    ]
    expected = numpy_owl(ratios, 0.6, 0.08)
    recipe = Recipe(method="wanda", allocation="owl")
    shares = allocate("owl", Decoder.of(model), sequences(), Sparsity.parse("60"), recipe, tmp_path)
    for (index, _), share in shares.items():
        assert share == pytest.approx(expected[index], abs=2e-3)


def numpy_alpha(weight: np.ndarray) -> float:
    """PL_Alpha_Hill by loops: the Hill fit of least KS distance near the histogram's peak."""
    values = np.sort(np.linalg.svd(weight, compute_uv=False) ** 2)
    counts, edges = np.histogram(np.log10(values), bins=100)
    peak = 10 ** edges[np.argmax(counts)]
    best = (math.inf, math.nan)
    for start, smallest in enumerate(values[:-1]):
        if not 0.95 * peak <= smallest <= 1.5 * peak:
            continue
        tail = values[start:]
        alpha = 1 + len(tail) / sum(math.log(value / smallest) for value in tail)
        distance = max(
            abs(1 - (value / smallest) ** (1 - alpha) - rank / len(tail))
            for rank, value in enumerate(tail)
        )
        best = min(best, (distance, alpha))
    return best[1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tail", [0.0, 1.0])
def test_alpha_as_in_numpy(seed: int, tail: float) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((60, 90)) * generator.pareto(2.5, 90) ** tail
    found = pl_alpha_hill(eigenvalues(torch.tensor(weight, dtype=torch.float32)))
    assert found == pytest.approx(numpy_alpha(weight), rel=1e-3)


def test_alpha_finds_the_exponent_of_a_power_law() -> None:
    """The density is proportional to lambda^-alpha above the least value, and nothing below."""
    ranks = (torch.arange(4_000, dtype=torch.float64) + 0.5) / 4_000
    for alpha in (2.0, 3.0, 5.0):
        values = ((1 - ranks) ** (-1 / (alpha - 1))).sort().values
        assert pl_alpha_hill(values) == pytest.approx(alpha, rel=0.03)


def test_heavier_tails_have_smaller_exponents() -> None:
    generator = torch.Generator().manual_seed(0)
    light = torch.randn(100, 200, generator=generator)
    spikes = torch.randn(100, 1, generator=generator).abs() ** -1.5
    assert pl_alpha_hill(eigenvalues(light * spikes)) < pl_alpha_hill(eigenvalues(light))


def test_matrices_without_a_spectrum_have_no_exponent() -> None:
    assert math.isnan(pl_alpha_hill(eigenvalues(torch.zeros(8, 8))))
    assert math.isnan(pl_alpha_hill(eigenvalues(torch.ones(8, 8))))
    assert math.isnan(pl_alpha_hill(eigenvalues(torch.eye(8))))


def test_alphapruning_as_in_numpy(tmp_path: Path) -> None:
    """Block means, the map to 1 +- 0.3, and one factor for the parameter-weighted mean."""
    model = tiny("mistral", tie_word_embeddings=True)
    with torch.no_grad():
        for block, power in zip(model.model.layers, (0.0, 1.0, 2.0), strict=True):
            scale = (torch.arange(32) + 1.0) ** -power
            block.mlp.gate_proj.weight *= scale
            block.self_attn.o_proj.weight *= scale
    linears = [
        [x.weight.detach().numpy() for x in one.modules() if isinstance(x, torch.nn.Linear)]
        for one in model.model.layers
    ]
    scores = np.array([np.mean([numpy_alpha(w) for w in block]) for block in linears])
    ratios = (scores - scores.min()) / (scores.max() - scores.min()) * 0.6 + 0.7
    sizes = np.array([sum(w.size for w in block) for block in linears])
    ratios *= 0.6 * sizes.sum() / (ratios * sizes).sum()
    recipe = Recipe(method="magnitude", allocation="alphapruning")
    shares = allocate("alphapruning", Decoder.of(model), [], Sparsity.parse("60"), recipe, tmp_path)
    for (index, _), share in shares.items():
        assert share == pytest.approx(ratios[index], abs=2e-3)
    assert max(ratios) - min(ratios) > 0.2


def test_a_dead_block_takes_the_mean_exponent(tmp_path: Path) -> None:
    model = tiny("llama")
    with torch.no_grad():
        for linear in model.model.layers[1].modules():
            if isinstance(linear, torch.nn.Linear):
                linear.weight.zero_()
    recipe = Recipe(method="magnitude", allocation="alphapruning")
    shares = allocate("alphapruning", Decoder.of(model), [], Sparsity.parse("50"), recipe, tmp_path)
    assert shares[1, "mlp.up_proj"] == pytest.approx(0.5, abs=2e-3)
    total = sum(
        zeros_among(one.rows * one.columns, shares[one.block, one.name])
        for one in Decoder.of(model).shapes()
    )
    assert total == zeros_among(sum(o.rows * o.columns for o in Decoder.of(model).shapes()), 0.5)
