"""What every sampling engine promises: the work it takes, and the responses it gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ssgr.config import Sampling, Server
from ssgr.config.execution import ONE, Layout
from ssgr.errors import ModelError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Prompt:
    """The rendered prompt of one problem, generation prompt included."""

    problem_id: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Request:
    """One response to draw."""

    prompt: Prompt
    sample: int


@dataclass(frozen=True)
class Response:
    """One response. ``token_ids`` ends with the end token when ``finish_reason`` is "stop".

    ``mean_logprob`` is the mean over ``token_ids`` of the model's own log-probability: full
    softmax at temperature 1, before the temperature and the nucleus of the sampling.
    """

    problem_id: str
    sample: int
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    mean_logprob: float | None


class Work(Protocol):
    """Where an engine gets its requests; those of one prompt mostly come in a row."""

    def take(self, wait: bool) -> Request | None:
        """Return the next request.

        None says that there is none at the moment (``wait`` False) or none any more (``wait``
        True).
        """
        ...


class Everything:
    """Work known from the start: every sample of every prompt, in order."""

    def __init__(self, prompts: Sequence[Prompt], n: int) -> None:
        """Ask for samples 0 .. n-1 of each prompt."""
        self._requests = (Request(prompt, sample) for prompt in prompts for sample in range(n))

    def take(self, wait: bool) -> Request | None:
        """Return the next request, None after the last."""
        return next(self._requests, None)


class Engine(Protocol):
    """A loaded model that answers prompts.

    Attributes:
        max_length: positions that prompt and response may take together; None: unknown.
    """

    max_length: int | None

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        """Yield the response to each request as it finishes, in any order.

        The engine takes requests while it has room and ends when nothing is in flight and
        ``work`` has none any more. It never holds more than a small multiple of its batch, so
        that work added or withdrawn between two yields counts.
        """
        ...

    def close(self) -> None:
        """End what the engine has started outside this process; it is of no use afterwards."""
        ...


@dataclass(frozen=True)
class EngineSettings:
    """How an engine runs. Nothing here may change a response beyond rounding.

    Attributes:
        batch_size: sequences decoded at the same time.
        dtype: "auto" (the checkpoint's), "float32", "bfloat16" or "float16".
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1" ...
        max_length: longest prompt plus response that the engine must hold; None: the model's.
        layout: how vLLM's processes share the model, and on how many nodes.
        gpus: devices that this job holds on each node; None: all that are visible may be used.
        memory_share: share of each GPU's memory that vLLM takes; None: its own default.
        server: the endpoints of the engine `server`.
    """

    batch_size: int = 128
    dtype: str = "auto"
    device: str = "auto"
    revision: str | None = None
    trust_remote_code: bool = False
    max_length: int | None = None
    layout: Layout = ONE
    gpus: int | None = None
    memory_share: float | None = None
    server: Server | None = None


class EngineFactory(Protocol):
    """Loads a model folder or hub name into an engine."""

    def __call__(self, model_folder: str, settings: EngineSettings) -> Engine:
        """Load ``model_folder``."""
        ...


def check_lengths(prompts: Sequence[Prompt], sampling: Sampling, max_length: int | None) -> None:
    """Refuse prompts that leave no room for ``max_tokens`` in ``max_length`` positions.

    Raises:
        ModelError: names the problem and both lengths.
    """
    for prompt in prompts:
        count = len(prompt.token_ids)
        if not count:
            raise ModelError(f"The prompt of problem {prompt.problem_id!r} is empty.")
        if max_length is not None and count + sampling.max_tokens > max_length:
            raise ModelError(
                f"Problem {prompt.problem_id!r} has {count} prompt tokens; with max_tokens "
                f"{sampling.max_tokens} that is more than the {max_length} positions of the "
                "model. Lower max_tokens in the sampling."
            )
