"""A Hugging Face causal language model seen as a stack of decoder blocks.

Attention masks, rotary embeddings and whatever else a block is called with differ between
architectures and between blocks of one model (sliding windows, local rotary bases). They are never
rebuilt here: the model's own forward runs with every block but one bypassed, so that this one
gets exactly the arguments the model passes it, for one unpadded sequence at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ssgr.errors import ModelError
from ssgr.pruning.statistics import InputStatistics

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Decoder:
    """A model and its decoder blocks; ``prefix`` is their name in the model's state dict."""

    model: PreTrainedModel
    prefix: str
    blocks: nn.ModuleList

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Decoder":
        """Find the blocks of a model.

        Raises:
            ModelError: the blocks are not found, or hold parameters that are not understood.
        """
        config = model.config.get_text_config(decoder=True)
        depth = getattr(config, "num_hidden_layers", None)
        found = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, nn.ModuleList)
            and len(module) == depth
            and any(isinstance(child, nn.Linear) for child in module[0].modules())
        }
        outermost = [name for name in found if not any(name.startswith(f"{o}.") for o in found)]
        if len(outermost) != 1:
            raise ModelError(
                f"{type(model).__name__}: expected one list of {depth} decoder blocks with "
                f"nn.Linear inside, found {outermost or 'none'}; this architecture is not supported"
            )
        decoder = cls(model, outermost[0], found[outermost[0]])
        for index in range(len(decoder.blocks)):
            decoder.linears(index)
        return decoder

    def linears(self, index: int) -> dict[str, nn.Linear]:
        """Return the linears of a block by name within the block.

        Raises:
            ModelError: a matrix of the block is not the weight of an ``nn.Linear`` (such as the
                3-D parameters of experts), or is quantised, or there is no linear.
        """
        block = self.blocks[index]
        linears = {n: m for n, m in block.named_modules() if isinstance(m, nn.Linear)}
        known = {f"{name}.weight" for name in linears}
        for name, parameter in block.named_parameters():
            if parameter.dim() > 1 and name not in known:
                raise ModelError(
                    f"{self.prefix}.{index}.{name} has shape {tuple(parameter.shape)} and is not "
                    "the weight of an nn.Linear (mixtures of experts and convolutions are not "
                    "supported): it would silently stay dense"
                )
            if name in known and parameter.dtype not in DTYPES:
                raise ModelError(
                    f"{self.prefix}.{index}.{name} is stored as {parameter.dtype}: quantised "
                    "models cannot be pruned; use the unquantised checkpoint"
                )
        if not linears:
            raise ModelError(f"{self.prefix}.{index} has no nn.Linear: nothing to prune")
        return linears

    def embed(self, token_ids: Sequence[int]) -> Tensor:
        """Return what enters the first block [1, tokens, width]."""
        entered: list[Tensor] = []

        def remember(hidden: Tensor, run: Callable[[Tensor], Any]) -> Any:
            entered.append(hidden)
            return hidden

        self._forward(token_ids, 0, remember)
        return entered[0]

    def run(self, index: int, token_ids: Sequence[int], hidden: Tensor) -> Tensor:
        """Run one block on ``hidden`` [1, tokens, width] and return its output, same shape."""
        left: list[Tensor] = []

        def replace(_: Tensor, run: Callable[[Tensor], Any]) -> Any:
            output = run(hidden)
            left.append(output[0] if isinstance(output, tuple) else output)
            return output

        self._forward(token_ids, index, replace)
        return left[0]

    def _forward(
        self,
        token_ids: Sequence[int],
        index: int,
        visit: Callable[[Tensor, Callable[[Tensor], Any]], Any],
    ) -> None:
        """Run the model on one sequence; ``visit`` stands in for one block, the rest do nothing."""
        inputs = torch.tensor([list(token_ids)], dtype=torch.long, device=self.model.device)
        with _stand_ins(self.blocks, index, visit):
            self.model.base_model(input_ids=inputs, use_cache=False)  # without the head


@contextmanager
def _stand_ins(
    blocks: nn.ModuleList,
    index: int,
    visit: Callable[[Tensor, Callable[[Tensor], Any]], Any],
) -> Iterator[None]:
    """Let every block return its input, and block ``index`` what ``visit`` makes of it."""
    genuine = blocks[index].forward

    def bypass(*args: Any, **kwargs: Any) -> Tensor:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        return hidden

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        def run(hidden: Tensor) -> Any:
            if args:
                return genuine(hidden, *args[1:], **kwargs)
            return genuine(**{**kwargs, "hidden_states": hidden})

        return visit(bypass(*args, **kwargs), run)

    for position, block in enumerate(blocks):
        # an instance attribute hides the class's forward until it is deleted
        block.__dict__["forward"] = stand_in if position == index else bypass
    try:
        yield
    finally:
        for block in blocks:
            del block.__dict__["forward"]


class _AllRecordedError(Exception):
    """The last input of a sequence is in: the rest of the forward pass is of no use."""


class InputRecorder:
    """Gathers statistics of the inputs of some linears while sequences run through their block.

    Linears that are handed the very same tensor (q, k and v; gate and up) share statistics.
    """

    def __init__(self, linears: dict[str, nn.Linear], prefix: str, *, with_gram: bool) -> None:
        self.linears = linears
        self.prefix = prefix
        self.with_gram = with_gram
        self.statistics: dict[str, InputStatistics] = {}
        self._leaders: list[str] = []
        self._latest: tuple[str, Tensor] | None = None
        self._complete = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record one sequence; once all linears are known, stop it at the last new input."""
        handles = [
            linear.register_forward_pre_hook(self._hook(name))
            for name, linear in self.linears.items()
        ]
        try:
            yield
        except _AllRecordedError:
            pass
        finally:
            self._complete = len(self.statistics) == len(self.linears)
            self._latest = None
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def record(linear: nn.Module, args: tuple[Any, ...]) -> None:
            inputs: Tensor = args[0]
            if name not in self.statistics:
                self._assign(name, inputs)
            if name in self._leaders:
                self._latest = (name, inputs)
                self.statistics[name].update(inputs)
                if self._complete and name == self._leaders[-1]:
                    raise _AllRecordedError

        return record

    def _assign(self, name: str, inputs: Tensor) -> None:
        """Give a linear that is met first its statistics: its neighbour's or its own."""
        if self._latest is not None and self._latest[1] is inputs:
            self.statistics[name] = self.statistics[self._latest[0]]
            return
        self._leaders.append(name)
        self.statistics[name] = InputStatistics(
            inputs.shape[-1],
            inputs.device,
            name=f"{self.prefix}.{name}",
            with_gram=self.with_gram,
        )

    def require_all(self) -> None:
        """Check that every linear was reached.

        Raises:
            ModelError: calibration tokens never reached some linears.
        """
        missed = [name for name in self.linears if name not in self.statistics]
        if missed:
            raise ModelError(
                f"{self.prefix}: no calibration token reached {', '.join(missed)}; "
                "the block's structure is not understood"
            )
