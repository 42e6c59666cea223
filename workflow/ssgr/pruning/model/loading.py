"""Parameters of a model on the meta device: brought into memory by name, swapped, dropped."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ssgr.errors import ModelError
from ssgr.pruning.model.weights import WeightFiles


def set_tensor(root: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer, whatever its device and dtype."""
    path, _, last = name.rpartition(".")
    module = root.get_submodule(path)
    if last in module._parameters:
        module._parameters[last] = nn.Parameter(tensor, requires_grad=False)
    else:
        module._buffers[last] = tensor


class Loader:
    """The files of a model's weights, and what each of its parameters is called in them."""

    def __init__(
        self,
        model: PreTrainedModel,
        files: WeightFiles,
        stored: dict[str, str],
        device: torch.device,
    ) -> None:
        """Load parameters of ``model`` to ``device``; ``stored`` gives their names in the files."""
        self.model = model
        self.files = files
        self.stored = stored
        self.device = device

    @contextmanager
    def present(self, names: Sequence[str], files: WeightFiles | None = None) -> Iterator[None]:
        """Hold parameters and buffers in memory, and drop them on leaving.

        Raises:
            ModelError: as `require`.
        """
        before = {name: self.tensor(name) for name in names}
        try:
            self.load(names, files)
            yield
        finally:
            for name, tensor in before.items():
                set_tensor(self.model, name, tensor)

    @contextmanager
    def stand_ins(self, names: Sequence[str]) -> Iterator[None]:
        """Give parameters and buffers that are not in memory random values that take no room.

        A matrix is one random column, so that its values in a row are equal; nothing is read.
        """
        before = {name: self.tensor(name) for name in names if self.tensor(name).is_meta}
        generator = torch.Generator().manual_seed(0)
        try:
            for name, tensor in before.items():
                set_tensor(self.model, name, _stand_in(tensor, generator).to(self.device))
            yield
        finally:
            for name, tensor in before.items():
                set_tensor(self.model, name, tensor)

    def load(self, names: Sequence[str], files: WeightFiles | None = None) -> None:
        """Bring parameters and buffers into memory for good, in the dtype that the model wants."""
        files = files or self.files
        self.require(names, files)
        places: dict[str, list[str]] = {}
        for name in names:
            places.setdefault(self.stored[name], []).append(name)
        for stored, tensor in files.read(places):
            for name in places[stored]:
                dtype = self.tensor(name).dtype
                set_tensor(self.model, name, tensor.to(self.device, dtype, copy=True))

    def tensor(self, name: str) -> Tensor:
        """Return a parameter or buffer as it is now."""
        return tensor_of(self.model, name)

    def require(self, names: Sequence[str], files: WeightFiles | None = None) -> None:
        """Check that parameters are stored, in their shapes and unquantised.

        Raises:
            ModelError: one is not.
        """
        files = files or self.files
        missing = [name for name in names if self.stored.get(name) not in files.tensors]
        if missing:
            raise ModelError(
                f"{files.origin} holds no tensor for {len(missing)} parameters, such as "
                f"{missing[0]}: the download is incomplete, or the architecture is stored in a "
                "way that is not supported"
            )
        for name in names:
            stored = self.stored[name]
            files.dtype(stored)
            shape, wanted = files.tensors[stored].shape, tuple(self.tensor(name).shape)
            if shape != wanted:
                raise ModelError(
                    f"{stored} in {files.tensors[stored].file} has shape {shape}, but the config "
                    f"makes it {wanted}: they are of different models"
                )


def _stand_in(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return random values of a tensor's shape and dtype; of a matrix one column is in memory."""
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.dim() < 2:
        return (1 + torch.rand(tensor.shape, generator=generator)).to(tensor.dtype)
    column = torch.randn((*tensor.shape[:-1], 1), generator=generator) / tensor.shape[-1]
    return column.to(tensor.dtype).expand(tensor.shape)


def tensor_of(model: nn.Module, name: str) -> Tensor:
    """Return the parameter or buffer of a name."""
    path, _, last = name.rpartition(".")
    tensor = getattr(model.get_submodule(path), last)
    assert isinstance(tensor, Tensor)
    return tensor


@contextmanager
def swapped(linears: Mapping[str, nn.Linear], weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Let linears of a block have other weights for a while."""
    dense = {name: linears[name].weight.data for name in weights}
    try:
        for name, weight in weights.items():
            linears[name].weight.data = weight
        yield
    finally:
        for name, weight in dense.items():
            linears[name].weight.data = weight
