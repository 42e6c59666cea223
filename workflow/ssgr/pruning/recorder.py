"""What the linears of a block are given while sequences run through it, as statistics.

Linears that are handed the very same tensor (q, k and v; gate and up) share one object, so every
distinct input is summed once. Experts record the tokens that were routed to them, with the weights
of those tokens.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ssgr.errors import ModelError, PruningError
from ssgr.pruning.sample import InputSample
from ssgr.pruning.statistics import InputStatistics

EXPERT = re.compile(r"(?<=\bexperts\.)\d+(?=\.)")


@dataclass(frozen=True)
class Gather:
    """What is gathered of each input.

    ``gram`` is X^T X, ``cross`` the dense model's inputs by these. ``sample_every``: of how many
    tokens one is kept to measure output errors without a Gram matrix; 0 keeps none.
    """

    gram: bool = True
    cross: bool = False
    sample_every: int = 0


class InputRecorder:
    """Gathers statistics of the inputs of some linears while sequences run through their block.

    Args:
        linears: of one block, by name within it.
        prefix: the block's name, for messages.
        gather: what is gathered.
        routed: says which tokens (flat positions) a linear is being run on; None is all.
    """

    def __init__(
        self,
        linears: Mapping[str, nn.Linear],
        prefix: str,
        gather: Gather = Gather(),
        routed: Callable[[str], Tensor | None] = lambda name: None,
    ) -> None:
        self.linears = linears
        self.prefix = prefix
        self.statistics: dict[str, InputStatistics] = {}
        self.samples: dict[int, InputSample] = {}  # by the id of the statistics
        self._gather = gather
        self._routed = routed
        self._leaders: set[str] = set()
        self._latest: tuple[str, Tensor] | None = None
        self._called: list[str] = []  # in the running sequence
        self._last: str | None = None  # the leader after which nothing new comes
        self._weights: Tensor | None = None
        self._dense: Mapping[str, Tensor] | None = None

    @contextmanager
    def recording(
        self, weights: Tensor | None = None, dense: Mapping[str, Tensor] | None = None
    ) -> Iterator[None]:
        """Record one sequence; its forward pass may be stopped at the last new input.

        Which input is the last is learnt from a sequence that reaches all linears. A block runs its
        linears in one order, though not all of them for each sequence if there are experts; a
        sequence that does not reach the last one runs to its end.

        Args:
            weights: of the tokens [tokens].
            dense: what the linears read in the dense model, by name; see ``captured``.
        """
        self._weights, self._dense = weights, dense
        self._called = []
        handles = [
            linear.register_forward_pre_hook(self._hook(name))
            for name, linear in self.linears.items()
        ]
        try:
            yield
        except _AllRecordedError:
            pass
        finally:
            for handle in handles:
                handle.remove()
            self._latest = self._weights = self._dense = None
            if self._last is None and set(self._called) == set(self.linears):
                self._last = [name for name in self._called if name in self._leaders][-1]

    def sample(self, name: str) -> InputSample | None:
        """Return the sample of a linear's inputs, if one was gathered."""
        return self.samples.get(id(self.statistics.get(name)))

    def permute(self, name: str, order: Tensor) -> None:
        """Put the columns of a linear's inputs in ``order`` [columns]."""
        before = self.statistics[name]
        self.statistics[name] = before.permuted(order)
        if sample := self.samples.pop(id(before), None):
            sample.permute(order)
            self.samples[id(self.statistics[name])] = sample

    def require_all(self) -> None:
        """Check that every linear was reached, experts aside: some are chosen for no token.

        Raises:
            ModelError: calibration tokens never reached some linears.
        """
        missed = [
            name for name in self.linears if name not in self.statistics and not EXPERT.search(name)
        ]
        if missed:
            raise ModelError(
                f"{self.prefix}: no calibration token reached {', '.join(missed)}; "
                "the block's structure is not understood"
            )

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def record(linear: nn.Module, args: tuple[Any, ...]) -> None:
            inputs: Tensor = args[0]
            self._called.append(name)
            if name not in self.statistics:
                self._assign(name, inputs)
            if name in self._leaders:
                self._latest = (name, inputs)
                self._update(name, inputs)
                if name == self._last:
                    raise _AllRecordedError

        return record

    def _assign(self, name: str, inputs: Tensor) -> None:
        """Give a linear that is met first its statistics: its neighbour's or its own."""
        if self._latest is not None and self._latest[1] is inputs:
            self.statistics[name] = self.statistics[self._latest[0]]
            return
        self._leaders.add(name)
        made = InputStatistics(
            inputs.shape[-1],
            inputs.device,
            name=f"{self.prefix}.{name}",
            with_gram=self._gather.gram,
            with_cross=self._gather.cross,
        )
        self.statistics[name] = made
        if self._gather.sample_every:
            self.samples[id(made)] = InputSample(self._gather.sample_every)

    def _update(self, name: str, inputs: Tensor) -> None:
        statistics = self.statistics[name]
        weights = self._weights_of(name, inputs)
        statistics.update(inputs, weights, self._dense[name] if self._dense else None)
        if sample := self.samples.get(id(statistics)):
            tokens = self._routed(name)
            sample.add(inputs, weights, from_first=tokens is None or bool((tokens == 0).any()))

    def _weights_of(self, name: str, inputs: Tensor) -> Tensor | None:
        """Return the weights of the tokens that a linear is being run on."""
        if self._weights is None:
            return None
        tokens = self._routed(name)
        weights = self._weights if tokens is None else self._weights[tokens.to("cpu")]
        if len(weights) != inputs.numel() // inputs.shape[-1]:
            raise PruningError(
                f"{self.prefix}.{name} is run on {inputs.numel() // inputs.shape[-1]} tokens of "
                f"{len(weights)}, and which they are is not known: use objective.tokens: all"
            )
        return weights


class _AllRecordedError(Exception):
    """The last input of a sequence is in: the rest of the forward pass is of no use."""


@contextmanager
def captured(linears: Mapping[str, nn.Linear]) -> Iterator[dict[str, Tensor]]:
    """Yield what linears are given while one sequence runs, by name."""
    inputs: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def keep(linear: nn.Module, args: tuple[Any, ...]) -> None:
            inputs[name] = args[0]

        return keep

    handles = [linear.register_forward_pre_hook(hook(name)) for name, linear in linears.items()]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


def execution_groups(called: Mapping[str, Tensor], names: Iterable[str]) -> list[list[str]]:
    """Return linears in the order they run, those of one input together, experts side by side.

    ``called`` is what was ``captured``, in order, of one sequence; experts it did not reach join
    those of their kind.
    """
    group_of: dict[str, str] = {}  # kind of linear -> the kind that reads the input first
    leader, latest = "", None
    for name, inputs in called.items():
        if inputs is not latest:
            leader, latest = _kind(name), inputs
        group_of.setdefault(_kind(name), leader)
    groups: dict[str, list[str]] = {key: [] for key in group_of.values()}
    for name in names:
        groups.setdefault(group_of.get(_kind(name), _kind(name)), []).append(name)
    return [group for group in groups.values() if group]


def _kind(name: str) -> str:
    """Return a linear's name with * for the number of its expert."""
    return EXPERT.sub("*", name)


__all__ = ["Gather", "InputRecorder", "captured", "execution_groups"]
