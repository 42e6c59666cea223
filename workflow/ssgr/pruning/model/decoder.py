"""A Hugging Face causal language model seen as a stack of decoder blocks, one in memory at a time.

Attention masks, rotary embeddings and whatever else a block is called with differ between
architectures and between blocks of one model (sliding windows, local rotary bases). They are never
rebuilt here: the model's own forward runs with every block bypassed, and the arguments it passes
each block are what the block is later run with, for one unpadded sequence at a time.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ssgr.errors import ModelError
from ssgr.pruning.model import experts
from ssgr.pruning.model.calls import BlockCalls
from ssgr.pruning.model.loading import Loader, tensor_of
from ssgr.pruning.model.naming import stored_names
from ssgr.pruning.model.parts import Parts
from ssgr.pruning.model.skeleton import config_of, positions_of, skeleton, understood
from ssgr.pruning.model.weights import WeightFiles


@dataclass(frozen=True)
class MatrixShape:
    """A prunable matrix; ``name`` is within its block, such as ``mlp.experts.3.up_proj``."""

    block: int
    name: str
    rows: int
    columns: int


class Decoder:
    """A model's decoder blocks.

    Attributes:
        prefix: the blocks' name in the model's state dict, such as ``model.layers``.
        blocks, depth: the blocks (without weights outside `block`), and how many.
        folder: where the weights are, None for a model in memory.
        device: where blocks are computed.
        dtype: number format that they are computed in.
        vocabulary: rows of the embedding.
        positions: the longest sequence that the model reads, None if it has no limit.
    """

    def __init__(self, model: PreTrainedModel, device: torch.device, loader: Loader | None) -> None:
        """Use `open` or `of`."""
        assert isinstance(model.dtype, torch.dtype)
        self.parts = Parts.of(model)
        self.prefix = self.parts.prefix
        self.blocks = self.parts.blocks
        self.depth = len(self.blocks)
        self.folder: Path | None = None
        self.device = device
        self.dtype = model.dtype
        self.vocabulary: int = self.parts.embedding.get_parameter("weight").shape[0]
        self.positions = positions_of(model.config)
        self._model = model
        self._loader = loader
        self._calls = BlockCalls(model, self.blocks)
        for index in range(self.depth):
            self.linears(index)
        if loader:
            within = [name for index in range(self.depth) for name in self._tensors(index)]
            loader.require([*within, *self.parts.around, *self.parts.ends])
            loader.load(self.parts.around)
        middle = self.vocabulary // 2
        tokens = [middle, self.vocabulary // 3, middle]
        with self._looking_up(tokens):
            self._calls.require_constant(tokens, device)
        self._require_same(tokens)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        trust_remote_code: bool = False,
    ) -> "Decoder":
        """Make the model of a folder; of its weights only the final norm and the like are read.

        Args:
            folder: a Hugging Face folder with safetensors files.
            device: where blocks are computed.
            dtype: number format to compute in; None is the one that the weights are stored in.
            trust_remote_code: run Python code that the folder brings.

        Raises:
            ModelError: the model's structure is not understood, it is quantised, or weights
                are missing.
        """
        config = config_of(folder, trust_remote_code)
        files = WeightFiles.of_folder(folder)
        with understood(folder, config):
            model = skeleton(config, device, dtype or files.main_dtype(), trust_remote_code)
            names = stored_names(model, files.tensors)
            experts.unfuse(model)
            decoder = cls(model, device, Loader(model, files, names, device))
        decoder.folder = folder
        return decoder

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Decoder":
        """View a model in memory; its fused experts are replaced by linears for good.

        Raises:
            ModelError: the model's structure is not understood.
        """
        experts.unfuse(model)
        return cls(model, model.device, None)

    def linears(self, index: int) -> dict[str, nn.Linear]:
        """Return the prunable linears of a block by name within the block, as they are now.

        Raises:
            ModelError: a matrix of the block is neither the weight of an ``nn.Linear`` nor a
                router, or is quantised, or there is no linear.
        """
        return self.parts.linears(index)

    def shapes(self) -> list[MatrixShape]:
        """Return the shapes of all prunable matrices; nothing is read."""
        return [
            MatrixShape(index, name, linear.out_features, linear.in_features)
            for index in range(self.depth)
            for name, linear in self.linears(index).items()
        ]

    @contextmanager
    def block(self, index: int, weights: Path | None = None) -> Iterator[dict[str, nn.Linear]]:
        """Hold one block in memory and yield its prunable linears by name within the block.

        Args:
            index: which block.
            weights: a safetensors file to read the block from instead of the model's folder.

        Raises:
            ModelError: a tensor is missing or has another shape than the model's.
        """
        files = WeightFiles.of_file(weights) if weights else None
        if self._loader is None:
            if files:
                raise ModelError(
                    f"{weights}: a model in memory does not read its blocks from files"
                )
            yield self.linears(index)
            return
        with self._loader.present(self._tensors(index), files):
            yield self.linears(index)

    def run(self, index: int, hidden: Tensor) -> Tensor:
        """Run one block, inside `block`, on ``hidden`` [1, tokens, width]; return its output.

        A batch of equally long sequences is taken too. No gradients.
        """
        return self._calls.run(index, hidden)

    def tokens_of(self, index: int, name: str) -> Tensor | None:
        """Return which tokens a linear is being run on, for hooks during `run`.

        These are positions in the sequence [tokens of the expert]; None means all, in order.
        """
        return experts.routed_tokens(self.blocks[index], name)

    def embed(self, token_ids: Sequence[int]) -> Tensor:
        """Return what enters the first block [1, tokens, width]; only rows needed are read."""
        with self._looking_up(token_ids):
            return self._calls.entering(token_ids, self.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [1, tokens, vocabulary] of the last block's output [1, tokens, width].

        The head is read every time, except inside `head`.
        """
        with self.head():
            return self._calls.leaving(hidden)

    @contextmanager
    def head(self) -> Iterator[None]:
        """Hold the head in memory, so that many calls of `logits` read it once."""
        names = [name for name in self.parts.head if tensor_of(self._model, name).is_meta]
        with self._loader.present(names) if self._loader else nullcontext():
            yield

    def stored(self, index: int) -> dict[str, Tensor]:
        """Return all tensors of a block that is in memory, under the checkpoint's names and dtypes.

        What was not changed is as it was stored, even if it was computed in another dtype. On the
        CPU; tensors may share memory with the block: write them before leaving `block`.
        """
        named = {name: tensor_of(self._model, name).detach() for name in self._tensors(index)}
        if self._loader is None:
            return {name: tensor.cpu().clone() for name, tensor in named.items()}
        stored = {self._loader.stored[name]: tensor for name, tensor in named.items()}
        for name, original in self._loader.files.read(list(stored)):
            changed = stored[name].cpu().contiguous()
            if changed.dtype != original.dtype:
                same = torch.equal(original.to(changed.dtype), changed)
                changed = original.clone() if same else changed.to(original.dtype)
            stored[name] = changed
        return stored

    @torch.no_grad()
    def round_to_stored(self, index: int) -> None:
        """Make the weights what reading `stored` back would make them."""
        if self._loader is None:
            return
        for name in self._tensors(index):
            tensor = tensor_of(self._model, name)
            tensor.copy_(tensor.to(self._loader.files.dtype(self._loader.stored[name])))

    def other_tensors(self) -> dict[str, Path]:
        """Return the file of every stored tensor outside the blocks, by its stored name."""
        if self._loader is None:
            return {}
        names = self._loader.stored
        inside = {names[name] for index in range(self.depth) for name in self._tensors(index)}
        found = self._loader.files.tensors
        return {name: tensor.file for name, tensor in found.items() if name not in inside}

    @torch.no_grad()
    def _require_same(self, token_ids: Sequence[int]) -> None:
        """Check on a few tokens that block after block computes what the whole model computes.

        Blocks and head get stand-ins for their weights, so that none are read.

        Raises:
            ModelError: the logits differ, or a block cannot be run by itself.
        """
        names = [name for index in range(self.depth) for name in self._tensors(index)]
        held = self._loader.stand_ins([*names, *self.parts.head]) if self._loader else nullcontext()
        with held:
            with self._looking_up(token_ids):
                whole = self._calls.whole(token_ids, self.device).float()
            hidden = self.embed(token_ids)
            for index in range(self.depth):
                hidden = self.run(index, hidden)
            streamed = self._calls.leaving(hidden).float()
        if not torch.allclose(whole, streamed, rtol=1e-2, atol=1e-3, equal_nan=True):
            raise ModelError(
                f"{type(self._model).__name__} is not supported: run block after block it gives "
                "other logits than its own forward pass does, so that something besides the hidden "
                "states goes from block to block"
            )

    def left_dense(self) -> list[str]:
        """Return in words which matrices stay as they are, though they are in or like blocks."""
        routers = {name for block in self.blocks for name in experts.routers(block)}
        said = [f"the routers of its experts ({', '.join(sorted(routers))})"] if routers else []
        used = set(self._loader.stored.values()) if self._loader else set()
        unused = [name for name in self.other_tensors() if name not in used]
        matrices = [
            n for n in unused if self._loader and len(self._loader.files.tensors[n].shape) > 1
        ]
        parts = Counter(_part_of(name) for name in matrices)
        return said + [
            f"{part} ({count} matrices), which no part of {type(self._model).__name__} reads, such "
            "as layers that predict several tokens: copied as they are"
            for part, count in parts.items()
        ]

    def _tensors(self, index: int) -> list[str]:
        place = f"{self.prefix}.{index}"
        return [f"{place}.{name}" for name in self.blocks[index].state_dict()]

    def _looking_up(self, token_ids: Sequence[int]) -> AbstractContextManager[None]:
        """Let the model embed these tokens, whose rows alone are read."""
        if self._loader is None:
            return nullcontext()
        distinct, places = torch.unique(torch.tensor(list(token_ids)), return_inverse=True)
        stored = self._loader.stored[self.parts.ends[0]]
        rows = self._loader.files.rows(stored, distinct.tolist()).to(self.device, self.dtype)
        return self._calls.looking_up(self.parts.embedding, rows, places.to(self.device)[None])


def _part_of(name: str) -> str:
    """Return the name of the layer that a tensor belongs to, or else its first word."""
    numbered = re.match(r"(.*?\.\d+)\.", name)
    return numbered[1] if numbered else name.partition(".")[0]
