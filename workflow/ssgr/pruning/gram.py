"""A Gram matrix is symmetric: half of it is computed, and half of it is read for an energy.

In tiles: columns are taken some at a time, each time with those after them, or before them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Columns of a tile, at least, and tiles, at most.
TILE, TILES = 128, 16


def add_products(products: Tensor, rows: Tensor) -> None:
    """Add X^T X to the tiles of ``products`` [columns, columns] on and above the diagonal.

    ``rows`` are X [tokens, columns]. What lies below the diagonal's tiles is left as it is.
    """
    for start, stop in _tiles(len(products)):
        products[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])


def mirror(products: Tensor) -> None:
    """Copy what is above the diagonal to below it, in place."""
    for start, stop in _tiles(len(products)):
        products[stop:, start:stop] = products[start:stop, stop:].T
        tile = products[start:stop, start:stop]
        tile.copy_(tile.triu() + tile.triu(diagonal=1).T)


def output_energy(weight: Tensor, gram: Tensor) -> float:
    """Return tr(W G W^T) for W [rows, columns] and G [columns, columns]."""
    total = 0.0
    for start, stop in _tiles(len(gram)):
        columns = weight[:, start:stop]
        outputs = columns @ gram[start:stop, start:stop]
        outputs.addmm_(weight[:, :start], gram[:start, start:stop], alpha=2)
        total += float(torch.dot(outputs.flatten(), columns.flatten()))
    return total


def _tiles(columns: int) -> list[tuple[int, int]]:
    """Return where each tile starts and stops."""
    width = max(TILE, -(-columns // TILES))
    return [(start, min(start + width, columns)) for start in range(0, columns, width)]


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply fp32 matrices in fp32, not in TF32, which a Gram matrix does not survive."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
