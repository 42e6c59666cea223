"""With what arguments a model calls its blocks, found by letting it call them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ssgr.errors import ModelError
from ssgr.pruning.model.arguments import Arguments, bytes_of, same, tensors_in

KEPT_BYTES = 2**26  # of arguments of sequence lengths met before


class _TupleExpectedError(Exception):
    """The model took the first element of what a stand-in returned: its blocks return tuples."""


class BlockCalls:
    """Runs blocks with the arguments that their model gives them.

    The arguments depend on the block and on the sequence's length, so that those of one length are
    asked for once; how many are kept is bounded, since a sliding window's mask is length x length.
    """

    def __init__(self, model: PreTrainedModel, blocks: nn.ModuleList) -> None:
        """Of a model whose norms and buffers are there; its blocks and embedding need not be."""
        self.model = model
        self.blocks = blocks
        self._known: dict[tuple[Any, ...], list[Arguments]] = {}
        self._returns_tuple = False

    @torch.no_grad()
    def run(self, index: int, hidden: Tensor) -> Tensor:
        """Run one block on ``hidden`` [batch, tokens, width]; return its output.

        Raises:
            ModelError: the block leaves something in its arguments for blocks after it.
        """
        more = self._of_length(hidden)[index]
        given = len(tensors_in(more))
        output = self.blocks[index](hidden, *more.args, **more.kwargs)
        if len(tensors_in(more)) != given:
            raise ModelError(
                f"{type(self.model).__name__}: block {index} leaves tensors for blocks after it "
                "(such as shared keys and values): this architecture is not supported"
            )
        self._returns_tuple = isinstance(output, tuple)
        result: Tensor = output[0] if self._returns_tuple else output
        return result

    @torch.no_grad()
    def entering(self, token_ids: Sequence[int], device: torch.device) -> Tensor:
        """Return what enters the first block when the model gets these tokens."""
        ids = torch.tensor([list(token_ids)], dtype=torch.long, device=device)
        entered: list[Tensor] = []
        self._recorded(entered, input_ids=ids)
        return entered[0]

    @torch.no_grad()
    def leaving(self, hidden: Tensor) -> Tensor:
        """Return the model's logits if its last block returns ``hidden``."""
        last: Any = (hidden,) if self._returns_tuple else hidden
        with _stand_ins(self.blocks, lambda index, hidden, more: last):
            logits: Tensor = self.model(inputs_embeds=hidden, use_cache=False).logits
        return logits

    @torch.no_grad()
    def require_constant(self, token_ids: Sequence[int], device: torch.device) -> None:
        """Check that the arguments of blocks depend on nothing but the sequence's length.

        Raises:
            ModelError: they depend on the tokens or on the hidden states.
        """
        name = type(self.model).__name__
        entered: list[Tensor] = []
        ids = torch.tensor([list(token_ids)], dtype=torch.long, device=device)
        by_tokens = self._recorded(entered, input_ids=ids)
        try:
            by_hidden = self._recorded([], inputs_embeds=1 - 2 * entered[0])
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ModelError(
                f"{name} cannot run on hidden states alone ({error}): "
                "this architecture is not supported"
            ) from error
        for index, (one, other) in enumerate(zip(by_tokens, by_hidden, strict=True)):
            if not same(one.args, other.args) or not same(one.kwargs, other.kwargs):
                raise ModelError(
                    f"{name} hands block {index} something besides the hidden states that depends "
                    "on the tokens (such as per-layer embeddings), or that is no tensor: "
                    "this architecture is not supported"
                )

    @contextmanager
    def looking_up(self, embedding: nn.Module, rows: Tensor, places: Tensor) -> Iterator[None]:
        """Let the embedding be a matrix of a few rows; ``places`` are the tokens' rows in it."""
        full = embedding._parameters["weight"]
        genuine = embedding.forward
        padding = getattr(embedding, "padding_idx", None)
        embedding._parameters["weight"] = nn.Parameter(rows, requires_grad=False)
        embedding.__dict__["padding_idx"] = None  # of no use without gradients
        embedding.__dict__["forward"] = lambda _: genuine(places)
        try:
            yield
        finally:
            del embedding.__dict__["forward"]
            embedding.__dict__["padding_idx"] = padding
            embedding._parameters["weight"] = full

    def _of_length(self, hidden: Tensor) -> list[Arguments]:
        key = (hidden.shape[:2], hidden.dtype, hidden.device)
        if key not in self._known:
            if bytes_of(self._known.values()) > KEPT_BYTES:
                self._known.clear()
            self._known[key] = self._recorded([], inputs_embeds=hidden)
        return self._known[key]

    def _recorded(self, entered: list[Tensor], **inputs: Tensor) -> list[Arguments]:
        """Run the model with all blocks bypassed; return the arguments of every block.

        What would enter the first block is appended to ``entered``.
        """
        found: dict[int, Arguments] = {}

        def record(index: int, hidden: Tensor, more: Arguments) -> Any:
            if index == 0:
                entered.append(hidden)
            elif hidden.dim() < entered[-1].dim():
                raise _TupleExpectedError
            found[index] = more
            return (hidden,) if self._returns_tuple else hidden

        try:
            with _stand_ins(self.blocks, record):
                self.model.base_model(**inputs, use_cache=False)
        except _TupleExpectedError:
            self._returns_tuple = True
            entered.clear()
            return self._recorded(entered, **inputs)
        if len(found) != len(self.blocks):
            raise ModelError(
                f"{type(self.model).__name__} runs {len(found)} of its {len(self.blocks)} "
                "blocks: this architecture is not supported"
            )
        return [found[index] for index in range(len(self.blocks))]


@contextmanager
def _stand_ins(
    blocks: nn.ModuleList, visit: Callable[[int, Tensor, Arguments], Any]
) -> Iterator[None]:
    """Let every block return what ``visit`` makes of its hidden states and other arguments."""

    def stand_in(index: int) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if args:
                return visit(index, args[0], Arguments(args[1:], kwargs))
            hidden = kwargs.pop("hidden_states")
            return visit(index, hidden, Arguments((), kwargs))

        return forward

    for index, block in enumerate(blocks):
        # an instance attribute hides the class's forward until it is deleted
        block.__dict__["forward"] = stand_in(index)
    try:
        yield
    finally:
        for block in blocks:
            del block.__dict__["forward"]
