"""Random inputs and weights that look like a layer's, for the tests of statistics and pruners."""

import torch
from torch import Tensor

from ssgr.pruning.statistics import InputStatistics


def correlated(columns: int, tokens: int, seed: int = 0) -> Tensor:
    """Inputs as layers see them: a few strong directions, columns of very different size."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(max(columns // 4, 1), columns, generator=generator)
    inputs = torch.randn(tokens, len(directions), generator=generator) @ directions
    inputs += 0.3 * torch.randn(tokens, columns, generator=generator)
    return inputs * torch.rand(columns, generator=generator).exp()


def gathered(inputs: Tensor) -> InputStatistics:
    statistics = InputStatistics(inputs.shape[1], name="the matrix")
    statistics.update(inputs)
    return statistics


def random_weight(rows: int, columns: int, seed: int = 1) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
