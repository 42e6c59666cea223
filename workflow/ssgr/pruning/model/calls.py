"""With what arguments a model calls its blocks, found by letting it call them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ssgr.errors import ModelError
from ssgr.pruning.model.arguments import Arguments, bytes_of, own_containers, same

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

        What it leaves in its arguments for blocks after it is dropped.

        Raises:
            ModelError: the block writes into ``hidden``.
        """
        more = own_containers(self._of_length(hidden)[index])
        version = hidden._version
        output = self.blocks[index](hidden, *more.args, **more.kwargs)
        if hidden._version != version:
            raise self._unsupported(f"block {index} writes into the hidden states that it is given")
        self._returns_tuple = isinstance(output, tuple)
        result: Tensor = output[0] if self._returns_tuple else output
        return result

    @torch.no_grad()
    def whole(self, token_ids: Sequence[int], device: torch.device) -> Tensor:
        """Return the logits [1, tokens, vocabulary] of the model's own forward pass."""
        ids = torch.tensor([list(token_ids)], dtype=torch.long, device=device)
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits

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
            # a copy: some models scale the embeddings that they are given in place
            logits: Tensor = self.model(inputs_embeds=hidden.clone(), use_cache=False).logits
        return logits

    @torch.no_grad()
    def require_constant(self, token_ids: Sequence[int], device: torch.device) -> None:
        """Check that the arguments of blocks depend on nothing but the sequence's length.

        Raises:
            ModelError: they depend on the tokens or on the hidden states.
        """
        entered: list[Tensor] = []
        ids = torch.tensor([list(token_ids)], dtype=torch.long, device=device)
        by_tokens = self._recorded(entered, input_ids=ids)
        try:
            by_hidden = self._recorded([], inputs_embeds=1 - 2 * entered[0])
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise self._unsupported(f"it cannot run on hidden states alone ({error})") from error
        for index, (one, other) in enumerate(zip(by_tokens, by_hidden, strict=True)):
            if not same(one.args, other.args) or not same(one.kwargs, other.kwargs):
                raise self._unsupported(
                    f"it hands block {index} something besides the hidden states that depends "
                    "on the tokens (such as per-layer embeddings), or that is no tensor"
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
            self._known[key] = self._recorded([], inputs_embeds=hidden.clone())
        return self._known[key]

    def _recorded(self, entered: list[Tensor], **inputs: Tensor) -> list[Arguments]:
        """Run the model with all blocks bypassed; return the arguments of every block.

        What would enter the first block is appended to ``entered``.
        """
        found: list[Arguments] = []
        passed: list[tuple[Tensor, int]] = []  # what the block before returned, and its version

        def record(index: int, hidden: Tensor, more: Arguments) -> Any:
            if index != len(found):
                raise self._unsupported(
                    f"it runs block {index} where block {len(found)} was expected (blocks that run "
                    "more than once, or in another order than they are stored in)"
                )
            if index == 0:
                entered.append(hidden)
            elif hidden.dim() < entered[-1].dim():
                raise _TupleExpectedError
            elif hidden is not passed[0][0] or hidden._version != passed[0][1]:
                raise self._unsupported(
                    f"it changes the hidden states between block {index - 1} and block {index}"
                )
            found.append(more)
            passed[:] = [(hidden, hidden._version)]
            return (hidden,) if self._returns_tuple else hidden

        reset_dynamic_rope(self.model)
        try:
            with _stand_ins(self.blocks, record):
                self.model.base_model(**inputs, use_cache=False)
        except _TupleExpectedError:
            self._returns_tuple = True
            entered.clear()
            return self._recorded(entered, **inputs)
        if len(found) != len(self.blocks):
            raise self._unsupported(f"it runs {len(found)} of its {len(self.blocks)} blocks")
        return found

    def _unsupported(self, what: str) -> ModelError:
        return ModelError(
            f"{type(self.model).__name__} is not supported: {what}. Blocks are pruned one after "
            "another, each on what the one before it returns"
        )


def reset_dynamic_rope(model: nn.Module) -> None:
    """Make rotary frequencies those of a model that has seen no sequence yet.

    A model with ``rope_type: dynamic`` keeps those of the longest sequence that it has seen, so
    that the same sequence would be read in another way after a longer one.
    """
    for module in model.modules():
        short = getattr(module, "original_max_seq_len", None)
        grown = [name for name in vars(module) if name.endswith("max_seq_len_cached")]
        for name in grown if short is not None else []:
            prefix = name.removesuffix("max_seq_len_cached")
            if getattr(module, name) > short:
                original = module.get_buffer(f"{prefix}original_inv_freq")
                setattr(module, name, short)
                module._buffers[f"{prefix}inv_freq"] = original.clone()


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
