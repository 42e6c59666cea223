"""Statistics of the inputs of a weight matrix, gathered sequence by sequence.

Every token counts once, whatever the length of its sequence; padding never gets here, because
sequences pass one at a time. Matrices that read one input (q, k and v; gate and up) share one
object, and with it whatever a pruner derives from it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ssgr.errors import PruningError

# Columns per tile of the Gram matrix: only tiles on and above the diagonal are computed.
TILE = 512


class InputStatistics:
    """Streaming sums over inputs X [tokens, columns], in fp32.

    Args:
        columns: width of the input.
        device: where the sums live; None is torch's default.
        name: the matrix that reads this input, for messages.
        with_gram: also sum X^T X, which costs tokens x columns^2 multiplications.
    """

    def __init__(
        self,
        columns: int,
        device: torch.device | str | None = None,
        *,
        name: str = "a matrix",
        with_gram: bool = True,
    ) -> None:
        self.columns = columns
        self.name = name
        self.tokens = 0
        self.has_gram = with_gram
        self._squares = torch.zeros(columns, dtype=torch.float32, device=device)
        self._products = torch.zeros(
            (columns, columns) if with_gram else (0, 0), dtype=torch.float32, device=device
        )
        self._derived: dict[str, Tensor] = {}

    def update(self, inputs: Tensor) -> None:
        """Add one sequence of inputs [..., columns].

        Raises:
            PruningError: the inputs hold NaN or Inf, or are of another width.
        """
        if inputs.shape[-1] != self.columns:
            raise PruningError(
                f"{self.name}: inputs have {inputs.shape[-1]} columns, expected {self.columns}"
            )
        rows = inputs.detach().reshape(-1, self.columns).float()  # [tokens, columns]
        squares = rows.square().sum(dim=0)
        if not bool(torch.isfinite(squares).all()):
            raise PruningError(self._not_finite(squares))
        self._squares += squares
        if self.has_gram:
            self._add_products(rows)
        self.tokens += rows.shape[0]
        self._derived.clear()

    def _add_products(self, rows: Tensor) -> None:
        """Add X^T X to the tiles on and above the diagonal."""
        for start in range(0, self.columns, TILE):
            stop = min(start + TILE, self.columns)
            self._products[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])

    def _not_finite(self, squares: Tensor) -> str:
        columns = torch.nonzero(~torch.isfinite(squares)).flatten().tolist()
        return (
            f"the input of {self.name} holds NaN or Inf in {len(columns)} of {self.columns} columns"
            f" (first: column {columns[0]}), seen after {self.tokens} good tokens. The model "
            "overflows in its number format, or its weights are damaged; fp16 models often work "
            "with dtype float32 or bfloat16."
        )

    @property
    def squared_norm(self) -> Tensor:
        """Mean of squares of each column [columns]: ||X_j||^2 / tokens."""
        return self._squares / max(self.tokens, 1)

    @property
    def gram(self) -> Tensor:
        """The Gram matrix X^T X / tokens [columns, columns].

        Raises:
            PruningError: it was not gathered.
        """
        if not self.has_gram:
            raise PruningError(f"the Gram matrix of the input of {self.name} was not gathered")

        def mirror() -> Tensor:
            upper = torch.triu(self._products)
            return (upper + torch.triu(self._products, diagonal=1).T) / max(self.tokens, 1)

        return self.derived("gram", mirror)

    def derived(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what ``make`` computes from these statistics, computed once until an update."""
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]


def relative_error(weight: Tensor, pruned: Tensor, statistics: InputStatistics) -> float:
    """Return tr(dW G dW^T) / tr(W G W^T): the share of the output's energy that pruning changed.

    ``weight`` and ``pruned`` are [rows, columns]; G is the Gram matrix of the inputs.
    """
    dense = weight.float()
    change = pruned.float() - dense
    energy = float(((dense @ statistics.gram) * dense).sum(dtype=torch.float64))
    lost = float(((change @ statistics.gram) * change).sum(dtype=torch.float64))
    return max(lost, 0.0) / energy if energy > 0 else 0.0
