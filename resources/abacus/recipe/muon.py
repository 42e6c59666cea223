"""Muon in fp32: momentum made orthogonal, the update for every matrix inside the decoder blocks.

Source: Jordan et al. 2024, scale of Liu et al. 2025. `torch.optim.Muon` iterates in bfloat16,
which is several times slower on CPUs; matrices of one shape are updated together.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Return the nearest semi-orthogonal matrices, roughly; [count, rows, columns]."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon:
    """Nesterov momentum, orthogonalised, with decoupled weight decay."""

    def __init__(
        self, parameters: Iterable[Parameter], momentum: float = 0.95, decay: float = 0.05
    ) -> None:
        """Take two-dimensional parameters only."""
        self._groups: dict[tuple[int, int], list[Parameter]] = defaultdict(list)
        for parameter in parameters:
            self._groups[(parameter.shape[0], parameter.shape[1])].append(parameter)
        self._momentum, self._decay = momentum, decay
        self._velocity = {
            shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Apply one update and clear the gradients."""
        for shape, group in self._groups.items():
            gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in group]
            gradient = torch.stack(gradients)
            velocity = self._velocity[shape].lerp_(gradient, 1 - self._momentum)
            update = orthogonalise(gradient.lerp(velocity, self._momentum))
            scale = 0.2 * max(shape) ** 0.5  # root mean square of an AdamW update
            for parameter, change in zip(group, update, strict=True):
                parameter.mul_(1 - rate * self._decay).sub_(rate * scale * change)
                parameter.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """Return the momentum of each shape."""
        return {f"{rows}x{columns}": v for (rows, columns), v in self._velocity.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the momentum of each shape."""
        for (rows, columns), velocity in self._velocity.items():
            velocity.copy_(state[f"{rows}x{columns}"])
