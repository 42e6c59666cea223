"""NeuronAL: its choice against a plain reading of the objective on whole models."""

from pathlib import Path
from typing import Any

import pytest
import torch

from allocation_tasks import linears_of, mean_share, run, statistics_of, task_of
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.allocation import neuronal
from ssgr.pruning.allocation.budget import spread
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from tiny_decoders import tiny, token_sequences


@pytest.fixture
def lambdas(monkeypatch: pytest.MonkeyPatch) -> tuple[float, ...]:
    """Fewer candidates, for speed."""
    few = (0.0, 0.05, 0.1, 0.2)
    monkeypatch.setattr(neuronal, "LAMBDAS", few)
    return few


def literal_misalignment(model: Any, span: float, method: str) -> float:
    """NeuronAL's objective for one lambda, on whole models whose blocks are pruned one by one."""
    copy = tiny("llama")
    copy.load_state_dict(model.state_dict())
    shapes = Decoder.of(tiny("llama")).shapes()
    line = [0.6 - span, 0.6, 0.6 + span]
    sizes = [one.rows * one.columns for one in shapes]
    zeros = spread([line[one.block] for one in shapes], sizes, 0.6)
    total = 0.0
    with torch.no_grad():
        for index in range(3):
            dense = statistics_of(copy, index, token_sequences())
            for shape, count, size in zip(shapes, zeros, sizes, strict=True):
                if shape.block == index:
                    linear = linears_of(copy, index)[shape.name]
                    sparsity = Sparsity(count / size)
                    linear.weight.copy_(
                        PRUNERS[method](
                            linear.weight, dense[shape.name], sparsity, PrunerSettings()
                        )
                    )
            sparse = statistics_of(copy, index, token_sequences())
            for name in dense:
                a, b = (one[name].squared_norm.sqrt() for one in (dense, sparse))
                total += float((a / a.sum() - b / b.sum()).norm()) / len(a)
    return total


def emptied(block: int) -> Any:
    """A model in which most weights of one block are zero already: pruning it changes little."""
    model = tiny("llama")
    with torch.no_grad():
        for linear in linears_of(model, block).values():
            keep = torch.rand(linear.weight.shape, generator=torch.Generator().manual_seed(1))
            linear.weight *= keep > 0.9
    return model


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_neuronal_takes_the_lambda_of_least_misalignment(
    method: str, lambdas: tuple[float, ...], tmp_path: Path
) -> None:
    model = emptied(2)
    objective = {span: literal_misalignment(model, span, method) for span in lambdas}
    best = min(objective, key=lambda span: objective[span])
    shares = run("neuronal", task_of(model, tmp_path, method, sequences=6))
    assert mean_share(shares, 2) - mean_share(shares, 0) == pytest.approx(2 * best, abs=1e-3)
    assert best >= 0.1
    assert objective[best] < 0.9 * objective[0.0]


def test_neuronal_stays_uniform_where_depth_should_keep_more(
    lambdas: tuple[float, ...], tmp_path: Path
) -> None:
    """Its line only rises: with a first block that could lose more, uniform is the best of it."""
    shares = run("neuronal", task_of(emptied(0), tmp_path, sequences=6))
    assert max(abs(share - 0.6) for share in shares.values()) < 1e-3


def test_the_line_rises_by_twice_lambda_about_the_sparsity() -> None:
    assert neuronal.rising(5, 0.1, 0.6) == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7])
    assert neuronal.rising(2, 0.1, 0.6) == pytest.approx([0.5, 0.7])
    assert neuronal.rising(1, 0.1, 0.6) == [0.6]
